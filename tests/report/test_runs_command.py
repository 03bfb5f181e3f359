"""Stored trainings and the home folder: listed, shown and removed, never what is in use or outside."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_report import made_up_report

from robustrec.cli.main import run
from robustrec.errors import RobustrecError
from robustrec.files import locked
from robustrec.home_folders import PRUNABLE, chosen, entries_in, home_sizes, remove
from robustrec.in_use import mark_used, marking_use
from robustrec.results.report import write_report
from robustrec.runs.records import RECORD
from robustrec.runs.store import record_text
from robustrec.runs.stored import find_run
from robustrec.units import parse_age, parse_size, size_text

USED, OTHER, SIMILAR = "c" * 32, "ab" * 16, "ab" * 4 + "cd" * 12
DAY = 86_400
NOW = 1_700_000_000.0


def _stored(home: Path, key: str, *, days: float = 0, **changes: object) -> Path:
    folder = home / "runs" / key
    folder.mkdir(parents=True)
    record = {
        "format": 2,
        "key": key,
        "dataset": {"name": "clothing", "edition": "sample", "digest": "d" * 64},
        "features_digest": "f" * 64,
        "model": "vbpr",
        "strategy": {"name": "sgbd"},
        "training": {"max_epochs": 55},
        "seed": 3,
        "epochs": 55,
        "best_epoch": 35,
        "best_validation": 0.0912,
        "validation_metric": "ndcg@20",
        "stopped_early": True,
        "seconds": 12.0,
        "n_parameters": 7,
        **changes,
    }
    (folder / RECORD).write_text(record_text(record))
    (folder / "parameters.safetensors").write_bytes(b"0" * 1000)
    os.utime(folder, (NOW - days * DAY, NOW - days * DAY))
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with three trainings, of which a report uses one, and entries of other kinds."""
    home = tmp_path / "home"
    _stored(home, USED, days=1)
    _stored(home, OTHER, days=40, stopped_early=False)
    _stored(home, SIMILAR, days=50)
    (home / "reports").mkdir()
    write_report(made_up_report(arrays=None), home / "reports" / "20260203T040506000000-clothing-quick.json")
    for kind in ("features", "encodings", "pools"):
        (home / kind / ("e" * 32)).mkdir(parents=True)
        (home / kind / ("e" * 32) / "table").write_bytes(b"1" * 500)
    (home / "data" / "shop").mkdir(parents=True)
    (home / "data" / "shop" / "shop.inter").write_bytes(b"2" * 4000)
    return home


