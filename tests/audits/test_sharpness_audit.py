"""The sharpness audit through the library: rows, statuses, costs, and bad input that must never become a number."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from robustrec.audits import run as runner
from robustrec.audits.outcome import make_report, write_outcome
from robustrec.audits.plan import Plan, cost_of, make_plan
from robustrec.audits.results import AuditResults, Work
from robustrec.audits.rows import Intervals
from robustrec.audits.run_tasks import run_audit
from robustrec.audits.sharpness import audit as sharpness_audit
from robustrec.audits.sharpness.config import SharpnessAudit
from robustrec.audits.suites import load_suite, parse_suite
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.results.exhibits import Curve, Surface
from robustrec.results.report import read_report

SUITE = """
schema_version = 1
name = "flat"
metrics = ["ndcg@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "sharpness"
triples = 300
sigma = [0.05, 0.3]
input_probes = 4
worst_items = 3
worst_probes = 4
input_steps = 4
flip_draws = 2
noise_pairs = 2
"""
PARAMETERS = """
[audits.parameters]
eigenvalues = 2
steps = 8
probes = 4
average_pairs = 2
curvature_probes = 2
training_loss = true
training_triples = 64
density = { probes = 2, steps = 5 }
landscapes = { points = 3, grid = 3 }
"""
GATE = """
[[gates]]
name = "flat"
select = { audit = "sharpness", sigma_std = 0.05, standardised = false, modality = "all", metric = "input_sharpness" }
quantity = "value"
max = 10.0
optional = true
"""


def _plan(folder: Path, home: Path, *models: str, suite: str = SUITE + PARAMETERS, **settings: Any) -> Plan:
    path = home / "flat.toml"
    path.write_text(suite)
    overrides = {"training": {"max_epochs": 4, "learning_rate": 0.01, "batch_size": 128}}
    options = {"strategy": ("vanilla",), "device": "cpu", "set": overrides, **settings}
    return make_plan(Settings(home=home, model=models, dataset=str(folder), suite=str(path), **options))


@pytest.fixture(scope="module")
def audited(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, runner.Measurements, Path]:
    home = tmp_path_factory.mktemp("home")
    plan = _plan(tiny_folder, home, "vbpr", "dragon", "freedom", "bm3")
    return plan, runner.measure(plan), home


def _values(run: runner.Measurements, model: str, metric: str, condition: str | None = None) -> list[float]:
    return [
        row.clean
        for row in run.results.findings
        if row.audit == "sharpness"
        and row.subject.model == model
        and row.metric == metric
        and row.quantity == "value"
        and condition in (None, row.condition.label)
    ]


def _statuses(run: runner.Measurements, model: str) -> dict[str, str]:
    return {each.audit: each.status for each in run.results.statuses if each.subject.model == model}


def test_the_expansion_is_held_against_the_measured_loss(audited: Any) -> None:
    _, run, _ = audited
    for model in ("vbpr", "dragon"):
        (expected,), (measured,) = (
            _values(run, model, metric, "sigma_std=0.05 standardised") for metric in ("input_sharpness", "delta_loss")
        )
        (ratio,) = _values(run, model, "delta_loss_ratio", "sigma_std=0.05 standardised")
        assert ratio == pytest.approx(measured / expected)
        parts = _values(run, model, "input_sharpness")
        assert len(parts) == 6, "of standardised margins first, then of raw ones"
        assert parts[0] == pytest.approx(parts[1] + parts[2])
        assert parts[3] == pytest.approx(parts[4] + parts[5])
    (smooth,) = _values(run, "vbpr", "delta_loss_ratio", "sigma_std=0.05")
    assert smooth == pytest.approx(1.0, abs=0.4), "two pairs and four probes"


def test_estimates_carry_their_errors_and_eigenvalues_their_residuals(audited: Any) -> None:
    rows = [row for row in audited[1].results.findings if row.audit == "sharpness" and row.quantity == "value"]
    assert rows
    for row in rows:
        assert row.clean is not None
        if row.n_draws > 1:
            assert row.degrees == row.n_draws - 1
            assert row.ci_low <= row.clean <= row.ci_high
            assert "standard error" in row.note
        if "lambda" in row.metric:
            assert "residual" in row.note
        if row.metric in {"lambda_1", "trace", "sam_sharpness"} and row.condition.label.startswith("parameters"):
            assert "not scale-invariant" in row.note
    assert {row.condition.label for row in rows if row.metric == "trace" and row.subject.model == "vbpr"} >= {
        "parameters",
        "parameters: users",
        "parameters: items",
        "parameters: projections",
        "training loss",
    }


def test_every_subject_ends_with_a_status_that_says_what_was_measured(audited: Any) -> None:
    _, run, _ = audited
    for model in ("vbpr", "dragon"):
        assert _statuses(run, model) == {"reach": "ok", "sharpness": "ok", "sharpness of parameters": "ok"}
    for model in ("freedom", "bm3"):
        assert _statuses(run, model)["sharpness"] == "not_applicable"
        assert _statuses(run, model)["sharpness of parameters"] == "ok"
        assert not _values(run, model, "input_sharpness"), "no derivative is not a flatness of 0"
        assert not _values(run, model, "delta_loss_ratio")
    rebuilt = {
        row.condition.label
        for row in run.results.findings
        if row.subject.model == "freedom" and row.metric == "ndcg@20"
    }
    assert {"sigma_std=0.05 rebuilt graphs", "sigma_std=0.3 rebuilt graphs"} <= rebuilt
    assert "sigma_std=0.05" not in rebuilt


def test_the_run_costs_no_more_than_the_plan_announced(audited: Any) -> None:
    plan, run, _ = audited
    cost = cost_of(plan)
    assert 0 < run.context.costs.gradients <= cost.gradients
    assert run.context.costs.rankings <= cost.rankings


def test_curves_and_surfaces_are_kept(audited: Any) -> None:
    exhibits = [each for each in audited[1].results.exhibits if each.subject.model == "vbpr"]
    names = {each.name for each in exhibits if isinstance(each, Curve)}
    assert names == {
        "sharpest items, image",
        "sharpest items, text",
        "spectral density",
        "loss along a random direction",
        "loss along a top eigenvector",
    }
    (plane,) = [each for each in exhibits if isinstance(each, Surface)]
    (loss,) = _values(audited[1], "vbpr", "audit_loss", "clean standardised")
    assert plane.z[1][1] == pytest.approx(loss, rel=1e-5)
    (items,) = [each for each in exhibits if each.name == "sharpest items, image"]
    assert len(items.x) == 3
    assert list(items.y) == sorted(items.y, reverse=True)


def test_flatness_is_held_against_drift_and_four_subjects_are_too_few(audited: Any) -> None:
    relations = audited[1].results.relations
    assert relations
    assert all(each.tau is None and "is not defined" in each.sentence for each in relations)


def test_the_report_reads_back_and_the_same_plan_finds_the_same(audited: Any) -> None:
    plan, run, home = audited
    report, arrays = make_report(plan, run, command=["robustrec", "audit"])
    written = write_outcome(report, arrays, home / "report.json")
    assert read_report(home / "report.json") == written
    again = runner.measure(plan)
    assert again.results.findings == run.results.findings
    assert again.results.exhibits == run.results.exhibits


def test_float64_agrees_with_float32_and_raw_margins_can_be_left_out(audited: Any, tiny_folder: Path) -> None:
    _, run, home = audited
    suite = SUITE + 'precision = "float64"\nraw_margins = false\n'
    fine = runner.measure(_plan(tiny_folder, home, "vbpr", suite=suite))
    for metric in ("audit_loss", "input_sharpness", "delta_loss", "flip_rate"):
        found, rough = (
            {row.condition.label: row.clean for row in each.results.findings if (row.subject.model, row.metric) == own}
            for each, own in ((fine, ("vbpr", metric)), (run, ("vbpr", metric)))
        )
        assert found
        assert {condition: rough[condition] for condition in found} == pytest.approx(found, rel=1e-3, abs=1e-7)
    assert not _values(fine, "vbpr", "input_sharpness", "sigma_std=0.05")
    assert _statuses(fine, "vbpr") == {"reach": "ok", "sharpness": "ok"}


def test_an_optional_gate_is_left_out_where_scores_have_no_derivative(tiny_folder: Path, tmp_path: Path) -> None:
    plan = _plan(tiny_folder, tmp_path, "freedom", suite=SUITE + PARAMETERS + GATE)
    report, _ = make_report(plan, runner.measure(plan), command=["robustrec"])
    assert not report.gates
    assert any("skipped" in warning for warning in report.warnings)


def _again(audited: Any, name: str, **changes: Any) -> list[Any]:
    """Run the audit alone on one subject that was changed, and return its statuses."""
    plan, run, _ = audited
    (pair,) = [pair for pair in run.subjects if pair[0].spec.model == name]
    results = AuditResults()
    work = Work(plan, run.context, Intervals(plan.suite.bootstrap, 0), results)
    run_audit(plan.suite.audits[0], [(replace(pair[0], **changes), pair[1])], work)
    assert all(row.clean is None or math.isfinite(row.clean) for row in results.findings)
    return results.statuses


def test_a_function_that_only_scores_is_not_applicable(audited: Any) -> None:
    statuses = _again(audited, "vbpr", model=None)
    assert {each.status for each in statuses} == {"not_applicable"}
    assert "no derivatives" in statuses[0].message


def test_parameters_that_are_not_numbers_end_in_error(audited: Any) -> None:
    (subject,) = [subject for subject, _ in audited[1].subjects if subject.spec.model == "vbpr"]
    kept = subject.model.users.detach().clone()
    try:
        with torch.no_grad():
            subject.model.users[0] = float("nan")
        statuses = _again(audited, "vbpr")
    finally:
        with torch.no_grad():
            subject.model.users.copy_(kept)
    assert {each.status for each in statuses} == {"error"}
    assert "not finite" in statuses[0].message


def test_want_of_memory_ends_in_error_and_the_rest_goes_on(audited: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*args: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(sharpness_audit, "input_products", too_large)
    found = {each.audit: each for each in _again(audited, "vbpr")}
    assert found["sharpness"].status == "error"
    assert "fewer triples" in found["sharpness"].message
    assert found["sharpness of parameters"].status == "ok"


def test_a_suite_of_former_versions_is_read_and_is_the_same_suite() -> None:
    before, now = (parse_suite(SUITE + more, source="suite") for more in ("score_scale_free = false\n", ""))
    assert before.digest == now.digest


def test_a_suite_is_refused_that_asks_for_nothing_to_average() -> None:
    with pytest.raises(RobustrecError, match="triples"):
        parse_suite(SUITE.replace("triples = 300", "triples = 0"), source="suite")
    with pytest.raises(RobustrecError, match="noise_pairs"):
        parse_suite(SUITE.replace("noise_pairs = 2", "noise_pairs = 1"), source="suite")


def test_the_shipped_suite_is_sound_and_ends_with_sharpness() -> None:
    suite = load_suite("sharpness")
    last = suite.audits[-1]
    assert isinstance(last, SharpnessAudit), "flatness is held against what was measured before"
    assert last.triples == 100_000
    assert any(gate.select.metric == "input_sharpness" for gate in suite.gates)


def test_a_pair_of_opposite_noise_is_one_draw(audited: Any) -> None:
    """Its two members move lists alike: counted as two draws, they would promise an interval they do not have."""
    _, run, _ = audited
    rows = [row for row in run.results.findings if row.audit == "sharpness" and row.quantity == "drift"]
    assert rows
    assert {row.n_draws for row in rows} == {2}, "noise_pairs = 2"
    kept = [values for name, values in run.results.arrays.items() if "|sharpness|" in name and "ndcg" in name]
    assert kept
    assert all(len(values) == 2 for values in kept)


def test_noise_that_rounding_takes_away_is_an_error(audited: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of a large mean and a small spread: float32 adds nothing of σ = 0.05 standard deviations to them."""
    inputs_of = sharpness_audit.inputs_of

    def far_from_zero(tables: Any) -> Any:
        found = inputs_of(tables)
        return replace(found, spread=dict.fromkeys(found.spread, 1e-9))

    monkeypatch.setattr(sharpness_audit, "inputs_of", far_from_zero)
    found = {each.audit: each for each in _again(audited, "vbpr")}
    assert found["sharpness"].status == "error"
    assert "feature entries unchanged" in found["sharpness"].message
