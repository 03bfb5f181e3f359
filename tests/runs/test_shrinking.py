"""Filtered features of subjects: their names, keys and store, and that audits perturb what comes before the filter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from robustrec.config import resolve
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.errors import RobustrecError
from robustrec.feature_names import NamedFeatures, Shrink, named_features
from robustrec.runs.plan import subject_specs
from robustrec.runs.prepared import Prepared, prepare
from robustrec.runs.shrinking import filtered_features, fitted_filter, fitted_filters
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
    fitted = fitted_filters([spec_of()], features, tmp_path)
    return prepare(dataset, features, torch.device("cpu"), fitted=fitted)


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
    again = fitted_filter(KEPT, prepared.features, tmp_path)
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
    made = filtered_features(prepared.features, (KEPT,), tmp_path)
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
