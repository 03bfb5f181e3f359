"""False alarms and power: closed forms, the literature's examples, properties, and a small simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled import condition_of
from made_up_report import SGBD, drift, value
from scipy import stats

from robustrec.audits.rows import Intervals, drift_rows, quality_rows
from robustrec.audits.suites import Bootstrap
from robustrec.evaluation.error_rates import (
    POWER,
    Spread,
    adjusted,
    detected,
    distance_detected,
    loss_of,
    p_value,
    quantile,
    widened,
)
from robustrec.results.gates import Gate
from robustrec.results.judging import judge

RANK = {"pass": 0, "inconclusive": 1, "fail": 2}
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)
SHARES = st.floats(-0.5, 0.5, allow_subnormal=False)
WIDTHS = st.floats(0.001, 0.2)


def gate(name="g", condition="*", **changes):
    fields = {
        "name": name,
        "select": {"metric": "ndcg@20", "condition": condition},
        "quantity": "relative_drift",
        "min": -0.02,
    }
    return Gate.model_validate({**fields, **changes})


def spread(estimate, half, level=0.95, degrees=math.inf):
    return Spread(estimate, estimate - half, estimate + half, level, degrees)


@pytest.mark.parametrize("degrees", [math.inf, 200.0, 7.0, 1.0])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_a_p_value_is_where_the_widened_interval_touches_the_limit(degrees, level):
    one = spread(-0.05, 0.02, level, degrees)
    p = p_value(one, -0.02, math.inf)
    law = stats.norm if math.isinf(degrees) else stats.t(degrees)
    error = 0.02 / law.ppf((1 + level) / 2)
    assert p == pytest.approx(2 * law.sf(0.03 / error), rel=1e-9)
    assert widened(one, 1 - p).high == pytest.approx(-0.02, rel=1e-9)
    assert (p < 1 - level) == (one.high < -0.02)


def test_within_the_limits_nothing_speaks_against_them():
    assert p_value(spread(0.0, 0.1), -0.02, 0.02) == 1.0
    assert p_value(spread(-0.02, 0.0), -0.02, 0.02) == 1.0
    assert p_value(spread(-0.03, 0.0), -0.02, 0.02) == 0.0
    assert p_value(spread(0.03, 0.005), -0.02, 0.02) == pytest.approx(p_value(spread(-0.03, 0.005), -0.02, 0.02))


def test_each_side_of_a_skewed_interval_counts_by_itself():
    skewed = Spread(0.0, -0.04, 0.01, 0.95)
    assert p_value(skewed, 0.01, math.inf) == pytest.approx(0.05)
    assert p_value(skewed, -math.inf, -0.04) == pytest.approx(0.05)
    assert widened(skewed, 0.95)[:3] == pytest.approx(skewed[:3])


def test_holm_and_benjamini_hochberg_as_in_the_literature():
    # Benjamini and Hochberg 1995, section 3.2: the 15 p-values of the thrombolysis study, four rejected against
    # Bonferroni's and Holm's three.
    study = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
    study += [0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert sum(p <= 0.05 for p in adjusted(study, "holm")) == 3
    assert sum(p <= 0.05 for p in adjusted(study, "benjamini-hochberg")) == 4
    assert adjusted([0.01, 0.04, 0.03], "holm") == pytest.approx([0.03, 0.06, 0.06])
    assert adjusted([0.01, 0.04, 0.03], "benjamini-hochberg") == pytest.approx([0.03, 0.04, 0.04])
    assert adjusted([], "holm") == adjusted([], "benjamini-hochberg") == []


@given(P_VALUES)
def test_benjamini_hochberg_is_as_scipy_has_it(values):
    assert adjusted(values, "benjamini-hochberg") == pytest.approx(list(stats.false_discovery_control(values)))


@given(P_VALUES, st.randoms(use_true_random=False))
def test_corrections_do_not_depend_on_order_and_holm_is_the_strictest(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    for correction in ("holm", "benjamini-hochberg", "none"):
        here = adjusted(values, correction)
        there = adjusted([values[place] for place in order], correction)
        assert there == pytest.approx([here[place] for place in order])
        assert all(raw <= value + 1e-15 <= 1 + 1e-12 for raw, value in zip(values, here, strict=True))
    pairs = zip(adjusted(values, "holm"), adjusted(values, "benjamini-hochberg"), strict=True)
    assert all(strict >= mild - 1e-12 for strict, mild in pairs)


def test_one_finding_needs_no_correction_and_many_do():
    row = drift(relative=-0.026, half_width=0.005)
    assert [judge([gate()], [row], correction=each)[0].status for each in ("none", "holm")] == ["fail", "fail"]
    rows = [drift(relative=-0.026, half_width=0.005), *(drift(relative=0.0, condition=f"c{i}") for i in range(9))]
    (strict,) = judge([gate()], rows, correction="holm")
    assert strict.status == "inconclusive"
    assert "outside the limit at 95 %, but not after correction for 10 findings (holm)" in strict.message
    assert (strict.family, strict.correction) == (10, "holm")
    assert strict.p_adjusted == pytest.approx(10 * strict.p_value)
    assert judge([gate()], rows, correction="none")[0].status == "fail"
    clear = [drift(relative=-0.04, half_width=0.005), *rows[1:]]
    assert judge([gate()], clear, correction="holm")[0].status == "fail"


def test_the_p_value_of_a_gate_is_of_the_finding_whose_interval_it_shows():
    wide, narrow = drift(relative=-0.05, half_width=0.05), drift(relative=-0.024, half_width=0.005, condition="narrow")
    alone = [judge([gate()], [row], correction="holm")[0] for row in (wide, narrow)]
    (both,) = judge([gate()], [wide, narrow], correction="holm")
    assert alone[1].p_value < alone[0].p_value
    assert (both.estimate, both.low, both.p_value) == (alone[0].estimate, alone[0].low, alone[0].p_value)
    assert both.p_adjusted >= both.p_value


@pytest.mark.parametrize(("p", "status"), [(0.0049, "fail"), (0.0051, "inconclusive"), (0.0099, "inconclusive")])
def test_a_breach_among_ten_fails_at_a_tenth_of_the_level_and_no_later(p, status):
    half = 0.005
    distance = half * stats.norm.ppf(1 - p / 2) / stats.norm.ppf(0.975)
    rows = [drift(relative=-0.02 - distance, half_width=half)]
    rows += [drift(relative=0.0, condition=f"c{i}") for i in range(9)]
    (result,) = judge([gate()], rows, correction="holm")
    assert result.p_value == pytest.approx(p, rel=1e-6)
    assert result.status == status


def test_a_loss_is_that_of_what_the_perturbation_leaves():
    """Users who kept half of their quality lose half of what the clean ones would, with a quarter of its variance."""
    mean, half, users = 0.2, 0.01, 400
    clean = value(number=mean, half_width=half, n_users=users, degrees=1e9)
    row = drift(relative=-0.5, clean=mean, half_width=0.02, n_users=users, degrees=1e9)
    result = judge([gate(min=-0.6)], [row, clean])[0]
    square = users * (half / stats.norm.ppf(0.975)) ** 2 + mean**2
    spread_of_row = Spread(-0.5, -0.52, -0.48, 0.95, 1e9)
    left = loss_of(mean / 2, square / 4, users, mean)
    wanted = detected(spread_of_row, -0.6, math.inf, family=1, loss=left)[0]
    assert result.detects_below == pytest.approx(wanted, rel=1e-6)
    unscaled = detected(spread_of_row, -0.6, math.inf, family=1, loss=loss_of(mean, square, users, mean))[0]
    assert result.detects_below != pytest.approx(unscaled, rel=1e-3)


def test_gates_of_other_severity_and_on_estimates_are_no_part_of_the_family():
    row = drift(relative=-0.026, half_width=0.005)
    others = [gate(f"w{i}", severity="warn") for i in range(9)] + [gate(f"e{i}", bound="estimate") for i in range(9)]
    results = judge([gate(), *others], [row], correction="holm")
    assert (results[0].status, results[0].family) == ("fail", 1)
    assert {each.family for each in results[1:10]} == {9}
    assert {each.status for each in results[1:10]} == {"inconclusive"}
    assert {(each.status, each.p_value, each.family) for each in results[10:]} == {("fail", None, None)}
    assert "the error rate is not controlled" in results[10].note


def test_a_search_s_bracket_is_no_confidence_interval_and_has_no_p_value():
    row = drift(relative=-0.03, half_width=0.005, interval="bracket")
    (result,) = judge([gate()], [row], correction="holm")
    assert (result.status, result.p_value, result.detects_below) == ("fail", None, None)


def test_where_degrees_of_freedom_are_not_known_the_judgement_says_so():
    assert "normal approximation" in judge([gate()], [drift()])[0].note
    assert judge([gate()], [drift(degrees=7.0)])[0].note == ""
    few, many = (judge([gate()], [drift(relative=-0.03, half_width=0.005, degrees=d)])[0] for d in (3.0, 1e6))
    assert few.p_value > many.p_value


def test_what_a_gate_detects_is_in_closed_form():
    (result,) = judge([gate(max=0.02)], [drift(half_width=0.0196, degrees=1e9)])
    error = 0.01
    assert result.detects_below == pytest.approx(-0.02 - (1.959964 + 0.841621) * error, rel=1e-4)
    assert result.detects_above == pytest.approx(-result.detects_below)
    rows = [drift(half_width=0.0196, degrees=1e9), drift(half_width=0.05, degrees=1e9, condition="other")]
    (wider,) = judge([gate()], rows, correction="holm")
    assert wider.detects_below == pytest.approx(-0.02 - (stats.norm.ppf(0.9875) + 0.841621) * 0.05 / 1.959964, rel=1e-4)
    assert judge([gate()], [drift(half_width=0.0)])[0].detects_below is None


def test_a_loss_that_some_users_bear_is_harder_to_see():
    mean, half, users = 0.2, 0.01, 400
    clean = value(number=mean, half_width=half, n_users=users, degrees=1e9)
    row = drift(relative=0.0, clean=mean, half_width=0.02, n_users=users, degrees=1e9)
    alike, borne = (judge([gate()], rows)[0].detects_below for rows in ([row], [row, clean]))
    square = users * (half / 1.959964) ** 2 + mean**2
    error = 0.02 / 1.959964

    def needed(loss, added):
        kept = (1 - loss) * error**2
        degrees = (kept + added) ** 2 / (kept**2 / 1e9 + added**2 / (2 * loss * users * mean**2 / square))
        return distance_detected(0.025, degrees)

    loss = -borne  # from a drift of 0; what all users together lose, as a share
    added = loss * (1 - loss) * square / mean**2 / users
    assert loss - 0.02 == pytest.approx(needed(loss, added) * math.sqrt((1 - loss) * error**2 + added), rel=1e-4)
    assert borne < alike
    (absolute,) = judge([gate(quantity="drift", min=-0.02 * mean)], [row, clean])
    loss = -absolute.detects_below / mean
    added = (loss * square / mean**2 - loss**2) / users
    assert loss - 0.02 == pytest.approx(needed(loss, added) * math.sqrt((1 - loss) * error**2 + added), rel=1e-4)
    # An unchanged model moves no user, and yet tells what a changed one would have to lose.
    still = drift(relative=0.0, clean=mean, half_width=0.0, n_users=users, degrees=1e9)
    assert borne < judge([gate()], [still, clean])[0].detects_below < -0.02


@given(WIDTHS, st.integers(1, 50), st.sampled_from([math.inf, 30.0, 5.0]))
def test_what_is_detected_lies_that_many_standard_errors_beyond_the_limit(half, family, degrees):
    below, above = detected(spread(0.0, half, degrees=degrees), -0.02, 0.02, family=family)
    assert above == pytest.approx(-below)
    error = half / quantile(0.975, degrees)
    assert (-0.02 - below) / error == pytest.approx(distance_detected(0.025 / family, degrees))


@pytest.mark.parametrize("alpha", [0.025, 0.025 / 40])
@pytest.mark.parametrize("degrees", [1.0, 3.0, 5.0, 30.0])
def test_power_is_that_of_the_noncentral_t_over_what_the_standard_error_may_be(degrees, alpha):
    k = distance_detected(alpha, degrees)
    errors = np.sqrt(stats.chi2.ppf((np.arange(400) + 0.5) / 400, degrees) / degrees)
    powers = stats.nct.sf(stats.t.ppf(1 - alpha, degrees), degrees, k * errors)
    assert powers.mean() == pytest.approx(POWER, abs=0.002)
    assert k > stats.t.ppf(1 - alpha, degrees) + stats.norm.ppf(POWER)


def test_a_standard_error_that_is_known_needs_two_normal_quantiles():
    expected = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert distance_detected(0.025, math.inf) == pytest.approx(expected)
    assert distance_detected(0.025, 1e5) == pytest.approx(expected, rel=1e-3)
    assert distance_detected(0.025, 1e7) == pytest.approx(expected, rel=1e-3)


def row_of_draws(rng, draws, truth):
    """A row in which nothing but the draws varies, by one standard deviation of 0.01, with Student's interval."""
    shifts = truth + 0.01 * rng.standard_normal(draws)
    half = stats.t.ppf(0.975, draws - 1) * shifts.std(ddof=1) / math.sqrt(draws)
    return drift(relative=float(shifts.mean()), half_width=float(half), degrees=float(draws - 1), n_draws=draws)


