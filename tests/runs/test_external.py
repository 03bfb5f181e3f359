"""Parameters from files and stored runs, and functions that score: what is taken, what is refused, what is equal."""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from robustrec.config import Settings
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.errors import RobustrecError
from robustrec.runs.external import read_state
from robustrec.runs.plan import subject_specs
from robustrec.runs.prepared import prepare
from robustrec.runs.store import record_text
from robustrec.runs.subjects import obtain_subject

SHORT = {"training": {"max_epochs": 2, "batch_size": 128}, "vbpr": {"latent_width": 4}}


def settings(home, **given):
    options = {"model": ("vbpr",), "strategy": ("vanilla",), "set": SHORT}
    return Settings(home=home, **(options | given))


def loaded(home, prepared, checkpoint, **given):
    """Return the subject that a checkpoint leads to."""
    (spec,) = subject_specs(settings(home, checkpoint=str(checkpoint), **given), "full")
    return obtain_subject(spec, prepared, home=home)


def refused(home, prepared, checkpoint, **given):
    """Return the error that a checkpoint ends in."""
    with pytest.raises(RobustrecError) as caught:
        loaded(home, prepared, checkpoint, **given)
    assert caught.value.fix
    assert "--checkpoint" in caught.value.where
    return caught.value.what


@pytest.fixture
def trained(tiny, tmp_path):
    """A trained subject, whose run is in the store at the test's folder."""
    (spec,) = subject_specs(settings(tmp_path), "full")
    return obtain_subject(spec, tiny, home=tmp_path)


@pytest.fixture
def state(trained):
    return {name: value.clone() for name, value in trained.model.state_dict().items()}


def same_scores(one, other):
    a, b = one.represent(), other.represent()
    return torch.equal(a.users, b.users) and torch.equal(a.items, b.items)


def test_a_stored_run_comes_back_with_its_settings_and_strategy(trained, tiny, tmp_path):
    folder = tmp_path / "runs" / trained.key
    elsewhere = tmp_path / "copy"
    shutil.copytree(folder, elsewhere)
    for checkpoint in (trained.key, folder, elsewhere):
        again = loaded(tmp_path, tiny, checkpoint, model=("slmrec", "vbpr"), set={})
        assert same_scores(again, trained)
        assert (again.subject, again.key, again.record) == (trained.subject, trained.key, trained.record)
        assert not again.spec.trains
        assert not again.model.training


def test_what_was_not_asked_for_is_no_contradiction(trained, tiny, tmp_path):
    (spec,) = subject_specs(Settings(home=tmp_path, checkpoint=trained.key), "full")
    assert spec.model == "vbpr", "the default model asks for nothing"
    assert same_scores(obtain_subject(spec, tiny, home=tmp_path), trained)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model": ("bpr",)}, "trained with --model vbpr, but got --model bpr"),
        ({"strategy": ("sam", "sgbd")}, "trained with --strategy vanilla, but got --strategy sam sgbd"),
        ({"set": {"vbpr": {"latent_width": 8}}}, "latent_width = 4, not 8"),
    ],
)
def test_a_stored_run_that_is_not_what_is_asked_for_is_refused(given, told, trained, tiny, tmp_path):
    assert told in refused(tmp_path, tiny, trained.key, **given)


def test_a_stored_run_on_other_data_or_features_is_refused(trained, tiny, tiny_folder, tmp_path):
    for change, told in ((_other_split, "another data set"), (_other_features, "another data set")):
        folder = tmp_path / change.__name__
        shutil.copytree(tiny_folder, folder)
        change(folder)
        data = load_dataset(str(folder), home=tmp_path)
        other = prepare(data, item_features(data, "imported", home=tmp_path), torch.device("cpu"))
        assert told in refused(tmp_path, other, trained.key)


def _other_split(folder):
    path = folder / "tiny.inter"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def _other_features(folder):
    np.save(folder / "text_feat.npy", np.load(folder / "text_feat.npy") * 2)


def test_a_run_trained_on_noise_is_refused(trained, tiny, tmp_path):
    path = tmp_path / "runs" / trained.key / "run.json"
    path.write_text(record_text(trained.record | {"training_noise": "sigma2=1e-06 draw 0"}))
    assert "is not a clean model" in refused(tmp_path, tiny, trained.key)


