"""Bounds for a mean change where few users differ: what was not seen counts as well as what was.

Where 3 of 100 users differ between two states, a bootstrap resamples those three and never a fourth: its interval
collapses, to zero width where none differs. The change of a user is bounded instead. Let p_j be the upper
Clopper-Pearson limit of the share of users of whom j of n were seen, and t_1 >= ... >= t_m the sizes of those changes
as shares of the largest possible one. Then the mean is at most

    p_0 + Σ_j (p_j - p_{j-1}) t_j

of the largest possible change: the Stringer bound that auditors use for rare errors of bounded size (Stringer 1963,
"Practical aspects of statistical sampling in auditing", Proceedings of the Business and Economic Statistics Section,
ASA; Bickel 1992, "Inference and auditing: the Stringer bound", International Statistical Review 60). With nothing seen
it is p_0 ≈ 3.7/n at 97.5 %: the rule of three at a two-sided level of 95 %. Losses and gains are bounded apart, so that
the interval runs from minus the bound of the losses to the bound of the gains.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEWEST_DRAWS = 4
"""Draws with which an interval over draws covers the truth as often as it says."""

FEWEST_CHANGED = 10
"""Users who must differ for an interval by resampling; with fewer it is a Stringer bound."""

DEGREES = 8.0
"""Degrees of freedom by which a Stringer bound is widened to other levels: t grows at least as fast as p_0 there."""

# Sums of the same values in another order differ by this much, which is no change.
ROUNDING = 1e-12


class Bounds(NamedTuple):
    """What a mean change lies between."""

    low: float
    high: float


def count_changed(effects: Floats) -> int:
    """Return how many users have an effect other than zero in any draw of effects [D, n]."""
    return int((np.abs(effects) > ROUNDING).any(axis=0).sum())


def stringer_bound(sizes: Floats, n: float, tail: float) -> float:
    """Return the upper Stringer bound of a mean of n values between 0 and 1 of which only `sizes` [m] are not 0.

    Args:
        sizes: the values other than 0, at most n of them.
        n: how many values there are; need not be a whole number where it is an effective one.
        tail: probability that the mean lies above the bound, e.g. 0.025.
    """
    from scipy import special

    seen = np.sort(np.clip(sizes, 0.0, 1.0))[::-1]
    counts = np.arange(len(seen) + 1)
    left = n - counts
    shares = np.where(left > 0, special.betaincinv(counts + 1, np.maximum(left, 1e-9), 1 - tail), 1.0)
    return min(1.0, float(shares[0] + np.diff(shares) @ seen))


def few_bounds(effects: Floats, *, largest: float, level: float) -> Bounds | None:
    """Return `bounds_of_change` where fewer than `FEWEST_CHANGED` users have an effect; None where enough have."""
    if count_changed(effects) >= FEWEST_CHANGED:
        return None
    return bounds_of_change(effects, largest=largest, level=level)


def bounds_of_change(effects: Floats, *, largest: float, level: float) -> Bounds:
    """Return bounds of the mean effect from effects [D, n] of which few users have any other than zero.

    Args:
        effects: perturbed - clean of every draw and user.
        largest: largest possible change of a user.
        level: of the bounds together, e.g. 0.95.
    """
    tail, n = (1 - level) / 2, effects.shape[1]
    losses, gains = (np.maximum(sign * effects, 0.0).mean(axis=0) / largest for sign in (-1.0, 1.0))
    low, high = (stringer_bound(each[each > ROUNDING], n, tail) for each in (losses, gains))
    return Bounds(-largest * low, largest * high)
