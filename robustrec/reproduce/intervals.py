"""Intervals over training seeds, and the comparison of a printed value with them.

The mean of n trainings has the interval m ± t s/√n with Student's t of n - 1 degrees of freedom. The paper prints one
number a cell and no number of trainings, so a printed value is that of one further training: under the same
experiment it lies in m ± t s √(1 + 1/n) (Hahn and Meeker 1991, "Statistical intervals", chapter 4). The interval of
the mean would call nearly every exact repetition different.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

LEVEL = 0.95
FEWEST_SEEDS = 3
"""Smallest number of training seeds for a verdict or a conclusion."""
WIDEST = 0.1
"""Largest half width of the interval of a mean, as a share of it, at which a row can agree."""


class OverSeeds(NamedTuple):
    """A mean over training seeds, with its interval and the range of one further training; None if unknown."""

    mean: float
    low: float | None
    high: float | None
    one_low: float | None
    one_high: float | None


def over_seeds(values: Sequence[float], *, cells: int = 1, level: float = LEVEL) -> OverSeeds:
    """Return the mean of some trainings with its interval, and the range of one further training.

    Args:
        values: one a training seed, [S].
        cells: cells that are compared at once; the range is simultaneous for them (Bonferroni).
        level: of interval and range.
    """
    found = np.asarray(values, dtype=np.float64)
    mean, n = float(found.mean()), len(found)
    if n < 2:
        return OverSeeds(mean, None, None, None, None)
    spread = float(found.std(ddof=1))
    own = _t(n - 1, level) * spread / math.sqrt(n)
    one = _t(n - 1, 1 - (1 - level) / cells) * spread * math.sqrt(1 + 1 / n)
    return OverSeeds(mean, mean - own, mean + own, mean - one, mean + one)


def p_of(values: Sequence[float]) -> float | None:
    """Return the two-sided p-value of a mean of 0, by Student's t; None for fewer than two values."""
    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2:
        return None
    spread = float(found.std(ddof=1))
    if spread == 0.0:
        return 1.0 if float(found.mean()) == 0.0 else 0.0
    statistic = abs(float(found.mean())) * math.sqrt(len(found)) / spread
    return float(2.0 * stdtr(len(found) - 1, -statistic))


def _t(degrees: int, level: float) -> float:
    return float(stdtrit(degrees, 0.5 + level / 2))