@pytest.mark.parametrize(
    "change", [{"model_config": {"widht": 3}}, {"training": {"epochs": 3}}, {"strategy": None}, {"seed": "x"}]
)
def test_a_run_of_another_version_is_refused(change, trained, tiny, tmp_path):
    path = tmp_path / "runs" / trained.key / "run.json"
    path.write_text(record_text(trained.record | change))
    assert "another version" in refused(tmp_path, tiny, trained.key)


def test_a_damaged_record_is_refused(trained, tiny, tmp_path):
    path = tmp_path / "runs" / trained.key / "run.json"
    for content in ("[]", "{", ""):
        path.write_text(content)
        with pytest.raises(RobustrecError, match="damaged"):
            loaded(tmp_path, tiny, trained.key)


def test_a_run_of_ones_own_model_imports_nothing_that_was_not_named(trained, tiny, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "evil_shop.py").write_text("open('ran', 'w')")
    path = tmp_path / "runs" / trained.key / "run.json"
    path.write_text(record_text(trained.record | {"model": "evil_shop:Model"}))
    assert "imported only if --model names it" in refused(tmp_path, tiny, trained.key)
    assert "evil_shop" not in sys.modules


def test_no_file_and_no_run_is_an_error_that_removes_nothing(tiny, tmp_path):
    (tmp_path / "somewhere").mkdir()
    for checkpoint in ("0" * 32, "nowhere.pth", tmp_path / "somewhere"):
        assert "not found" in refused(tmp_path, tiny, checkpoint)


def _as_safetensors(state, path):
    save_file(state, path)


def _as_pickle(state, path):
    torch.save(state, path)


def _wrapped(name):
    def write(state, path):
        torch.save({"epoch": 3, name: state, "optimizer": {"lr": [0.1]}}, path)

    return write


def _parallel(state, path):
    torch.save({f"module.{name}": value for name, value in state.items()}, path)


def _half(state, path):
    torch.save({name: value.double() for name, value in state.items()}, path)


WRITERS = {
    "a.safetensors": _as_safetensors,
    "b.pth": _as_pickle,
    "c.ckpt": _wrapped("state_dict"),
    "d.pt": _wrapped("model_state_dict"),
    "e.bin": _wrapped("model"),
    "f.pth": _parallel,
    "g.pth": _half,
}


@pytest.mark.parametrize("name", list(WRITERS))
def test_a_file_of_parameters_scores_as_the_model_it_is_of(name, trained, state, tiny, tmp_path):
    WRITERS[name](state, tmp_path / name)
    found = loaded(tmp_path, tiny, tmp_path / name)
    assert same_scores(found, trained)
    assert found.subject.strategy == "external"
    assert found.record["parameters_digest"] == trained.record["parameters_digest"]
    assert found.record["n_parameters"] == trained.record["n_parameters"]
    assert found.record["source"] == f"parameters of {name}"
    assert (found.record["training"], found.record["strategy"]) == (None, None)
    assert "epochs" not in found.record