@pytest.mark.parametrize("draws", [4, 6, 12])
def test_what_a_run_says_it_detects_fails_in_four_of_five_others(draws):
    rng = np.random.default_rng(draws)
    one, runs = gate(min=-0.1), 800
    caught = 0
    for _ in range(runs):
        stated = judge([one], [row_of_draws(rng, draws, -0.1)])[0].detects_below
        caught += judge([one], [row_of_draws(rng, draws, stated)])[0].status == "fail"
    # Three standard errors. The sum of two t quantiles has a power of 0.65 with four draws, of 0.70 with six.
    assert abs(caught / runs - POWER) < 3 * math.sqrt(0.8 * 0.2 / runs)


@pytest.mark.parametrize("draws", [1, 2, 3])
def test_below_four_draws_the_power_is_unknown(draws):
    (result,) = judge([gate()], [drift(half_width=0.01, degrees=2.0, n_draws=draws)])
    assert (result.detects_below, result.detects_above) == (None, None)
    assert "power unknown" in result.note
    (enough,) = judge([gate()], [drift(half_width=0.01, degrees=3.0, n_draws=4)])
    assert enough.detects_below < -0.02
    assert "power unknown" not in enough.note
    mixed = [drift(half_width=0.01, degrees=3.0, n_draws=each) for each in (8, draws)]
    assert judge([gate()], mixed)[0].detects_below is None


