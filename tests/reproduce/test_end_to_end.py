"""`robustrec reproduce sgbd` from published files to the tables: prepared, killed, resumed, and equal numbers."""

import json

import pytest

from benchmarks.raw_archives import CATEGORIES, write_archive, write_pictures
from robustrec.cli.main import run
from robustrec.reproduce import measure
from robustrec.reproduce.result import Reproduction

SMALL = ["training.max_epochs=2", "training.batch_size=256", "training.learning_rate=0.01"]
SET = [word for setting in SMALL for word in ("--set", setting)]
STAND_IN = ["--features", "minilm+cnn=basic"]
ROWS = ["--dataset", "baby", "--row", "slmrec/*/vanilla", "--row", "slmrec/minilm+cnn/sgbd", "--seeds", "2"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home folder with four small data sets, prepared from files in the layout of the published ones."""
    folder = tmp_path_factory.mktemp("prepared")
    for category in CATEGORIES:
        raw, pictures = folder / f"raw-{category}", folder / f"pictures-{category}"
        archive = write_archive("amazon2014", raw, category=category, reviews=1500, users=120, items=80)
        write_pictures(archive, pictures)
        words = ["data", "prepare", "amazon2014", "--category", category, "--raw", str(raw)]
        assert run([*words, "--pictures", str(pictures), "--home", str(folder / "home"), "--quiet"]) == 0
    return folder / "home"


def command(home, *more):
    return [
        "reproduce",
        "sgbd",
        "--table",
        "3",
        *STAND_IN,
        *SET,
        "--no-tune",
        "--epochs",
        "2",
        "--home",
        str(home),
        "--quiet",
        *more,
    ]


def report_of(path):
    return Reproduction.model_validate_json(path.read_text(), strict=True)


def numbers(report):
    return report.model_copy(update={"command": ()}).model_dump_json()


def test_the_tables_end_to_end_killed_and_resumed(home, tmp_path, monkeypatch, capsys):
    """Of the first command the fifth training is interrupted; the second one goes on from there."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for place in (whole, killed):
        place.mkdir()
        (place / "data").symlink_to(home / "data")
    assert run(command(whole, *ROWS, "--output", str(whole / "a.json"))) == 0
    capsys.readouterr()
    trained, calls = measure.obtain_subject, []

    def interrupted(*words, **named):
        calls.append(words)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return trained(*words, **named)

    monkeypatch.setattr(measure, "obtain_subject", interrupted)
    assert run(command(killed, *ROWS, "--output", str(killed / "a.json"))) == 130
    assert not (killed / "a.json").exists()
    assert len(list((killed / "runs").glob("*/run.json"))) == 4
    pages = [word for kind in ("html", "markdown") for word in (f"--{kind}", str(killed / f"page.{kind}"))]
    assert run(command(killed, *ROWS, *pages, "--output", str(killed / "a.json"))) == 0
    assert numbers(report_of(killed / "a.json")) == numbers(report_of(whole / "a.json"))
    _check_report(report_of(killed / "a.json"))
    for kind in ("html", "markdown"):
        text = (killed / f"page.{kind}").read_text()
        assert text.count("<script") == (1 if kind == "html" else 0), "the script of all pages, and no other"
        assert "0.0227" in text, "the printed cell of slmrec on minilm+cnn, vanilla"


def _check_report(report):
    rows = {(row.dataset, row.label): row for row in report.rows}
    assert sum(row.verdict == "missing" for row in report.rows) == 2, "blip and blip2 have no weights here"
    assert len(rows) == 4
    row = rows["baby", "slmrec/minilm+cnn/vanilla"]
    assert [value.metric for value in row.values] == ["recall@5", "ndcg@5", "precision@5", "map@5"]
    assert [value.printed for value in row.values] == [0.0341, 0.0227, 0.0075, 0.0184]
    # A data set of another size is never set against the paper's.
    assert row.verdict == "not usable"
    assert row.why == "other data, other features"
    assert {value.verdict for value in row.values} == {"not usable"}
    assert "features: basic in place of minilm+cnn" in row.substitutes
    assert all(training.cut_off for training in row.trainings)
    assert all(claim.conclusion == "not decided" for claim in report.claims)
    assert {claim.budget for claim in report.claims} == {"early-stop", "epochs", "gradients"}


def test_both_data_sets_of_a_table_are_measured(home, tmp_path, capsys):
    rows = ["--table", "4", "--row", "slmrec/minilm+cnn/vanilla", "--seeds", "1", "--epochs", "0"]
    assert run([*command(home, "--json"), *rows]) == 0
    report = Reproduction.model_validate_json(capsys.readouterr().out)
    assert [(row.table, row.dataset) for row in report.rows] == [
        (3, "baby"),
        (3, "sports"),
        (4, "clothing"),
        (4, "electronics"),
    ]
    assert all(len(row.values) == 4 and len(row.values[0].by_seed) == 1 for row in report.rows)
    assert report.claims == ()


def test_what_is_missing_is_said_with_a_command(home, capsys):
    assert run(["reproduce", "sgbd", "--table", "4", "--row", "*/blip*", "--home", str(home), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "Missing inputs" in shown
    assert "--weights" in shown
    assert "clothing" in shown
    assert "0 trainings" in shown


def test_nothing_measured_is_an_error(tmp_path, capsys):
    words = ["reproduce", "sgbd", "--table", "3", "--dataset", "baby", "--home", str(tmp_path), "--quiet", "--json"]
    assert run(words) == 2
    told = capsys.readouterr()
    rows = json.loads(told.out)["rows"]
    assert {row["verdict"] for row in rows} == {"missing"}
    assert {row["fix"] for row in rows} == {"robustrec data prepare amazon2014 --category Baby --raw FOLDER"}
    assert "nothing was measured" in told.err