class _Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def test_a_file_that_holds_code_is_refused_and_never_runs(state, tiny, tmp_path):
    marker = tmp_path / "ran"
    torch.save({"state_dict": state, "extra": _Runs(marker)}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps({"users": _Runs(marker)}))
    for name in ("a.pth", "b.pth"):
        told = refused(tmp_path, tiny, tmp_path / name)
        assert "was not loaded" in told
        assert "weights_only" not in told, "torch's advice to run it is not passed on"
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.pth", b"", "was not loaded"),
        ("text.pth", b"users: 1", "was not loaded"),
        ("text.safetensors", b"users: 1", "cannot read text.safetensors"),
        ("cut.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{", "cannot read cut.safetensors"),
    ],
)
def test_a_damaged_file_is_refused(name, content, told, tiny, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert told in refused(tmp_path, tiny, tmp_path / name)


@pytest.mark.parametrize("content", [[1, 2], {"users": 3}, {"users": torch.eye(3).to_sparse()}, torch.ones(3)])
def test_what_is_no_state_dict_is_refused(content, tiny, tmp_path):
    torch.save(content, tmp_path / "a.pth")
    assert "no state_dict of plain tensors" in refused(tmp_path, tiny, tmp_path / "a.pth")
    with pytest.raises(RobustrecError):
        read_state(tmp_path / "a.pth")


def test_parameters_that_do_not_fit_are_refused_by_name(state, tiny, tmp_path):
    path = tmp_path / "a.safetensors"

    def told(change, **given):
        save_file({name: value for name, value in (state | change).items() if value is not None}, path)
        return refused(tmp_path, tiny, path, **given)

    assert "no projection.bias" in told({"projection.bias": None})
    assert "besides extra" in told({"extra": torch.ones(2)})
    assert told({f"extra.{i}": torch.ones(2) for i in range(30)}).endswith("and 26 more")
    assert "users must have shape (80, 8) for this data set, features and settings, but got (79, 8)" in told(
        {"users": state["users"][1:].clone()}
    )
    assert "must have shape (80, 128)" in told({}, set={}), "its settings have to be named"
    broken = state["items"].clone()
    broken[3, 1] = float("nan")
    assert "items holds NaN or infinity" in told({"items": broken})
    assert told({}, model=("slmrec",))


def test_a_file_goes_with_one_model_that_has_parameters(state, tiny, tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_file(state, path)
    assert "exactly one model, but got vbpr, bpr" in refused(tmp_path, tiny, path, model=("vbpr", "bpr"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_scorer_x.py").write_text("def score(features, users): ...\n")
    assert "is a scorer without parameters" in refused(tmp_path, tiny, path, model=("own_scorer_x:score",))


def test_a_function_that_scores_as_a_model_does_is_measured_alike(trained, state, tiny, tmp_path, monkeypatch):
    """The scores of a trained model, computed anew in numpy, rank as the model itself does, whatever the features."""
    save_file(state, tmp_path / "parameters.safetensors")
    (tmp_path / "vbpr_in_numpy.py").write_text(
        f"""
import numpy as np
from safetensors.numpy import load_file
P = load_file({str(tmp_path / "parameters.safetensors")!r})
def score(features, users):
    rows = np.concatenate([features["text"], features["image"]], axis=1)
    items = np.concatenate([P["items"], rows @ P["projection.weight"].T + P["projection.bias"]], axis=1)
    return P["users"][users] @ items.T
"""
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (spec,) = subject_specs(settings(tmp_path, model=("vbpr_in_numpy:score",), seeds=3), "full")
    scorer = obtain_subject(spec, tiny, home=tmp_path)
    assert (scorer.model, scorer.graphs, scorer.subject.strategy) == (None, None, "external")
    assert list(scorer.tables) == ["image", "text"]
    ids = np.array([7, 0, 79])
    for shift in (0.0, 0.5):
        tables = {name: table + shift for name, table in tiny.tables.items()}
        users, items = trained.represent(tables)
        torch.testing.assert_close(scorer.represent(tables).score(ids), users[ids] @ items.T, rtol=1e-5, atol=1e-6)
    assert load_file(tmp_path / "parameters.safetensors").keys() == state.keys()


def test_without_validation_rows_only_a_training_is_refused(state, tiny_folder, tmp_path, monkeypatch):
    """Many published splits have train and test rows only; a scorer and a checkpoint select nothing."""
    folder = tmp_path / "no validation"
    shutil.copytree(tiny_folder, folder)
    path = next(folder.glob("*.inter"))
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if line[-3:] != "\t1\n"))
    dataset = load_dataset(str(folder), home=tmp_path)
    assert not (dataset.interactions.labels == 1).any()
    here = prepare(dataset, item_features(dataset, "imported", home=tmp_path), torch.device("cpu"))
    (tmp_path / "constant_scorer.py").write_text("def score(features, users): return features['text'][users, :1]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (spec,) = subject_specs(settings(tmp_path, model=("constant_scorer:score",)), "full")
    assert obtain_subject(spec, here, home=tmp_path).model is None
    save_file(state, tmp_path / "parameters.safetensors")
    assert loaded(tmp_path, here, tmp_path / "parameters.safetensors").model is not None
    (spec,) = subject_specs(settings(tmp_path), "full")
    with pytest.raises(RobustrecError, match="no user has validation interactions"):
        obtain_subject(spec, here, home=tmp_path)