def test_rows_say_how_many_degrees_of_freedom_their_intervals_have():
    rng = np.random.default_rng(0)
    intervals, clean = Intervals(Bootstrap(replicates=200), 0), rng.random(400)
    users_vary = clean + rng.standard_normal(400) + 0.001 * rng.standard_normal((5, 400))
    draws_vary = clean + rng.standard_normal((5, 1)) + 0.001 * rng.standard_normal((5, 400))
    found = {
        name: drift_rows(SGBD, "noise", condition_of(name), {"ndcg@20": clean}, {"ndcg@20": perturbed}, intervals)[0]
        for name, perturbed in (("users", users_vary), ("draws", draws_vary))
    }
    assert found["users"].degrees > 200
    assert found["draws"].degrees == pytest.approx(4, abs=0.1)
    (quality,) = quality_rows(SGBD, {"ndcg@20": clean}, intervals)
    assert 200 < quality.degrees <= 399


def rows_of(pairs):
    return [drift(relative=share, half_width=half, condition=f"c{i}") for i, (share, half) in enumerate(pairs)]


FINDINGS = st.lists(st.tuples(SHARES, WIDTHS), min_size=1, max_size=6).map(rows_of)
LIMITS = st.lists(st.floats(-0.5, 0), min_size=1, max_size=5)
CORRECTIONS = st.sampled_from(["holm", "benjamini-hochberg", "none"])


