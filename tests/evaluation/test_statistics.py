"""Intervals: exact cases, pairing, reproducibility, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from robustrec.errors import RobustrecError
from robustrec.evaluation import bootstrap
from robustrec.evaluation.bootstrap import degrees_of_freedom, effects_of, expanded, resampled_means
from robustrec.evaluation.statistics import (
    FEW_CLEAN,
    NO_CLEAN,
    ONE_DRAW,
    Interval,
    difference_of_drifts,
    few_differ,
    mean_interval,
    paired_interval,
    paired_intervals,
)

Floats = NDArray[np.float64]
FAST = {"seed": 0, "replicates": 400}


def data(n: int = 300, draws: int = 6, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    clean = rng.random(n)
    return clean, clean - 0.1 + 0.05 * rng.standard_normal((draws, n)) + 0.02 * rng.standard_normal((draws, 1))


@pytest.mark.parametrize("draws", [1, 5])
def test_nothing_changed_is_found_to_be_no_more_than_the_rule_of_three(draws: int) -> None:
    clean = np.random.default_rng(0).random(50)
    found = paired_interval(clean, np.stack([clean] * draws), **FAST)
    most = 1 - 0.025 ** (1 / 50)  # share of users that may change though none of 50 did
    assert found.drift == pytest.approx((0.0, -most, most), rel=1e-9)
    assert found.relative == pytest.approx((0.0, -most / clean.mean(), most / clean.mean()), rel=1e-9)
    assert found.n_changed == 0
    assert few_differ(0, 50) in found.note
    assert not np.signbit(found.drift.estimate)
    same = difference_of_drifts(clean, clean, clean, clean, **FAST).drift
    assert same == pytest.approx((0.0, -most, most), rel=1e-9)
    # Without a largest possible change nothing can be said of users who were not seen.
    unbounded = paired_interval(clean, np.stack([clean] * draws), **FAST, largest=None)
    assert unbounded.drift == unbounded.relative == Interval(0.0, 0.0, 0.0)


@pytest.mark.parametrize(("changed", "few"), [(9, True), (10, False)])
def test_users_who_differ_in_any_draw_are_counted(changed: int, few: bool) -> None:
    clean = np.full(400, 0.5)
    perturbed = np.stack([clean] * 4)
    perturbed[np.arange(changed) % 4, np.arange(changed)] = 0.25  # each in one draw only
    found = paired_interval(clean, perturbed, **FAST)
    assert found.n_changed == changed
    assert (few_differ(changed, 400) == found.note) is few
    assert (found.drift.high > 0) is few


def test_rounding_is_no_change() -> None:
    clean = np.full(50, 0.1 + 0.2)
    assert paired_interval(clean, np.full((3, 50), 0.3), **FAST).n_changed == 0


def test_drifts_from_other_clean_values_may_differ_by_twice_the_largest() -> None:
    clean = np.full(50, 0.5)
    other = np.where(np.arange(50) < 1, 0.0, clean)
    narrow, wide = (difference_of_drifts(clean, clean, each, each, **FAST).drift.high for each in (clean, other))
    assert wide == pytest.approx(2 * narrow)


def test_fewer_than_four_draws_are_said_to_be_few() -> None:
    notes = {draws: paired_interval(*data(draws=draws), **FAST).note for draws in (2, 3, 4)}
    assert notes == {
        2: "2 draws: the interval may be too narrow",
        3: "3 draws: the interval may be too narrow",
        4: "",
    }


@pytest.mark.parametrize("draws", [2, 3, 5])
def test_the_draws_part_has_the_divisor_of_draws_less_one(draws: int) -> None:
    shifts = np.array([0.1, -0.05, 0.2, 0.0, 0.12])[:draws]
    table = effects_of(np.broadcast_to(shifts[:, None], (draws, 500)).copy(), None)
    assert np.mean(table.by_draw**2) == pytest.approx(shifts.var(ddof=1))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(2, 40))
def test_estimates_are_the_means_and_lie_within_their_intervals(seed: int, draws: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    clean, perturbed = 1 + rng.random(n), rng.random((draws, n))
    found = paired_interval(clean, perturbed, seed=1, replicates=200)
    assert found.relative is not None
    assert found.drift.estimate == pytest.approx((perturbed - clean).mean(), abs=1e-12)
    assert found.relative.estimate == pytest.approx(perturbed.mean() / clean.mean() - 1, abs=1e-12)
    for interval in found.drift, found.relative:
        assert interval.low <= interval.estimate <= interval.high
    assert (found.n_users, found.n_draws) == (n, draws)


def test_many_normal_users_give_the_interval_of_the_textbook() -> None:
    values = np.random.default_rng(0).standard_normal(2000)
    found = mean_interval(values, seed=0, replicates=20_000)
    half = stats.t.ppf(0.975, 1999) * values.std(ddof=1) / np.sqrt(2000)
    assert found.estimate == pytest.approx(values.mean())
    assert found.high - found.estimate == pytest.approx(half, rel=0.03)
    assert found.estimate - found.low == pytest.approx(half, rel=0.03)


def test_dominating_draws_give_the_t_interval_of_the_draws() -> None:
    shifts = np.array([0.1, -0.05, 0.2, 0.0, 0.12, 0.03, -0.1, 0.07, 0.15, -0.02])
    clean = np.random.default_rng(0).random(500)
    found = paired_interval(clean, clean + shifts[:, None], seed=0, replicates=20_000).drift
    half = stats.t.ppf(0.975, 9) * shifts.std(ddof=1) / np.sqrt(10)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.03)


def test_pairing_makes_a_small_constant_drift_visible() -> None:
    clean = np.random.default_rng(0).random(200)
    found = paired_interval(clean, np.stack([clean - 0.001] * 5), **FAST)
    assert found.drift.low == pytest.approx(-0.001, abs=1e-9)
    assert found.drift.high == pytest.approx(-0.001, abs=1e-9)


def test_a_proportional_drift_has_no_uncertainty_in_its_relative_form() -> None:
    clean = np.random.default_rng(0).random(200)
    found = paired_interval(clean, np.stack([0.8 * clean] * 3), **FAST)
    assert found.relative == pytest.approx((-0.2, -0.2, -0.2), abs=1e-9)
    assert found.drift.high - found.drift.low > 0.01


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    clean, perturbed = data()
    assert paired_interval(clean, perturbed, **FAST) == paired_interval(clean, perturbed, **FAST)
    assert paired_interval(clean, perturbed, seed=1, replicates=400) != paired_interval(clean, perturbed, **FAST)


def test_a_metric_does_not_depend_on_what_else_is_asked() -> None:
    one, other, single = data(seed=1), data(seed=2, draws=3), data(seed=3, draws=1)
    sets = {"a": one, "b": other, "c": single}
    together = paired_intervals({k: v[0] for k, v in sets.items()}, {k: v[1] for k, v in sets.items()}, **FAST)
    for key, (clean, perturbed) in sets.items():
        alone = paired_interval(clean, perturbed, **FAST)
        assert alone.drift == pytest.approx(together[key].drift, rel=1e-12)
        assert alone.relative == pytest.approx(together[key].relative, rel=1e-12)
        assert alone[2:] == together[key][2:]


def test_a_higher_level_is_wider_and_more_users_are_narrower() -> None:
    clean, perturbed = data()
    narrow, wide = (paired_interval(clean, perturbed, level=level, **FAST).drift for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    values = np.random.default_rng(0).random(4000)
    few, many = mean_interval(values[:400], **FAST), mean_interval(values, **FAST)
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_one_draw_covers_users_only_and_says_so() -> None:
    clean, perturbed = data(draws=1)
    found = paired_interval(clean, perturbed, **FAST)
    assert found.note == ONE_DRAW
    assert found.n_draws == 1
    assert found == paired_interval(clean, perturbed[0], **FAST)
    assert found.drift == pytest.approx(mean_interval(perturbed[0] - clean, **FAST), rel=1e-9)


def test_no_relative_drift_without_a_clean_mean() -> None:
    perturbed = np.random.default_rng(0).random((4, 100))
    found = paired_interval(np.zeros(100), perturbed, **FAST)
    assert found.relative is None
    assert found.note == NO_CLEAN
    lonely = np.zeros(100)
    lonely[0] = 1  # a third of the resamples leave the only user with a value out
    found = paired_interval(lonely, perturbed[:1], **FAST)
    assert found.relative is None
    assert found.note == f"{ONE_DRAW}; {FEW_CLEAN}"


def test_the_difference_of_drifts_is_paired_in_users_and_draws() -> None:
    clean_a, perturbed_a = data(seed=1)
    clean_b = clean_a / 2
    same = difference_of_drifts(clean_a, perturbed_a, clean_b, clean_b + (perturbed_a - clean_a), **FAST, largest=None)
    assert same.drift == pytest.approx((0, 0, 0), abs=1e-12)
    clean_b, perturbed_b = data(seed=2)
    found = difference_of_drifts(clean_a, perturbed_a, clean_b, perturbed_b, **FAST)
    by_hand = paired_interval(clean_a, perturbed_a - (perturbed_b - clean_b), **FAST)
    assert found.drift == pytest.approx(by_hand.drift, abs=1e-12)
    assert found.relative == pytest.approx(by_hand.relative, abs=1e-12)
    transpose = difference_of_drifts(clean_b, perturbed_b, clean_a, perturbed_a, **FAST)
    assert transpose.drift.estimate == pytest.approx(-found.drift.estimate)
    assert found.relative is not None
    assert found.relative.estimate == pytest.approx(found.drift.estimate / clean_a.mean())


def test_variance_components_come_back() -> None:
    rng = np.random.default_rng(0)
    n, draws = 4000, 400
    effects = 2 + 0.5 * rng.standard_normal(n) + 0.3 * rng.standard_normal((draws, 1)) + rng.standard_normal((draws, n))
    table = effects_of(effects, None)
    assert table.mean == pytest.approx(effects.mean())
    assert table.residual_square == pytest.approx(1, rel=0.01)
    assert (table.draw_square - table.residual_square) / n == pytest.approx(0.09, rel=0.2)
    assert draws * table.by_user.var(ddof=1) == pytest.approx(1 + draws * 0.25, rel=0.1)
    # What is resampled of the draws has their variance, without the interaction's.
    shrunk = effects_of(rng.standard_normal((draws, n)), None).by_draw
    assert shrunk.std() < 0.5 / np.sqrt(n)


def test_degrees_of_freedom_at_the_two_ends() -> None:
    rng = np.random.default_rng(0)
    by_draws = effects_of(rng.standard_normal((5, 1)) + 1e-6 * rng.standard_normal((5, 500)), None)
    assert degrees_of_freedom(by_draws, by_draws.by_user) == pytest.approx(4, rel=1e-3)
    by_users = effects_of(rng.uniform(size=500) + 1e-6 * rng.standard_normal((5, 500)), None)
    assert degrees_of_freedom(by_users, by_users.by_user) == pytest.approx(499, rel=1e-3)
    rare = np.zeros((1, 500))
    rare[0, 0] = 1
    lonely = effects_of(rare, None)
    assert degrees_of_freedom(lonely, lonely.by_user) == pytest.approx(2, rel=0.05)
    nothing = effects_of(np.zeros((5, 500)), None)
    assert degrees_of_freedom(nothing, nothing.by_user) == pytest.approx(499)


def test_percentiles_are_expanded_about_the_estimate() -> None:
    replicates = np.linspace(-1, 3, 4001)
    found = expanded(0.0, replicates, 0.95, 4, 10)
    factor = stats.t.ppf(0.975, 4) / stats.norm.ppf(0.975) * np.sqrt(10 / 9)
    assert found == pytest.approx((0.0, -0.9 * factor, 2.9 * factor))


def test_resamples_are_means_over_users_drawn_with_replacement() -> None:
    values = np.eye(7)
    means = resampled_means(values, 500, 0)
    assert means.shape == (500, 7)
    np.testing.assert_allclose(means.sum(axis=1), 1)
    np.testing.assert_allclose(means * 7, np.round(means * 7), atol=1e-12)
    np.testing.assert_allclose(means.mean(axis=0), 1 / 7, atol=0.02)


@pytest.mark.parametrize(("n", "kept"), [(2, True), (150, True), (40_000, True), (500, False)])
def test_resamples_are_those_of_one_generator_user_by_user(n: int, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kept:
        monkeypatch.setattr(bootstrap, "KEPT_BYTES", 0)
    values = np.random.default_rng(1).random((n, 2))
    generator = np.random.Generator(np.random.PCG64(5))
    rows = [np.bincount(generator.integers(0, n, size=n, dtype=np.int32), minlength=n) for _ in range(100)]
    # In the blocks of the product, so that sums have the same order.
    wanted = np.concatenate([np.stack(rows[start : start + 64]) @ values for start in (0, 64)]) / n
    for _ in range(2):
        np.testing.assert_array_equal(resampled_means(values, 100, 5), wanted)


def test_subjects_of_a_condition_and_their_difference_share_one_drawing_of_users() -> None:
    clean, perturbed = data()
    bootstrap.kept_counts.cache_clear()
    for _ in range(3):
        paired_interval(clean, perturbed, seed=3)
        difference_of_drifts(clean, perturbed, clean, perturbed[::-1], seed=3)
    assert bootstrap.kept_counts.cache_info().misses == 1
    paired_interval(clean, perturbed, seed=4)
    assert bootstrap.kept_counts.cache_info().misses == 2


def test_bad_input_is_refused_with_the_metric_named() -> None:
    clean, perturbed = data(n=10, draws=3)
    broken = perturbed.copy()
    broken[:, 4] = np.nan
    broken[1, 7] = np.inf
    with pytest.raises(RobustrecError, match="2 of 10 users have values that are not finite") as caught:
        paired_intervals({"ndcg@5": clean}, {"ndcg@5": broken}, **FAST)
    assert "ndcg@5" in caught.value.where
    with pytest.raises(RobustrecError, match="not finite"):
        mean_interval(np.full(5, np.nan), **FAST)
    with pytest.raises(RobustrecError, match=r"shape \(3, 9\)"):
        paired_interval(clean, perturbed[:, :9], **FAST)
    with pytest.raises(RobustrecError, match=r"shape \(0, 10\)"):
        paired_interval(clean, perturbed[:0], **FAST)
    with pytest.raises(RobustrecError, match=r"shape \(0,\)"):
        mean_interval(np.zeros(0), **FAST)
    with pytest.raises(RobustrecError, match="one user"):
        mean_interval(np.zeros(1), **FAST)
    with pytest.raises(RobustrecError, match="clean metrics"):
        paired_intervals({"a": clean}, {"b": perturbed}, **FAST)
    with pytest.raises(RobustrecError, match="3 draws and subject b 2"):
        difference_of_drifts(clean, perturbed, clean, perturbed[:2], **FAST)
    with pytest.raises(RobustrecError, match=r"level 1\.5"):
        mean_interval(clean, seed=0, level=1.5)
    with pytest.raises(RobustrecError, match="from 1 replicates"):
        mean_interval(clean, seed=0, replicates=1)
    assert paired_intervals({}, {}, **FAST) == {}


def test_mean_squares_of_a_table_worked_out_by_hand() -> None:
    table = effects_of(np.array([[1.0, 2.0, 4.0], [3.0, 2.0, 0.0]]), None)
    assert table.mean == 2.0
    assert table.residual_square == pytest.approx((16 + 1 + 25) * 2 / 9 / 2)  # (n - 1)(D - 1) = 2 degrees of freedom
    assert table.draw_square == pytest.approx(3 * 2 * (1 / 3) ** 2)
