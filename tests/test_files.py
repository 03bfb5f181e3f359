"""Files are whole or absent, digests see every difference, and paths stay inside."""

import numpy as np
import pytest

from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import (
    digest_array,
    digest_bytes,
    digest_json,
    digest_sources,
    path_inside,
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
    with pytest.raises(RobustrecError, match="leads outside"):
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
