"""Which world the noise audit measures: item graphs rebuilt or frozen, features in no score, nothing to train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from robustrec.audits import run as runner
from robustrec.audits.noise.condition import NoiseCondition, add_noise
from robustrec.audits.noise.draws import standard_noise
from robustrec.audits.plan import make_plan
from robustrec.config import Settings
from robustrec.errors import RobustrecError

SUITE = """
schema_version = 1
name = "worlds"
metrics = ["ndcg@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
sigma2 = [0.0, 1e-1]
graphs = ["rebuilt", "frozen"]
draws = 2
"""
TRAINING = 'training = { sigma2 = [1e-2], draws = 1 }\nbreak_point = { metric = "ndcg@20", draws = 1, steps = 1 }\n'


def _measured(folder: Path, home: Path, *models: str, suite: str = SUITE, **settings: Any) -> runner.Measurements:
    path = home / "worlds.toml"
    path.write_text(suite)
    overrides = {"training": {"max_epochs": 2, "learning_rate": 0.01, "batch_size": 128}}
    options = {"strategy": ("vanilla",), "device": "cpu", "set": overrides, **settings}
    plan = make_plan(Settings(home=home, model=models, dataset=str(folder), suite=str(path), **options))
    return runner.measure(plan)


@pytest.fixture(scope="module")
def measured(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> runner.Measurements:
    return _measured(tiny_folder, tmp_path_factory.mktemp("home"), "dragon", "vbpr", "freedom")


def _drift(run: runner.Measurements, model: str, condition: str, metric: str = "rbo@20") -> float | None:
    rows = [
        row
        for row in run.results.findings
        if (row.subject.model, row.condition.label, row.metric) == (model, condition, metric) and row.audit == "noise"
    ]
    return rows[0].drift if rows else None


def test_frozen_and_rebuilt_graphs_are_two_conditions_for_models_that_have_them(measured: runner.Measurements) -> None:
    rebuilt, frozen = (_drift(measured, "dragon", f"sigma2=0.1{world}") for world in ("", " frozen graphs"))
    assert rebuilt is not None
    assert frozen is not None
    assert rebuilt != frozen
    assert _drift(measured, "vbpr", "sigma2=0.1") is not None
    assert _drift(measured, "vbpr", "sigma2=0.1 frozen graphs") is None


def test_without_noise_neither_world_moves(measured: runner.Measurements) -> None:
    for world in ("", " frozen graphs"):
        assert _drift(measured, "dragon", f"sigma2=0{world}") == 0.0


def test_noise_reaches_freedom_through_its_graph_and_through_nothing_else(measured: runner.Measurements) -> None:
    assert _drift(measured, "freedom", "sigma2=0.1") != 0.0
    assert _drift(measured, "freedom", "sigma2=0.1 frozen graphs") == 0.0


def test_frozen_graphs_alone_say_nothing_of_a_model_that_reads_features_by_them_only(
    tiny_folder: Path, tmp_path: Path
) -> None:
    """A drift that is 0 whatever the noise passes no gate; features reach the scores of DRAGON by its encoder too."""
    suite = SUITE.replace('graphs = ["rebuilt", "frozen"]', 'graphs = ["frozen"]')
    run = _measured(tiny_folder, tmp_path, "freedom", "dragon", suite=suite)
    assert {row.subject.model for row in run.results.findings if row.audit == "noise"} == {"dragon"}
    (status,) = (each for each in run.results.statuses if each.audit == "noise" and each.subject.model == "freedom")
    assert status.status == "not_applicable"
    assert 'graphs = ["rebuilt"]' in status.message


def test_a_frozen_representation_is_that_of_the_clean_graphs(measured: runner.Measurements) -> None:
    subject = next(subject for subject, _ in measured.subjects if subject.subject.model == "dragon")
    assert subject.model is not None
    assert subject.graphs is not None
    noise = standard_noise(subject.tables, seed=1, draw=0)
    noisy = add_noise(subject.tables, noise, NoiseCondition(0.1))
    rebuilt = subject.model.item_graphs(noisy)["items"]  # type: ignore[attr-defined]
    assert not torch.equal(rebuilt.pattern.columns, subject.graphs["items"].pattern.columns)
    found = subject.represent(noisy, frozen=True)
    expected = subject.model.represent(noisy, subject.graphs)  # type: ignore[call-arg]
    for ours, theirs in zip(found[:2], expected, strict=True):
        assert torch.equal(ours, theirs)
    again = subject.represent(subject.tables)
    assert torch.equal(again[1], subject.represent()[1]), "the clean graphs are those of the clean features"


def test_features_that_shape_training_only_are_refused_unless_training_is_measured(
    tiny_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(RobustrecError, match="its scores do not depend on the item features"):
        _measured(tiny_folder, tmp_path, "bm3")

    run = _measured(tiny_folder, tmp_path, "bm3", suite=SUITE + TRAINING)
    (status,) = [status for status in run.results.statuses if status.audit == "noise"]
    assert status.status == "ok"
    conditions = {
        row.condition.label for row in run.results.findings if row.audit == "noise" and row.quantity == "drift"
    }
    assert conditions == {"trained sigma2=0.01"}


def test_what_was_trained_elsewhere_is_not_trained_again(tiny_folder: Path, tmp_path: Path) -> None:
    trained = _measured(tiny_folder, tmp_path, "vbpr").subjects[0][0]
    assert trained.model is not None
    torch.save(trained.model.module().state_dict(), tmp_path / "vbpr.pth")
    run = _measured(tiny_folder, tmp_path, "vbpr", suite=SUITE + TRAINING, checkpoint=str(tmp_path / "vbpr.pth"))
    assert run.context.costs.trainings == 0
    (status,) = [status for status in run.results.statuses if status.audit == "noise"]
    assert status.status == "ok"
    assert "noise in training: not applicable" in status.message
    conditions = {
        row.condition.label for row in run.results.findings if row.audit == "noise" and row.quantity == "drift"
    }
    assert conditions == {"sigma2=0", "sigma2=0.1"}
    (subject, _) = run.subjects[0]
    assert subject.subject.strategy == "external"
    assert torch.equal(subject.represent()[1], trained.represent()[1])


def test_a_stored_run_can_be_trained_again_on_noisy_features(tiny_folder: Path, tmp_path: Path) -> None:
    trained = _measured(tiny_folder, tmp_path, "vbpr").subjects[0][0]
    run = _measured(tiny_folder, tmp_path, "vbpr", suite=SUITE + TRAINING, checkpoint=trained.key)
    assert run.context.costs.trainings == 1
    assert "trained sigma2=0.01" in {row.condition.label for row in run.results.findings}
    assert run.subjects[0][0].subject == trained.subject