@given(FINDINGS, LIMITS, CORRECTIONS, st.floats(0, 0.3))
def test_tightening_a_limit_never_turns_a_fail_into_anything_better(rows, limits, correction, by):
    gates = [gate(f"g{i}", min=limit) for i, limit in enumerate(limits)]
    tighter = [gate("g0", min=limits[0] + by, max=None), *gates[1:]]
    before, after = (judge(each, rows, correction=correction) for each in (gates, tighter))
    # Tightening one gate also never makes another easier: its p-values fall, and with them everybody's threshold.
    for old, new in zip(before, after, strict=True):
        assert RANK[new.status] >= RANK[old.status]


@given(FINDINGS, LIMITS, CORRECTIONS, st.randoms(use_true_random=False))
def test_the_order_of_gates_and_findings_does_not_matter(rows, limits, correction, random):
    gates = [gate(f"g{i}", min=limit) for i, limit in enumerate(limits)]
    here = {each.gate: each.status for each in judge(gates, rows, correction=correction)}
    random.shuffle(gates)
    random.shuffle(rows)
    assert {each.gate: each.status for each in judge(gates, rows, correction=correction)} == here


@given(FINDINGS, LIMITS)
def test_a_correction_only_ever_turns_fails_into_inconclusive(rows, limits):
    gates = [gate(f"g{i}", min=limit) for i, limit in enumerate(limits)]
    plain, mild, strict = (judge(gates, rows, correction=c) for c in ("none", "benjamini-hochberg", "holm"))
    for loose, middle, hard in zip(plain, mild, strict, strict=True):
        assert RANK[hard.status] <= RANK[middle.status] <= RANK[loose.status]
        assert (hard.status == "pass") == (loose.status == "pass")


