"""Variance components: the textbook's mean squares, known components recovered, intervals that cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustrec.errors import RobustrecError
from robustrec.evaluation.components import decompose


def crossed(rng, sizes, deviations, mean=0.0):
    """A table of `sizes` with independent normal effects of the deviations given, by set of axes."""
    table = np.full(sizes, mean)
    for axes, deviation in deviations.items():
        shape = [n if axis in axes else 1 for axis, n in enumerate(sizes)]
        table = table + rng.normal(0.0, deviation, shape)
    return table


def test_one_factor_is_the_t_interval_of_a_mean():
    values = np.array([1.0, 2.0, 4.0, 9.0])
    found = decompose(values, ["seed"])
    from scipy import stats

    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert found.mean == pytest.approx((values.mean(), low, high))
    assert found.degrees_of_freedom == pytest.approx(3)
    assert found.shares == {"seed": pytest.approx(1.0)}


def test_two_factors_by_hand():
    # Rows 0, 2; columns 0, 1, 5; no interaction: MS_rows = 3·(1+1)/1 = 6, MS_columns = 2·(4+1+9)/2 = 14, MS_both = 0.
    table = np.array([0.0, 2.0])[:, None] + np.array([0.0, 1.0, 5.0])[None, :]
    found = decompose(table, ["seed", "user"])
    assert found.components == pytest.approx({"seed": 2.0, "user": 7.0, "seed × user": 0.0})
    assert found.variance == pytest.approx(2 / 2 + 7 / 3)
    assert found.shares["user"] == pytest.approx((7 / 3) / (1 + 7 / 3))


def test_known_components_come_out_on_average():
    rng = np.random.default_rng(5)
    deviations = {(0,): 1.0, (1,): 0.5, (2,): 2.0, (0, 2): 1.5, (0, 1, 2): 0.7}
    names = {"seed": 1.0, "draw": 0.25, "user": 4.0, "seed × user": 2.25, "seed × draw × user": 0.49}
    found = [decompose(crossed(rng, (6, 5, 40), deviations), ["seed", "draw", "user"]).components for _ in range(300)]
    for name, wanted in names.items():
        got = np.array([each[name] for each in found])
        assert got.mean() == pytest.approx(wanted, abs=4 * got.std() / np.sqrt(len(got)) + 0.02), name
    assert np.mean([each["seed × draw"] for each in found]) < 0.03


@pytest.mark.parametrize(
    "deviations",
    [
        {(0,): 1.0, (2,): 1.0, (0, 1, 2): 1.0},
        {(2,): 1.0, (0, 1, 2): 1.0},
        {(0,): 0.3, (1,): 0.3, (0, 2): 1.0, (0, 1, 2): 1.0},
    ],
    ids=["seeds matter", "users only", "mixed"],
)
def test_intervals_cover(deviations):
    rng = np.random.default_rng(11)
    n, inside = 600, 0
    for _ in range(n):
        low, high = decompose(crossed(rng, (4, 5, 60), deviations, mean=0.3), ["seed", "draw", "user"]).mean[1:]
        inside += low <= 0.3 <= high
    assert 0.925 <= inside / n <= 1.0


@given(st.integers(0, 2**32 - 1), st.floats(-5, 5), st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_shifts_move_the_mean_and_scales_the_variance(seed, shift, scale):
    table = np.random.default_rng(seed).normal(size=(3, 4, 7))
    names = ["seed", "draw", "user"]
    plain, moved = decompose(table, names), decompose(scale * table + shift, names)
    assert moved.mean.estimate == pytest.approx(scale * plain.mean.estimate + shift)
    assert moved.variance == pytest.approx(scale**2 * plain.variance)
    assert sum(moved.shares.values()) == pytest.approx(1.0)
    assert all(value >= 0 for value in moved.components.values())
    transpose = decompose(table.transpose(2, 0, 1), ["user", "seed", "draw"])
    assert transpose.variance == pytest.approx(plain.variance)


def test_a_factor_with_one_level_is_named_and_not_counted():
    table = np.random.default_rng(0).normal(size=(1, 4, 7))
    found = decompose(table, ["seed", "draw", "user"])
    assert found.single == ("seed",)
    assert found.mean == decompose(table[0], ["draw", "user"]).mean
    alone = decompose(np.array([[3.0]]), ["seed", "user"])
    assert (alone.mean.low, alone.mean.high) == (-np.inf, np.inf)
    assert alone.single == ("seed", "user")


def test_what_does_not_vary_has_no_width():
    found = decompose(np.ones((3, 4)), ["seed", "user"])
    assert found.mean == (1.0, 1.0, 1.0)
    assert found.shares == {}


@pytest.mark.parametrize("values", [np.ones((2, 2, 2)), np.ones((0, 3)), np.array([[1.0, np.nan]])])
def test_tables_that_do_not_fit_are_refused(values):
    with pytest.raises(RobustrecError, match="measure every combination"):
        decompose(values, ["seed", "user"])
