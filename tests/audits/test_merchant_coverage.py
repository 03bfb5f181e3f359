"""Intervals of a merchant audit's parts cover the truth, users and items drawn from a larger population."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.merchant_coverage import Setting, coverage
from robustrec.evaluation.cells import ONE_DRAW_OF_ITEMS, Cells, cell_intervals
from robustrec.evaluation.statistics import FEW_CLEAN, NO_CLEAN


def crossed(
    n_users: int = 40, n_items: int = 12, n_draws: int = 5, *, spreads: tuple[float, float, float], seed: int = 0
) -> Cells:
    """A complete table of effects of users, items and draws about -0.1."""
    rng = np.random.default_rng(seed)
    users, items, draws = (
        each.ravel() for each in np.meshgrid(*map(np.arange, (n_users, n_items, n_draws)), indexing="ij")
    )
    of_users, of_items, of_draws = (
        spread * rng.standard_normal(n) for spread, n in zip(spreads, (n_users, n_items, n_draws), strict=True)
    )
    before = np.full(len(users), 0.5)
    after = before - 0.1 + of_users[users] + of_items[items] + of_draws[draws]
    return Cells(draws, users, items, np.full(len(users), 1 / len(users)), before, after)


@pytest.mark.parametrize(("factor", "n"), [(0, 40), (1, 12), (2, 5)])
def test_where_one_factor_varies_the_interval_is_student_s_over_its_levels(factor: int, n: int) -> None:
    spreads = [0.0, 0.0, 0.0]
    spreads[factor] = 0.05
    cells = crossed(spreads=(spreads[0], spreads[1], spreads[2]))
    level = (cells.users, cells.items, cells.draws)[factor]
    means = np.bincount(level, cells.after - cells.before) / np.bincount(level)
    found = cell_intervals(cells, level=0.95)
    assert found.drift.estimate == pytest.approx(means.mean())
    half = (found.drift.high - found.drift.low) / 2
    degrees = 4 if factor == 2 else found.degrees
    student = stats.t.ppf(0.975, degrees) * means.std(ddof=1) / np.sqrt(n)
    # The divisor is that of the fewest levels, of any factor: 12 items of which nothing varies make it a little larger.
    assert student <= half * (1 + 1e-9) <= 1.08 * student
    assert factor == 2 or 0.4 * n < found.degrees < 3 * n  # estimated from fourth powers
    assert found.relative is not None
    assert found.relative.estimate == pytest.approx(means.mean() / 0.5)


def test_one_draw_covers_users_and_items_and_says_so() -> None:
    found = cell_intervals(crossed(n_draws=1, spreads=(0.05, 0.05, 0.0)), level=0.95)
    assert found.note == ONE_DRAW_OF_ITEMS
    three = cell_intervals(crossed(n_draws=3, spreads=(0.05, 0.05, 0.0)), level=0.95)
    assert three.note == "3 draws: the interval may be too narrow"


def test_a_mean_that_may_be_zero_has_no_relative_drift() -> None:
    cells = crossed(spreads=(0.05, 0.05, 0.0))
    nothing = cells._replace(before=np.zeros(len(cells.users)))
    assert cell_intervals(nothing, level=0.95).relative is None
    assert NO_CLEAN in cell_intervals(nothing, level=0.95).note
    rare = cells._replace(before=np.where((cells.users == 0) & (cells.items == 0), 1.0, 0.0))
    assert FEW_CLEAN in cell_intervals(rare, level=0.95).note


def test_few_items_that_change_are_bounded() -> None:
    cells = crossed(n_users=200, spreads=(0.0, 0.0, 0.0))
    moved = cells._replace(after=np.where(cells.items < 2, cells.before - 0.25, cells.before))
    found = cell_intervals(moved, level=0.95)
    # 2 of 12 items: many users differ, but what another item does was seen of few.
    assert found.n_changed == 200
    assert found.drift.high > 0.2
    still = cell_intervals(cells._replace(after=cells.before), level=0.95)
    assert still.drift.high == pytest.approx(1 - 0.025 ** (1 / 12))
    assert cell_intervals(cells._replace(after=cells.before), level=0.95, largest=None).drift == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("draws", "of_draw"), [(3, 0.0), (6, 0.2)])
def test_intervals_of_edited_head_tail_and_untouched_items_cover(draws: int, of_draw: float) -> None:
    audits = 60
    found = {each.metric: each for each in coverage(Setting(400, 200, draws, of_draw), audits, seed=0)}
    assert {"exposure@20_edited", "ndcg@20_edited", "rank_tail", "rank_head", "rank_untouched"} <= set(found)
    # Three standard errors of 60 audits below 92 %. Resampling users alone holds the truth in 50 to 90 %.
    for each in found.values():
        assert min(each.drift, each.relative) >= 0.92 - 3 * np.sqrt(0.92 * 0.08 / audits), each
    whole = np.mean([each.drift for each in found.values()])
    assert whole > 0.93


def test_intervals_of_exposures_weighted_by_value_cover() -> None:
    audits = 60
    found = {each.metric: each for each in coverage(Setting(400, 200, 4, 0.1, valued=True), audits, seed=0)}
    weighted = [each for metric, each in found.items() if metric.startswith("value_exposure@20_")]
    assert {each.metric for each in weighted} >= {"value_exposure@20_edited", "value_exposure@20_untouched"}
    for each in weighted:
        assert min(each.drift, each.relative) >= 0.92 - 3 * np.sqrt(0.92 * 0.08 / audits), each