def simulated(rng, *, users=150, draws=6, conditions=3, lost=0.0, replicates=200):
    """Findings of zero-inflated users under crossed noise; the true relative drift is -0.1, under c0 less `lost`."""
    taste = np.where(rng.random(users) < 0.4, 0.0, rng.beta(2, 3, users))
    rows = []
    for number in range(conditions):
        factor = 0.9 - (lost if number == 0 else 0.0)
        moved = (
            factor * taste * (1 + 0.3 * rng.standard_normal(users)) * (1 + 0.3 * rng.standard_normal((draws, users)))
        )
        moved = moved * (1 + 0.05 * rng.standard_normal((draws, 1)))
        intervals = Intervals(Bootstrap(replicates=replicates), int(rng.integers(1 << 31)))
        rows += drift_rows(SGBD, "noise", condition_of(f"c{number}"), {"ndcg@20": taste}, {"ndcg@20": moved}, intervals)
    return rows


def test_an_unchanged_model_fails_a_suite_at_most_one_time_in_twenty_and_what_is_stated_is_caught():
    rng = np.random.default_rng(5)
    gates = [gate(f"c{i}", f"c{i}", min=-0.1) for i in range(3)]  # the limits are the truth: the worst case
    suites = 200
    alarms = {correction: 0 for correction in ("holm", "none")}
    stated = []
    for _ in range(suites):
        rows = simulated(rng)
        for correction in alarms:
            results = judge(gates, rows, correction=correction)
            alarms[correction] += any(each.status == "fail" for each in results)
        stated.append(judge(gates, rows, correction="holm")[0].detects_below)
    # Three standard errors of 200 suites above 5 %; the expectation is 2.5 %, the limit being on one side.
    assert alarms["holm"] <= suites * 0.05 + 3 * math.sqrt(suites * 0.05 * 0.95)
    assert alarms["holm"] <= alarms["none"]
    lost = -0.1 - float(np.median(stated))
    caught = sum(judge(gates, simulated(rng, lost=lost), correction="holm")[0].status == "fail" for _ in range(suites))
    assert 0.68 <= caught / suites <= 0.92
