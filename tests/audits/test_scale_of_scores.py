"""Multiplying all scores by a constant changes no list, so it must change no headline measure of flatness either."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from labelled import finding
from torch import nn

from robustrec.audits import run as runner
from robustrec.audits.plan import make_plan
from robustrec.audits.results import AuditResults, Work
from robustrec.audits.rows import Intervals
from robustrec.audits.run_tasks import run_audit
from robustrec.audits.sharpness.relation import relations
from robustrec.audits.suites import load_suite, suite_names
from robustrec.comparison.flatness import flatness_by
from robustrec.config import Settings
from robustrec.models.contract import Representation
from robustrec.reading.flatness import flatness_sentence
from robustrec.results.findings import Finding
from robustrec.results.scale import SCALE_DEPENDENT, depends_on_scale
from robustrec.subject import Subject

FACTOR = 4.0
SUITE = """
schema_version = 1
name = "flat"
metrics = ["ndcg@20"]
stability = []
bootstrap = { replicates = 100 }
[[audits]]
kind = "sharpness"
triples = 200
sigma = [0.1]
input_probes = 4
worst_items = 2
worst_probes = 2
input_steps = 4
flip_draws = 2
noise_pairs = 2
precision = "float64"
[audits.parameters]
eigenvalues = 2
steps = 6
probes = 4
average_pairs = 2
curvature_probes = 2
landscapes = { points = 3 }
"""


@pytest.fixture(scope="module")
def run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, runner.Measurements]:
    home = tmp_path_factory.mktemp("home")
    (home / "flat.toml").write_text(SUITE)
    training = {"training": {"max_epochs": 3, "learning_rate": 0.01, "batch_size": 128}}
    options = {"strategy": ("vanilla",), "device": "cpu", "set": training, "suite": str(home / "flat.toml")}
    plan = make_plan(Settings(home=home, model=("vbpr", "dragon"), dataset=str(tiny_folder), **options))
    return plan, runner.measure(plan)


def rescaled(model: Any) -> Any:
    """Multiply the table of users, and with it every score."""
    wider = copy.deepcopy(model)
    with torch.no_grad():
        wider.users.mul_(FACTOR)
    return wider


def multiplied(model: nn.Module) -> Any:
    """Multiply every score of any model behind its parameters."""

    def represent(self: Any, *args: Any) -> Representation:
        found = super(type(self), self).represent(*args)
        return Representation(FACTOR * found.users, found.items)

    wider = copy.deepcopy(model)
    wider.__class__ = type("Wider", (type(model),), {"represent": represent})
    return wider


def _audited(run: Any, name: str, widen: Any) -> tuple[dict[Any, Finding], AuditResults]:
    plan, measured = run
    (pair,) = [pair for pair in measured.subjects if pair[0].spec.model == name]
    results = AuditResults()
    subject = replace(pair[0], model=widen(pair[0].model))
    work = Work(plan, measured.context, Intervals(plan.suite.bootstrap, 0), results)
    run_audit(plan.suite.audits[0], [(subject, pair[1])], work)
    assert {each.status for each in results.statuses} == {"ok"}
    return {(row.condition.label, row.metric, row.quantity): row for row in results.findings}, results


@pytest.mark.parametrize(("name", "widen"), [("vbpr", rescaled), ("vbpr", multiplied), ("dragon", multiplied)])
def test_headline_sharpness_is_the_same_when_all_scores_are_multiplied(run: Any, name: str, widen: Any) -> None:
    before, first = _audited(run, name, copy.deepcopy)
    after, second = _audited(run, name, widen)
    assert before.keys() == after.keys()
    headline = [key for key, row in before.items() if row.quantity == "value" and not depends_on_scale(row)]
    assert {metric for _, metric, _ in headline} >= {
        "audit_loss",
        "input_sharpness",
        "input_lambda_1",
        "delta_loss",
        "delta_loss_ratio",
        "flip_rate",
        "asam_sharpness",
        "average_case",
        "row_adaptive_curvature",
    }
    for key in headline:
        assert after[key].clean == pytest.approx(before[key].clean, rel=2e-4, abs=1e-10), key
    for key in before.keys() - headline:
        if before[key].quantity == "drift":
            assert after[key].drift == pytest.approx(before[key].drift, abs=1e-12), key
    for metric in ("input_sharpness", "delta_loss"):
        raw = ("sigma_std=0.1", metric, "value")
        assert abs(after[raw].clean / before[raw].clean - 1) > 0.05
        assert "depends on the scale of the scores" in after[raw].note
    for curve, other in zip(first.exhibits, second.exhibits, strict=True):
        if "eigenvector" not in curve.name:
            assert other.y == pytest.approx(curve.y, rel=2e-4, abs=1e-10), curve.name


def test_every_row_that_depends_on_the_scale_says_so(run: Any) -> None:
    rows, _ = _audited(run, "vbpr", copy.deepcopy)
    dependent = [row for row in rows.values() if depends_on_scale(row)]
    assert {row.metric for row in dependent} >= {"audit_loss", "input_sharpness", "lambda_1", "trace", "sam_sharpness"}
    for row in dependent:
        assert "depends on the scale" in row.note or "not scale-invariant" in row.note, row
    assert all(not depends_on_scale(row) for row in rows.values() if row.quantity == "drift")


def test_shipped_gates_on_sharpness_stand_on_measures_without_scale() -> None:
    judged = 0
    for name in suite_names():
        for gate in load_suite(name).gates:
            if gate.select.audit == "sharpness" and gate.quantity == "value":
                assert gate.select.standardised, gate.name
                judged += 1
    assert judged


@pytest.mark.parametrize(("name", "widen"), [("vbpr", rescaled), ("dragon", multiplied)])
def test_what_strategies_are_compared_by_does_not_see_the_scale(run: Any, name: str, widen: Any) -> None:
    measured = run[1]
    (subject,) = [subject for subject, _ in measured.subjects if subject.spec.model == name]
    flatness = flatness_by(measured.context.prepared, seed=0, triples=200, probes=4, steps=6)
    before, after = flatness(subject), flatness(replace(subject, model=widen(subject.model)))
    assert list(before) == list(after)
    free = [measure for measure in before if not measure.scale_dependent]
    names = {measure.name for measure in free}
    assert {"input sharpness image", "worst case (ASAM)", "row-adaptive curvature"} <= names
    assert all(measure.name.endswith(SCALE_DEPENDENT) for measure in before.keys() - free)
    for measure in free:
        assert after[measure] == pytest.approx(before[measure], rel=2e-3), measure
    for measure in before.keys() - free:
        assert abs(after[measure] / before[measure] - 1) > 0.01, measure


def _rows(place: int, flat: float, scale: float) -> list[Finding]:
    """What a subject whose scores are multiplied by a scale shows: only measures that depend on it move."""
    subject = Subject(model="vbpr", strategy="abcdef"[place], features="basic", seed=0)
    common: dict[str, Any] = {"subject": subject, "n_users": 10, "n_draws": 1, "unit": "nats"}
    value = {"audit": "sharpness", "quantity": "value", **common}
    lost = -0.01 * (place + 1)
    return [
        finding(condition="sigma_std=0.1 standardised", metric="input_sharpness", clean=flat, **value),
        finding(condition="sigma_std=0.1", metric="input_sharpness", clean=flat * scale, **value),
        finding(condition="parameters", metric="lambda_1", clean=flat * scale, **value),
        finding(
            audit="noise",
            condition="sigma2=1e-06",
            metric="ndcg@20",
            quantity="drift",
            clean=1.0,
            perturbed=1.0 + lost,
            drift=lost,
            relative_drift=lost,
            **common,
        ),
    ]


def test_correlations_of_subjects_that_only_widen_margins_say_nothing_of_flatness() -> None:
    """The scale follows the drift in reverse and flatness does not move: the raw measure would order it in reverse."""
    flat = [0.3, 0.1, 0.4, 0.2, 0.5, 0.25]
    plain, widened = (
        relations([row for place in range(6) for row in _rows(place, flat[place], scale(place))], seed=0)
        for scale in (lambda place: 1.0, lambda place: 10.0**-place)
    )
    headline = [(each.measure, each.tau, each.sentence) for each in plain if SCALE_DEPENDENT not in each.measure]
    assert headline == [(each.measure, each.tau, each.sentence) for each in widened if "scale" not in each.measure]
    assert flatness_sentence(plain) == flatness_sentence(widened)
    raw = [each for each in widened if SCALE_DEPENDENT in each.measure]
    assert {each.tau for each in raw} == {-1.0}
    for each in raw:
        assert "flatter" not in each.sentence
        assert "(scale-dependent) correlates negatively" in each.sentence
    assert widened.index(raw[0]) > 0, "the headline comes first"


def test_scores_without_a_derivative_in_the_features_have_no_input_sharpness_to_compare(
    tiny_folder: Path, tmp_path: Path
) -> None:
    """Zero would be called the flattest of all."""
    (tmp_path / "flat.toml").write_text(SUITE)
    training = {"training": {"max_epochs": 1, "batch_size": 128}}
    options = {"strategy": ("vanilla",), "device": "cpu", "set": training, "suite": str(tmp_path / "flat.toml")}
    plan = make_plan(Settings(home=tmp_path, model=("freedom",), dataset=str(tiny_folder), **options))
    measured = runner.measure(plan)
    ((subject, _),) = measured.subjects
    found = flatness_by(measured.context.prepared, seed=0, triples=100, probes=2, steps=3)(subject)
    names = {measure.name for measure in found}
    assert not [name for name in names if name.startswith("input sharpness")]
    assert "row-adaptive curvature" in names
