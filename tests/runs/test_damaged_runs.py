"""Stored runs that are damaged, half removed or cut off by a full disk: never other numbers, never half a run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from robustrec.config import Settings
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.errors import RobustrecError
from robustrec.runs.plan import subject_specs
from robustrec.runs.prepared import prepare
from robustrec.runs.store import PARAMETERS, RECORD, record_text
from robustrec.runs.subjects import obtain_subject

SET = {"training": {"max_epochs": 2, "batch_size": 128}, "vbpr": {"latent_width": 4}}


def _settings(home, **given):
    return Settings(home=home, model=("vbpr",), strategy=("vanilla",), set=SET, **given)


@pytest.fixture(scope="module")
def stored(tiny_folder, tmp_path_factory):
    """A prepared data set, a home with one run, and the run's subject."""
    home = tmp_path_factory.mktemp("stored")
    dataset = load_dataset(str(tiny_folder), home=home)
    prepared = prepare(dataset, item_features(dataset, "imported", home=home), torch.device("cpu"))
    (spec,) = subject_specs(_settings(home), "full")
    return prepared, home, obtain_subject(spec, prepared, home=home)


def _obtained(prepared, home, checkpoint=None):
    (spec,) = subject_specs(_settings(home, checkpoint=checkpoint), "full")
    return obtain_subject(spec, prepared, home=home)


def _ends(prepared, home, key):
    """Take a run from the store, and by its name; return what each ended in: a subject, or the error."""
    found = []
    for checkpoint in (None, key):
        try:
            found.append(_obtained(prepared, home, checkpoint))
        except RobustrecError as error:
            found.append(error)
    return found


def _same(one, other, *, besides=()):
    """Tell whether two subjects have the same parameters and records."""
    here, there = one.model.state_dict(), other.model.state_dict()
    alike = all(torch.equal(value, there[name]) for name, value in here.items())
    return alike and all(value == other.record[name] for name, value in one.record.items() if name not in besides)


@pytest.mark.parametrize("file", [RECORD, PARAMETERS])
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=40)
def test_a_flipped_bit_or_a_cut_never_changes_a_number(stored, tmp_path_factory, file, data):
    prepared, home, whole = stored
    other = tmp_path_factory.mktemp("home")
    folder = other / "runs" / whole.key
    shutil.copytree(home / "runs" / whole.key, folder)
    content = bytearray((folder / file).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1), label="byte")
    bit = data.draw(st.integers(-1, 7), label="bit; -1 cuts the file off")
    if bit < 0:
        del content[place:]
    else:
        content[place] ^= 1 << bit
    (folder / file).write_bytes(content)
    for end in _ends(prepared, other, whole.key):
        refused = isinstance(end, RobustrecError) and whole.key in end.fix
        assert refused or _same(whole, end)


@pytest.mark.parametrize(
    "change",
    [{"format": 99}, {"format": 1}, {"format": True}, {"format": "2"}, {"format": None}, {"seed": 1}, {"x": 1}],
)
def test_a_record_that_is_not_as_it_was_written_is_refused(stored, tmp_path, change):
    prepared, home, whole = stored
    shutil.copytree(home / "runs" / whole.key, tmp_path / "runs" / whole.key)
    path = tmp_path / "runs" / whole.key / RECORD
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | change))
    for checkpoint in (None, whole.key):
        with pytest.raises(RobustrecError, match="damaged") as error:
            _obtained(prepared, tmp_path, checkpoint)
        assert error.value.fix.endswith(f"rm -r {path.parent}")
    if "format" in change:  # a later version's record may well have the right digest
        record.pop("digest")
        path.write_text(record_text(record | change))
        with pytest.raises(RobustrecError, match=f"has format {change['format']!r}"):
            _obtained(prepared, tmp_path)


def test_a_run_under_the_name_of_another_is_refused(stored, tmp_path):
    prepared, home, whole = stored
    folder = tmp_path / "runs" / whole.key
    shutil.copytree(home / "runs" / whole.key, folder)
    record = {name: value for name, value in whole.record.items() if name != "digest"}
    (folder / RECORD).write_text(record_text(record | {"key": "1" * 32}))
    with pytest.raises(RobustrecError, match="is of run '1111"):
        _obtained(prepared, tmp_path)


@pytest.mark.parametrize("step", ["write_bytes", "write_text", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_an_error_and_leaves_no_half_run(stored, tmp_path, monkeypatch, step, number):
    prepared, _, whole = stored

    def full(*_arguments, **_options):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync" if step == "fsync" else f"pathlib.Path.{step}", full)
        with pytest.raises(RobustrecError, match=os.strerror(number)) as error:
            _obtained(prepared, tmp_path)
    assert "free disk space" in error.value.fix
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [".locks"]
    assert _same(whole, _obtained(prepared, tmp_path), besides=["seconds"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes to kill are forked")
def test_a_kill_at_any_step_of_saving_ends_in_the_same_run_and_leaves_nothing(tiny_folder, tmp_path):
    script = Path(__file__).with_name("kill_at_every_step.py")
    command = [sys.executable, str(script), str(tiny_folder), str(tmp_path / "home")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ends) > 12
    assert {True, False} == {end["resumed"] for end in ends}
    for end in ends:
        assert end["left"] == [".locks", end["key"]], end["step"]
        assert end["numbers"] == ends[-1]["numbers"], end["step"]
