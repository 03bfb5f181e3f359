"""Bounds of shares: closed forms, agreement with scipy, and coverage in simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from robustrec.evaluation.shares import (
    clopper_pearson,
    conformal_bound,
    members_for,
    members_needed,
    share_bounds,
    share_p_value,
)


def test_none_and_all_of_a_sample() -> None:
    assert share_bounds(0, 29, 0.95) == (0.0, pytest.approx(1 - 0.05 ** (1 / 29)))
    assert share_bounds(29, 29, 0.95) == (pytest.approx(0.05 ** (1 / 29)), 1.0), "n/n bounds nothing below 1"
    assert share_bounds(0, 0, 0.95) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 of 2"):
        share_bounds(3, 2, 0.95)


@given(st.integers(1, 400), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_bounds_are_scipys_and_the_p_value_inverts_them(n: int, data: st.DataObject, confidence: float) -> None:
    found = data.draw(st.integers(0, n))
    low, high = share_bounds(found, n, confidence)
    test = binomtest(found, n, alternative="less")
    assert high == pytest.approx(test.proportion_ci(confidence, method="exact").high)
    assert low == pytest.approx(binomtest(found, n, alternative="greater").proportion_ci(confidence).low)
    assert clopper_pearson(found, n, 0.95)[1:] == pytest.approx(tuple(binomtest(found, n).proportion_ci(0.95)))
    if found > 0:
        assert share_p_value(found, n, -math.inf, low) == pytest.approx(1 - confidence)
    if found < n:
        assert share_p_value(found, n, high, math.inf) == pytest.approx(1 - confidence)
    assert share_p_value(found, n, found / n, found / n) == 1.0


def test_the_sample_that_a_claim_needs() -> None:
    assert members_needed(0.0, 0.1, 0.95) == 29, "0.9^29 = 0.047"
    assert members_needed(0.1, 0.1, 0.95) is None
    for share, limit in ((0.05, 0.1), (0.07, 0.1), (0.3, 0.5), (1 / 29, 0.1)):
        enough = (n for n in range(1, 500) if share_bounds(math.ceil(share * n - 1e-9), n, 0.95).high <= limit)
        assert members_needed(share, limit, 0.95) == next(enough), "rounding up makes the bound rise and fall"
    n = members_needed(0.05, 0.1, 0.95)
    assert n is not None
    assert share_bounds(math.ceil(0.05 * n), n, 0.95).high <= 0.1
    assert members_for(0.95) == 19
    assert members_for(0.9) == 9


def test_the_share_of_a_finite_population_is_covered_as_often_as_stated() -> None:
    """Drawn without replacement, with a planted share: at least 95 % of the bounds hold, and not all of them."""
    random = np.random.default_rng(3)
    for size, share, n in ((1000, 0.1, 60), (200, 0.3, 50), (5000, 0.02, 100)):
        bad = round(size * share)
        found = random.hypergeometric(bad, size - bad, n, size=4000)
        held = np.array([share_bounds(k, n, 0.95).high >= share for k in range(n + 1)])[found]
        assert 0.94 < held.mean() <= 1, (size, share, held.mean())
    exact = sum(binom.pmf(k, 60, 0.1) for k in range(61) if share_bounds(k, 60, 0.95).high >= 0.1)
    assert 0.95 <= exact < 0.99


def test_a_further_member_is_covered_as_often_as_stated() -> None:
    random = np.random.default_rng(4)
    values = random.exponential(size=(4000, 40))
    held = [row[-1] <= conformal_bound(row[:-1], 0.9) for row in values]
    assert 0.885 < np.mean(held) < 0.935
    assert conformal_bound(np.arange(19.0), 0.95) == 18.0
    assert math.isinf(conformal_bound(np.arange(18.0), 0.95)), "18 items bound no further one at 95 %"
    assert math.isinf(conformal_bound(np.zeros(0), 0.95))
