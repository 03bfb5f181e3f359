"""Which of two mean drifts is smaller: closed forms, values near zero, how often equal strategies are told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from by_name import compared
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from robustrec.comparison.differences import holm, of_magnitudes, p_value, signed
from robustrec.comparison.rows import NO_DIFFERENCE
from robustrec.evaluation.components import decompose

FACTORS = ("seed", "draw", "user")


def _around(mean: float, noise: np.ndarray) -> np.ndarray:
    """Return a table whose mean is exactly the one asked for."""
    return mean + noise - noise.mean()


def _verdict(ours: np.ndarray, theirs: np.ndarray) -> Any:
    name = "ndcg@20 drift sigma2=1e-06"
    (row,) = compared("vbpr", "epochs", "sgbd", (5, 5), {name: ours}, ("vanilla", {name: theirs}), level=0.95)
    return row


def test_a_larger_rise_is_no_smaller_drift() -> None:
    """+0.0012 against −0.0006 was called "drifts less": its size is twice the other's."""
    rng = np.random.default_rng(2)
    row = _verdict(_around(0.0012, rng.normal(0, 1e-4, (4, 4, 50))), _around(-0.0006, rng.normal(0, 1e-4, (4, 4, 50))))
    assert row.difference.estimate == pytest.approx(0.0006)
    assert row.conclusion == "drifts more"


def test_a_significant_signed_difference_is_no_smaller_drift() -> None:
    """−0.0006 against +0.0012, as measured: the signed difference is significant, that of the sizes is not."""
    rng = np.random.default_rng(7)
    ours, theirs = (
        _around(mean, rng.normal(0, 0.0004, (3, 1, 1)) + rng.normal(0, 0.01, (3, 5, 300))) for mean in (-0.0006, 0.0012)
    )
    assert signed(ours, theirs, FACTORS, level=0.95).interval.high < 0
    row = _verdict(ours, theirs)
    assert row.conclusion == NO_DIFFERENCE
    assert row.difference.estimate == pytest.approx(-0.0006)


def test_a_smaller_drift_of_the_other_sign_is_smaller() -> None:
    rng = np.random.default_rng(2)
    row = _verdict(_around(0.0002, rng.normal(0, 1e-4, (4, 4, 50))), _around(-0.0006, rng.normal(0, 1e-4, (4, 4, 50))))
    assert row.conclusion == "drifts less"
    assert row.difference.low < -0.0004 < row.difference.high < 0


def test_equal_sizes_of_opposite_sign_do_not_differ() -> None:
    """The signed difference is certain, that of the sizes is none."""
    rng = np.random.default_rng(5)
    ours, theirs = (_around(sign * 0.01, rng.normal(0, 1e-3, (4, 4, 50))) for sign in (1, -1))
    assert signed(ours, theirs, FACTORS, level=0.95).p < 1e-4
    row = _verdict(ours, theirs)
    assert row.conclusion == NO_DIFFERENCE
    assert row.difference.low < 0 < row.difference.high


def test_no_sentence_where_neither_drift_is_significant() -> None:
    """Each drift alone may be chance although their difference, paired user by user, is not."""
    rng = np.random.default_rng(4)
    shared = rng.normal(0, 0.05, (4, 1, 50)) + rng.normal(0, 0.05, (4, 1, 1))
    ours, theirs = (_around(mean, shared + rng.normal(0, 1e-5, (4, 4, 50))) for mean in (0.010, 0.004))
    assert signed(ours, theirs, FACTORS, level=0.95).p < 0.05
    row = _verdict(ours, theirs)
    assert row.conclusion == NO_DIFFERENCE
    assert "neither drift differs significantly from 0" in row.note


@given(st.integers(0, 2**32 - 1), st.floats(-2, 2), st.floats(-2, 2))
def test_the_interval_holds_the_estimate_and_agrees_with_the_p_value(seed: int, first: float, second: float) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = (mean + rng.normal(0, 1, (3, 4, 5)) for mean in (first, second))
    found = of_magnitudes(ours, theirs, FACTORS, level=0.95)
    assert found.interval.estimate == pytest.approx(abs(ours.mean()) - abs(theirs.mean()))
    assert found.interval.low - 1e-12 <= found.interval.estimate <= found.interval.high + 1e-12
    assert (found.p <= 0.05) == (not found.interval.low <= 0 <= found.interval.high)
    transpose = of_magnitudes(-ours, theirs, FACTORS, level=0.95)
    assert transpose.interval == pytest.approx(found.interval), "the sign of a drift does not count"


def test_p_values_are_students() -> None:
    values = np.random.default_rng(1).normal(0.5, 1, 6)
    assert p_value(decompose(values, ("seed",))) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert p_value(decompose(np.zeros(4), ("seed",))) == 1.0
    assert p_value(decompose(np.ones(1), ("seed",))) == 1.0, "of one level nothing is known"


def test_holm_is_holms() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def _equal_strategies(rng: np.random.Generator, seeds: int, sizes: tuple[float, float, float, float]) -> Any:
    """Two strategies of one population: drifts under four conditions and four measures of flatness."""
    draws, users = 4, 30
    tables: list[dict[str, np.ndarray]] = [{}, {}]
    drift = float(rng.choice([0.0, 0.3, -1.0]))
    for condition in range(4):
        of_draw, of_user = rng.normal(0, sizes[1], (1, draws, 1)), rng.normal(0, sizes[2], (1, 1, users))
        for table in tables:
            own = rng.normal(0, sizes[0], (seeds, 1, 1)) + rng.normal(0, sizes[3], (seeds, draws, users))
            table[f"ndcg@20 drift sigma2={condition}"] = drift + of_draw + of_user + own
    for table in tables:
        common = rng.normal(0, 0.2, seeds)
        for name in range(4):
            table[f"input sharpness {name}"] = np.exp(common + rng.normal(0, 0.1, seeds))
    return compared("m", "epochs", "b", (1, 1), tables[0], ("a", tables[1]), level=0.95)


@pytest.mark.parametrize("seeds", [3, 5])
def test_equal_strategies_rarely_differ_significantly(seeds: int) -> None:
    """At most 5 % of the sentences name a difference of a kind; 80 of them leave room for 9 by chance."""
    rng = np.random.default_rng(seeds)
    told = {"drift": 0, "flatness": 0}
    for _ in range(80):
        rows = _equal_strategies(rng, seeds, (0.3, 0.3, 0.5, 1.0))
        told["drift"] += any(row.conclusion.startswith("drifts") for row in rows)
        told["flatness"] += any(row.conclusion in ("flatter", "sharper") for row in rows)
    assert max(told.values()) <= 9, told


def test_the_interval_of_sizes_covers_near_zero_too() -> None:
    rng = np.random.default_rng(9)
    for first, second in ((0.0, 0.0), (0.4, -0.4), (1.0, 0.0)):
        covered = 0
        for _ in range(100):
            shared = rng.normal(0, 0.3, (1, 4, 1)) + rng.normal(0, 0.5, (1, 1, 30))
            ours, theirs = (
                mean + shared + rng.normal(0, 0.2, (4, 1, 1)) + rng.normal(0, 1, (4, 4, 30)) for mean in (first, second)
            )
            low, high = of_magnitudes(ours, theirs, FACTORS, level=0.95).interval[1:]
            covered += low <= abs(first) - abs(second) <= high
        assert covered >= 87, (first, second, covered)
