"""Filtered features of subjects: their names, keys and store, and that audits perturb what comes before the filter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from robustrec.config import resolve
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.encoders.options import EncoderOptions
from robustrec.errors import RobustrecError
from robustrec.feature_names import NamedFeatures, Shrink, named_features
from robustrec.runs.fitting import filtered_features, fitted_filter, fitted_filters
from robustrec.runs.plan import subject_specs
from robustrec.runs.prepared import EditSource, Prepared, prepare
from robustrec.runs.specs import SubjectSpec, spec_json
from robustrec.runs.store import run_key
from robustrec.runs.subjects import obtain_subject
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig

KEPT = Shrink(kept=0.7)


@pytest.fixture
def prepared(tiny_folder: Path, tmp_path: Path) -> Prepared:
    dataset = load_dataset(str(tiny_folder), home=tmp_path)
    features = item_features(dataset, "imported", home=tmp_path)
    fitted = fitted_filters([spec_of()], dataset, features, source_of(tmp_path))
    return prepare(dataset, features, torch.device("cpu"), fitted=fitted)


def source_of(home: Path) -> EditSource:
    return EditSource(home, EncoderOptions(), "en", ())


def spec_of(model: str = "vbpr", shrink: Shrink | None = KEPT) -> SubjectSpec:
    return SubjectSpec(model, {}, TrainingConfig(max_epochs=2), StrategyConfig(), seed=0, shrink=shrink)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("basic", ("basic", (None,))),
        ("auto+shrink", ("auto", (KEPT,))),
        ("minilm+lite0+shrink=.7", ("minilm+lite0", (KEPT,))),
        ("shop.enc:Mine+shrink=0.50,edits", ("shop.enc:Mine", (Shrink(kept=0.5, edits=True),))),
        ("basic+shrink=edits", ("basic", (Shrink(edits=True),))),
        ("basic basic+shrink=.7 basic+shrink=0.7", ("basic", (None, KEPT))),
    ],
)
def test_names(text: str, found: tuple[str, tuple[Shrink | None, ...]]) -> None:
    assert named_features(text) == NamedFeatures(*found)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("shrink=.7", "needs one encoder before it"),
        ("basic+shrink=1", "from 0.01 to 0.99, but got '1'"),
        ("basic+shrink=nan", "got 'nan'"),
        ("basic+shrink=", "got ''"),
        ("basic+shrink=.7,edit", "'edit' is not a setting"),
        ("basic+shrink=edits,.7", "'edits'"),
        ("basic+shrink=.7+lite0", "not of a filter at its end"),
        ("basic+shrink=.7+shrink=.5", "at most one filter"),
        ("basic lite0+shrink=.7", "one encoder, but got basic and lite0"),
    ],
)
def test_names_that_are_refused(text: str, what: str) -> None:
    with pytest.raises(RobustrecError, match="--features") as caught:
        named_features(text)
    assert what in str(caught.value)


def test_labels_are_short() -> None:
    assert [Shrink(kept=kept).label for kept in (0.7, 0.05)] == ["shrink=.7", "shrink=.05"]
    assert named_features(f"x+{Shrink(kept=0.35, edits=True).label}").filters == (Shrink(kept=0.35, edits=True),)


def test_each_filter_is_a_subject_of_models_that_read_features(tmp_path: Path) -> None:
    given: dict[str, Any] = {"model": ["vbpr", "bpr"], "strategy": ["vanilla"], "home": tmp_path}
    settings = resolve({**given, "features": ["basic", "basic+shrink=.7"]}, environment={}, folder=tmp_path).settings
    found = [(spec.model, spec.shrink) for spec in subject_specs(settings, "sample")]
    assert found == [("vbpr", None), ("vbpr", KEPT), ("bpr", None)]


def test_keys_without_a_filter_do_not_change(prepared: Prepared) -> None:
    plain, filtered = spec_of(shrink=None), spec_of()
    assert "shrink" not in spec_json(plain)
    assert prepared.features is not None
    assert prepared.features_digest(None) == prepared.features.digest
    assert run_key(plain, prepared) != run_key(filtered, prepared)


def test_a_stored_filter_is_read_again_to_the_bit(prepared: Prepared, tmp_path: Path) -> None:
    assert prepared.features is not None
    first = prepared.fitted[KEPT]
    again = fitted_filter(KEPT, prepared.dataset, prepared.features, source_of(tmp_path))
    assert again.facts == first.facts
    assert again.facts["text"]["share of variance kept"] == pytest.approx(0.7)
    assert all(torch.equal(again.of[name].matrix, first.of[name].matrix) for name in first.of)
    assert first.of["image"].matrix.dtype == torch.float64


def test_a_subject_says_what_it_reads_and_takes_features_as_they_are(prepared: Prepared, tmp_path: Path) -> None:
    subject = obtain_subject(spec_of(), prepared, home=tmp_path)
    assert subject.subject.features == "imported+shrink=.7"
    assert subject.record["shrink"] == {"kept": 0.7, "edits": False}
    assert subject.tables["image"] is prepared.tables["image"]
    assert subject.record["features_digest"] == prepared.features_digest(KEPT)
    # The same parameters on features that were filtered beforehand give the same lists.
    assert prepared.features is not None
    made = filtered_features((KEPT,), prepared.dataset, prepared.features, source_of(tmp_path))
    assert made.name == "imported+shrink=.7"
    other = obtain_subject(
        SubjectSpec(**{**spec_of(shrink=None).__dict__, "checkpoint": _parameters(subject, tmp_path)}),
        prepare(prepared.dataset, made, torch.device("cpu")),
        home=tmp_path,
    )
    for ours, theirs in zip(subject.represent(), other.represent(), strict=True):
        torch.testing.assert_close(ours, theirs)


def _parameters(subject: Any, folder: Path) -> Path:
    path = folder / "parameters.pth"
    torch.save(subject.model.module().state_dict(), path)
    return path


def test_edits_need_an_encoder(tiny_folder: Path, tmp_path: Path) -> None:
    """Refused before any work, with the name of the filter that needs none."""
    from robustrec.api.steps import encode, train

    for run in (encode, train):
        options: dict[str, Any] = {"home": tmp_path, "features": "imported+shrink=.7,edits"}
        with pytest.raises(RobustrecError, match="imported features cannot be computed again") as caught:
            run(dataset=str(tiny_folder), **options, **({"model": "vbpr"} if run is train else {}))
        assert caught.value.fix == "use the filter without edits: --features imported+shrink=.7"


def test_a_filter_of_edits_is_fitted_on_edits_of_its_own(sample_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its random stream is not that of audits; equal on every seed; modalities that no edit moves are isotropic."""
    from robustrec.runs import fitting
    from robustrec.runs.edit_pools import STREAM as OF_TRAINING
    from robustrec.runs.treatments import AUDITED

    monkeypatch.setattr(fitting, "SHRINK_ITEMS", 12)
    dataset = load_dataset("clothing", home=sample_home, edition="sample")
    features = item_features(dataset, "basic", home=sample_home)
    edited = Shrink(kept=0.7, edits=True)
    moved = fitting.displacements(dataset, features, source_of(sample_home))
    assert {name: len(each) for name, each in moved.items()} == {"image": 12, "text": 12}
    assert len({fitting.STREAM, AUDITED, OF_TRAINING}) == 3
    fitted = fitting.fitted_filter(edited, dataset, features, source_of(sample_home))
    isotropic = fitting.fitted_filter(KEPT, dataset, features, source_of(sample_home))
    for name in ("image", "text"):
        facts = fitted.facts[name]
        assert facts["share of variance kept"] == pytest.approx(0.7, rel=1e-5)
        assert facts["norm"] <= 1
        assert facts["displacements"] == 12
        assert not torch.allclose(fitted.of[name].matrix, isotropic.of[name].matrix, atol=1e-3)
    assert fitted.identity["edits"]["severity"] == 3
    assert "12 edited items" in fitted.notes[0]
    still = fitting._fitted(edited, features, {"text": moved["text"], "image": moved["image"][:0]}, lambda *_: None)
    assert "isotropic, as no edit moves" in still.notes[0]
    torch.testing.assert_close(still.tables["image"], isotropic.of["image"].matrix)
    with pytest.raises(RobustrecError, match="edits move no vector"):
        fitting._fitted(edited, features, {}, lambda *_: None)
