"""Files are whole or absent, digests see every difference, and paths stay inside."""

import errno
import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import (
    check_outputs,
    check_writable,
    digest_array,
    digest_bytes,
    digest_json,
    digest_sources,
    path_inside,
    remove_leftovers,
    staged_folder,
    write_atomically,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_atomically(path, "old")

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RobustrecError, match="No space left"):
        write_atomically(path, "new and longer")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def flushed(monkeypatch):
    """What was flushed to disk or renamed, in order, by the names the files had."""
    steps: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.replace

    def see(handle):
        steps.append(("flush", os.path.realpath(f"/proc/self/fd/{handle}").rsplit("/", 1)[-1]))
        fsync(handle)

    def replaced(self, target):
        steps.append(("rename", target.name))
        rename(self, target)

    monkeypatch.setattr("os.fsync", see)
    monkeypatch.setattr("pathlib.Path.replace", replaced)
    return steps


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_files_and_folders_are_flushed_before_they_are_renamed_and_their_entry_afterwards(tmp_path, flushed):
    write_atomically(tmp_path / "a.txt", "x")
    assert [step for step, _ in flushed] == ["flush", "rename", "flush"]
    assert flushed[0][1].startswith(".a.txt.")
    assert flushed[2] == ("flush", tmp_path.name)
    flushed.clear()
    with staged_folder(tmp_path / "run") as stage:
        (stage / "inner").mkdir()
        (stage / "one").write_text("1")
        (stage / "inner" / "two").write_text("2")
    assert [step for step, _ in flushed] == ["flush"] * 4 + ["rename", "flush"]
    assert {name for _, name in flushed} >= {"one", "two", "inner", tmp_path.name}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_an_error_that_says_so_and_leaves_nothing(number, tmp_path, monkeypatch):
    def half_way():
        with staged_folder(tmp_path / "target") as stage:
            (stage / "half").write_text("x")
            raise OSError(number, os.strerror(number))

    with pytest.raises(RobustrecError, match=os.strerror(number)) as error:
        half_way()
    assert "free disk space" in error.value.fix
    assert not list(tmp_path.iterdir())

    def other():
        with staged_folder(tmp_path / "target"):
            raise FileNotFoundError(errno.ENOENT, "a file the block wanted to read")

    with pytest.raises(FileNotFoundError):
        other()


WRITES = """
import sys, time
from pathlib import Path
from robustrec import files
def stop(_):
    print("writing", flush=True)
    time.sleep(600)
files.os.fsync = stop
with files.staged_folder(Path(sys.argv[1]) / "folder") as stage:
    (stage / "half").write_text("x")
    files.write_atomically(Path(sys.argv[1]) / "file.safetensors", "half")
"""


def test_what_a_killed_process_left_is_removed_and_what_another_writes_stays(tmp_path):
    (tmp_path / ".partial-key.checkpoint").write_text("a file of the store")
    (tmp_path / ".key.lock").write_text("")
    kept = set(tmp_path.iterdir())
    with subprocess.Popen([sys.executable, "-c", WRITES, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        being_written = set(tmp_path.iterdir()) - kept
        remove_leftovers(tmp_path)
        assert set(tmp_path.iterdir()) == kept | being_written
        assert len(being_written) == 2
        writer.kill()
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == kept
    remove_leftovers(tmp_path / "nowhere")


def test_a_staged_folder_is_there_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "target"

    def fail_half_way():
        with staged_folder(target) as stage:
            (stage / "half").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert not target.exists()
    assert not list(target.parent.iterdir())
    with staged_folder(target) as stage:
        (stage / "whole").write_text("first")
    with staged_folder(target) as stage:
        (stage / "whole").write_text("second")
    assert (target / "whole").read_text() == "first", "what another process put there is kept"
    assert list(target.parent.iterdir()) == [target]


def test_a_place_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    for attempt in (lambda p: write_atomically(p, "x"), lambda p: staged_folder(p).__enter__()):
        with pytest.raises(RobustrecError) as error:
            attempt(tmp_path / "file" / "below")
        assert "ROBUSTREC_HOME" in error.value.fix


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "link/x"])
def test_paths_do_not_leave_their_folder(path, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(RobustrecError, match="is outside its folder"):
        path_inside(tmp_path / "in", path)
    assert path_inside(tmp_path / "in", "a/../b") == (tmp_path / "in" / "b").resolve()


def test_digests_tell_borders_types_shapes_and_values_apart(tmp_path):
    assert digest_bytes([b"ab", b"c"]) != digest_bytes([b"a", b"bc"])
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1}) != digest_json({"a": 1, "b": 2.5})
    table = np.arange(6.0)
    same = digest_array(table)
    assert same == digest_array(table.copy())
    for other in (table.reshape(2, 3), table.astype(np.float32), np.nextafter(table, 9), table[::-1]):
        assert digest_array(other) != same
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "m.py").write_text("x = 1\n")
    before = digest_sources(tmp_path / "p")
    (tmp_path / "p" / "notes.txt").write_text("no source")
    assert digest_sources(tmp_path / "p") == before
    (tmp_path / "p" / "m.py").write_text("x = 2\n")
    assert digest_sources(tmp_path / "p") != before