def test_trainings_are_listed_with_what_they_are_and_who_uses_them(home, capsys):
    assert run(["runs", "list", "--home", str(home), "--json"]) == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {USED, OTHER, SIMILAR}
    assert rows[USED]["reports"] == ["20260203T040506000000-clothing-quick"]
    assert rows[USED]["features"] == "basic", "of the report that uses it"
    assert rows[OTHER]["reports"] == []
    assert rows[OTHER]["features"] is None
    assert (rows[USED]["stopped"], rows[OTHER]["stopped"]) == ("early stop", "max. epochs")
    assert rows[OTHER]["bytes"] == sum(file.stat().st_size for file in (home / "runs" / OTHER).iterdir())
    assert run(["runs", "list", "--home", str(home)]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "cccccccc" in out
    assert "ababababc" in out.split(), "the printed key is unique, so that it can be pasted"
    for word in ("vbpr/sgbd", "clothing", "(sample)", "reports", "0.0912"):
        assert word in out.split(), word


def test_a_key_is_found_by_its_unique_beginning(home, capsys):
    assert find_run("cccc", home, where="KEY") == USED
    assert find_run("ccc", home, where="KEY") is None, "too short"
    assert find_run("../runs", home, where="KEY") is None
    with pytest.raises(RobustrecError, match=f"2 run keys: {OTHER}, {SIMILAR}"):
        find_run("abab", home, where="KEY")
    assert find_run(OTHER, home, where="KEY") == OTHER
    assert run(["runs", "show", "cccc", "--home", str(home)]) == 0
    out = capsys.readouterr().out
    assert USED in out
    assert "20260203T040506000000-clothing-quick" in out
    assert run(["runs", "show", "abab", "--home", str(home)]) == 2
    assert run(["runs", "show", "dddd", "--home", str(home)]) == 2


def test_removal_shows_what_and_how_much_and_asks(home, capsys, monkeypatch):
    command = ["runs", "rm", "cccc", "--home", str(home)]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert run(command) == 2
    assert "--yes" in capsys.readouterr().err
    assert run([*command, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "used by 1 report, which stays" in out
    assert size_text(sum(file.stat().st_size for file in (home / "runs" / USED).iterdir())) in out
    assert (home / "runs" / USED / RECORD).is_file()
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run(command) == 0
    assert (home / "runs" / USED / RECORD).is_file()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run(command) == 0
    assert not (home / "runs" / USED).exists()
    assert sorted(path.name for path in (home / "runs").iterdir() if path.name != ".locks") == [OTHER, SIMILAR]


def test_removal_by_age_and_never_by_both_or_neither(home):
    assert run(["runs", "rm", "--home", str(home)]) == 2
    assert run(["runs", "rm", "cccc", "--older-than", "1d", "--home", str(home)]) == 2
    assert run(["runs", "rm", "--older-than", "soon", "--home", str(home), "--yes"]) == 2
    entries = entries_in(home, "runs")
    assert [each.name for each in chosen(entries, now=NOW, older_than=parse_age("45d", where=""))] == [SIMILAR]
    assert len(chosen(entries, now=NOW, older_than=parse_age("12h", where=""))) == 3


USER = """
import sys
from pathlib import Path
from robustrec.in_use import mark_used, marking_use
with marking_use():
    mark_used(Path(sys.argv[1]))
    print("marked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def marked_elsewhere(home):
    """Another process uses a training, as an audit does until its report is written."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(home / "runs" / USED)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"marked\n"
    yield
    process.communicate()


@pytest.mark.usefixtures("marked_elsewhere")
def test_a_training_that_another_process_uses_stays(home, capsys):
    before = sorted((home / "runs" / USED).iterdir())
    assert run(["runs", "rm", "cccc", "--home", str(home), "--yes"]) == 2
    assert "in use by another process" in capsys.readouterr().err
    assert run(["cache", "prune", "--max-size", "1kB", "--home", str(home), "--yes"]) == 0
    assert "in use" in capsys.readouterr().err
    assert sorted((home / "runs" / USED).iterdir()) == before
    assert [each.name for each in entries_in(home, "runs")] == [USED]


def test_a_training_that_is_being_made_stays(home):
    with locked(home / "runs" / ".locks" / USED):
        result = remove(entries_in(home, "runs"))
    assert [each.name for each in result.kept] == [USED]
    assert (home / "runs" / USED / RECORD).is_file()


def test_marks_end_with_the_outermost_block_and_set_the_time_of_last_use(home):
    folder = home / "runs" / OTHER
    mark_used(folder)
    assert folder.stat().st_mtime == NOW - 40 * DAY, "no mark outside a block"
    with marking_use():
        with marking_use():
            mark_used(folder)
        assert folder.stat().st_mtime > NOW - 40 * DAY
        assert remove([each for each in entries_in(home, "runs") if each.name == OTHER]).kept
    assert remove([each for each in entries_in(home, "runs") if each.name == OTHER]).removed


def test_many_marks_keep_few_files_open_and_hold_the_whole_folder(home, monkeypatch):
    monkeypatch.setattr("robustrec.in_use._MOST_MARKS", 1)
    with marking_use():
        mark_used(home / "runs" / USED)
        mark_used(home / "runs" / OTHER)
        assert len(remove(entries_in(home, "runs")).kept) == 3


def test_links_are_neither_listed_nor_followed_nor_removed(home, tmp_path, capsys):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"3" * 9000)
    (home / "runs" / ("1" * 32)).symlink_to(outside)
    (home / "runs" / OTHER / "link").symlink_to(outside / "precious")
    (home / "encodings" / ("e" * 32) / "link").symlink_to(outside)
    (home / "pools").rename(outside / "pools")
    (home / "pools").symlink_to(outside / "pools")
    assert {each.name for each in entries_in(home, "runs")} == {USED, OTHER, SIMILAR}
    assert entries_in(home, "pools") == []
    sizes = {each.name: each for each in home_sizes(home)}
    assert sizes["encodings"].size == 500
    assert "link" in sizes["pools"].note
    assert run(["runs", "rm", "1111", "--home", str(home), "--yes"]) == 2
    assert run(["cache", "prune", "--max-size", "1kB", "--home", str(home), "--yes"]) == 0
    assert (outside / "precious").stat().st_size == 9000
    assert (outside / "pools" / ("e" * 32) / "table").is_file()
    assert (home / "runs" / ("1" * 32)).is_symlink()
    assert "data sets and reports are never removed" in capsys.readouterr().out


def test_sizes_add_up_and_pruning_takes_the_least_recently_used_first(home, capsys):
    (home / "unknown").mkdir()
    (home / "unknown" / "file").write_bytes(b"4" * 100)
    sizes = {each.name: each for each in home_sizes(home)}
    assert sum(each.size for each in sizes.values()) == sum(
        file.stat().st_size for file in home.rglob("*") if file.is_file()
    )
    assert sizes["other"].size == 100
    assert sizes["runs"].entries == 3
    assert sizes["data"].entries is None
    entries = [entry for name in PRUNABLE for entry in entries_in(home, name)]
    total = sum(each.size for each in sizes.values())
    taken = chosen(entries, now=NOW, max_size=total - 1, total=total)
    assert [each.name for each in taken] == [SIMILAR]
    assert run(["cache", "prune", "--home", str(home)]) == 2
    assert run(["cache", "prune", "--home", str(home), "--max-size", "100"]) == 2
    assert run(["cache", "prune", "--home", str(home), "--unused", "--folder", "data"]) == 2
    capsys.readouterr()
    assert run(["cache", "prune", "--home", str(home), "--unused", "--dry-run"]) == 0
    assert "2 of 3" in capsys.readouterr().out.replace("\xa0", " ")
    assert run(["cache", "prune", "--home", str(home), "--unused", "--yes"]) == 0
    assert [each.name for each in entries_in(home, "runs")] == [USED]
    assert run(["cache", "size", "--home", str(home)]) == 0


def test_an_entry_whose_removal_is_cut_off_is_whole_or_a_leftover(home, monkeypatch):
    def cut_off(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", cut_off)
    with pytest.raises(KeyboardInterrupt):
        remove([each for each in entries_in(home, "runs") if each.name == USED])
    monkeypatch.undo()
    assert not (home / "runs" / USED).exists(), "no half entry under its key"
    remove(entries_in(home, "runs")[:1])
    assert not [path for path in (home / "runs").iterdir() if path.name.startswith(f".{USED}")]


def test_a_damaged_record_is_listed_with_its_problem_and_can_be_removed(home, capsys):
    (home / "runs" / OTHER / RECORD).write_text("{}")
    assert run(["runs", "list", "--home", str(home)]) == 0
    assert "unreadable" in capsys.readouterr().out
    assert run(["runs", "show", OTHER, "--home", str(home)]) == 2
    assert run(["runs", "rm", OTHER, "--home", str(home), "--yes"]) == 0
    assert not (home / "runs" / OTHER).exists()


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 500_000_000), ("1.5GiB", 3 << 29), ("2 gb", 2_000_000_000), ("7k", 7000)]
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_size(text, where="") == size
    for wrong in ("", "100", "-1GB", "1e9B", "GB", "1XB"):
        with pytest.raises(RobustrecError):
            parse_size(wrong, where="")
