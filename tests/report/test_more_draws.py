"""How many draws decide a gate: intervals at other numbers of draws, against simulated audits."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_report import SGBD, VANILLA, drift, made_up_report, noise_findings, noise_only

from robustrec.audits.judged import judged_again
from robustrec.audits.suites import load_suite
from robustrec.evaluation.error_rates import quantile
from robustrec.evaluation.statistics import paired_intervals
from robustrec.reading.more_draws import MOST_DRAWS, half_width, more_draws, share_of_draws
from robustrec.results.gates import Gate
from robustrec.results.selection import Select

LEVEL, USERS = 0.95, 150


def _simulated(rng: np.random.Generator, draws: int, of_users: float, of_draws: float) -> tuple[float, float]:
    """Return the half-width and the degrees of freedom of a simulated audit."""
    clean = 30 + rng.standard_normal(USERS)
    effect = (
        rng.standard_normal(USERS) * np.sqrt(of_users * USERS)
        + rng.standard_normal((draws, 1)) * np.sqrt(of_draws)
        + 0.01 * rng.standard_normal((draws, USERS))
    )
    tables = {"m": clean}, {"m": clean - 3 + effect}
    found = paired_intervals(*tables, replicates=200, level=LEVEL, seed=0, largest=100.0)["m"]
    return (found.drift.high - found.drift.low) / 2, found.degrees


@pytest.mark.parametrize(
    ("of_users", "of_draws"), [(0.0001, 1.0), (0.05, 1.0), (0.2, 0.2)], ids=["draws", "mostly draws", "both"]
)
def test_the_width_with_more_draws_is_that_of_simulated_audits(of_users: float, of_draws: float) -> None:
    rng = np.random.default_rng(3)
    few, many, repeats = 6, 24, 60
    predicted, measured = [], []
    for _ in range(repeats):
        width, degrees = _simulated(rng, few, of_users, of_draws)
        predicted.append(half_width(width, degrees, few, USERS, many, LEVEL))
        measured.append(_simulated(rng, many, of_users, of_draws)[0])
    assert np.median(predicted) == pytest.approx(np.median(measured), rel=0.15)


def test_where_the_draws_dominate_the_standard_error_falls_by_the_root_of_their_number() -> None:
    error, draws = 0.01, 4
    now = error * quantile((1 + LEVEL) / 2, draws - 1)
    assert share_of_draws(draws - 1, draws, 10**6) == pytest.approx(1, abs=1e-3)
    later = half_width(now, draws - 1, draws, 10**6, 16, LEVEL)
    assert later == pytest.approx(error / 2 * quantile((1 + LEVEL) / 2, 15), rel=1e-2)


def test_where_the_users_dominate_no_number_of_draws_helps() -> None:
    assert share_of_draws(USERS - 1, 3, USERS) == pytest.approx(0, abs=0.05)
    assert half_width(1.0, USERS - 1, 3, USERS, 10_000, LEVEL) == pytest.approx(1, rel=0.06)


def _report(degrees: float | None, half: float = 0.03, loss: float = -0.04):
    suite = noise_only(load_suite("quick"))
    rows = [
        row
        for subject in (VANILLA, SGBD)
        for row in noise_findings(subject, ("sigma2=1e-06",), 0.001)
        if not (subject == SGBD and row.metric == "ndcg@20" and row.quantity == "drift" and row.audit == "noise")
    ]
    rows.append(drift(SGBD, loss, half_width=half, condition="sigma2=1e-06", degrees=degrees))
    return made_up_report(suite, findings=rows, durations={"training": 100.0, "noise": 16.0, "clean": 2.0})


def test_the_draws_that_decide_the_inconclusive_gates_are_advised_with_their_time() -> None:
    report = _report(7.0)
    assert {each.gate for each in report.gates if each.status == "inconclusive"}
    (found,) = [each for each in more_draws(report) if each.audit == "noise"]
    now = next(each["draws"] for each in report.suite.content["audits"] if each["kind"] == "noise")
    assert found.now == now
    assert found.needed is not None
    assert now < found.needed <= MOST_DRAWS
    assert found.seconds == pytest.approx(2.0 + 16.0 * found.needed / now), "without the trainings, which are stored"


def test_nothing_is_promised_without_degrees_of_freedom_or_with_too_few_users() -> None:
    (unknown,) = [each for each in more_draws(_report(None)) if each.audit == "noise"]
    assert unknown.needed is None
    (few,) = [each for each in more_draws(_report(1200.0)) if each.audit == "noise"]
    assert few.needed is None


def test_the_draws_that_decide_a_gate_on_a_segment_are_those_of_its_segment() -> None:
    report = _report(7.0, half=0.001, loss=-0.001)
    select = Select(audit="noise", metric="ndcg@20", segment_by="activity", segment="low")
    gate = Gate(name="least active users", select=select, quantity="relative_drift", min=-0.02)
    suite = load_suite("quick").model_copy(update={"segments": ("activity",)})
    row = drift(SGBD, -0.04, half_width=0.03, degrees=7.0, segment_by="activity", segment="low")
    measured = report.model_copy(update={"segments": (row,)})
    judged = judged_again(measured, suite.model_copy(update={"gates": (gate,)}), now=report.created)
    assert [each.status for each in judged.gates] == ["inconclusive"]
    (found,) = more_draws(judged)
    assert found.gates == ("least active users",)
    assert found.needed is not None


def test_a_report_without_inconclusive_gates_needs_no_more_draws() -> None:
    assert more_draws(_report(7.0, half=0.001, loss=-0.001)) == []