def test_an_unknown_name_suggests_the_nearest_and_lists_all():
    error = unknown_name("model", "SLMREC", ["bpr", "slmrec"], where="--model")
    assert "did you mean 'slmrec'" in error.fix
    assert "bpr, slmrec" in error.fix
    assert "did you mean" not in unknown_name("model", "qqq", ["bpr"], where="x").fix
    assert "none" in unknown_name("model", "qqq", [], where="x").fix


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_atomically(path, "old")

    def interrupted(_handle):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new and longer")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    target, link = tmp_path / "kept" / "report.json", tmp_path / "link.json"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]
    dangling = tmp_path / "dangling.json"
    dangling.symlink_to("not-yet.json")
    write_atomically(dangling, "new")
    assert dangling.is_symlink()
    assert (tmp_path / "not-yet.json").read_text() == "new"
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(RobustrecError, match="cannot write"):
        write_atomically(loop, "new")
    with pytest.raises(RobustrecError, match="cannot write"):
        write_atomically(tmp_path / "a\0b", "new")


def test_modes_are_those_of_the_file_or_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "new", "x")
        with staged_folder(tmp_path / "folder") as stage:
            (stage / "a").write_text("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750
    (tmp_path / "new").chmod(0o604)
    tmp_path.chmod(0o710)
    write_atomically(tmp_path / "new", "y")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o710


def test_a_named_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_writable(pipe)
    with pytest.raises(RobustrecError, match="cannot write"):
        write_atomically(pipe, "nobody reads")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(pipe, "read")
        assert os.read(reader, 100) == b"read"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_character_device_is_written_to_and_stays(tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # what /dev/null is
        device.write_text("")
    except OSError:
        pytest.skip("devices cannot be made here")
    check_writable(device)
    write_atomically(device, "x" * 1000)
    assert device.is_char_device()


def test_the_file_of_stdout_is_written_to_and_not_replaced(tmp_path):
    code = """
from pathlib import Path
from robustrec.files import check_writable, write_atomically
print("before")
for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "out.txt"):
    check_writable(Path(name))
    write_atomically(Path(name), name + "\\n")
print("after")
"""
    with (tmp_path / "out.txt").open("w") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True, cwd=tmp_path)
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert lines == ["before", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "out.txt", "after"]
    assert [each.name for each in tmp_path.iterdir()] == ["out.txt"]


def test_outputs_overwrite_neither_each_other_nor_an_input(tmp_path):
    one, other, folder = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "shop"
    folder.mkdir()
    (folder / "items.jsonl").write_text("{}")
    one.write_text("{}")
    (tmp_path / "link").symlink_to(one)
    (tmp_path / "hard").hardlink_to(one)
    check_outputs(
        [("json", one), ("html", other), ("csv", folder / "new.csv")], [("REPORT", tmp_path / "c"), ("x", None)]
    )
    for twice in (one, tmp_path / "link", tmp_path / "hard", tmp_path / "shop" / ".." / "a.json"):
        with pytest.raises(RobustrecError, match="have the same path"):
            check_outputs([("json", one), ("html", twice)])
        with pytest.raises(RobustrecError, match=r"is an input \(--baseline\)"):
            check_outputs([("json", twice)], [("--baseline", one)])
    with pytest.raises(RobustrecError, match=r"is an input \(--dataset\)"):
        check_outputs([("json", folder / "items.jsonl")], [("--dataset", folder)])
    with pytest.raises(RobustrecError, match="directory"):
        check_outputs([("json", folder)])


def test_the_digest_of_sources_that_do_not_exist_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="moved"):
        digest_sources(tmp_path / "moved.py")


def test_the_code_version_of_pretraining_covers_its_sources():
    from robustrec.pretraining.run import code_version

    assert len(code_version()) == 64
