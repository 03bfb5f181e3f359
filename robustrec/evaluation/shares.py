"""Shares of a population of which some was sampled, with bounds that assume no distribution.

Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika
26: if k of n sampled members have a property, the share of all is at most the p with P(X <= k) = 1 - confidence for X
binomial with n and p. Drawn without replacement, k is less spread out than binomial, so the bound is conservative
(Hoeffding 1963, "Probability inequalities for sums of bounded random variables", JASA 58, section 6).

A conformal bound says what a further member has: of n exchangeable values, the ⌈(n + 1) · coverage⌉-th smallest is
at least the value of a further one with probability `coverage` (Vovk, Gammerman and Shafer 2005, "Algorithmic learning
in a random world"; Lei et al. 2018, "Distribution-free predictive inference for regression", JASA 113).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.evaluation.bootstrap import Interval

# n + 1 times a coverage is a whole number where it should be one but for rounding.
_ROUNDING = 1e-9
_MOST = 10_000_000


class ShareBounds(NamedTuple):
    """Bounds of a share; each holds by itself with the stated confidence."""

    low: float
    high: float


def clopper_pearson(count: int, n: int, level: float) -> Interval:
    """Return the share count / n with its exact two-sided interval, also where count is 0 or n.

    The quantiles α/2 of Beta(count, n - count + 1) and 1 - α/2 of Beta(count + 1, n - count).

    Args:
        count: how many of the n.
        n: sampled members, at least 1.
        level: of the interval, e.g. 0.95.

    Raises:
        ValueError: count is not in 0..n, or n is below 1.
    """
    from scipy import special

    if n < 1 or not 0 <= count <= n:
        raise ValueError(f"{count} of {n} is not a share")
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(special.betaincinv(count, n - count + 1, tail))
    high = 1.0 if count == n else float(special.betaincinv(count + 1, n - count, 1 - tail))
    return Interval(count / n, low, high)


def share_bounds(count: int, n: int, confidence: float) -> ShareBounds:
    """Return the one-sided Clopper-Pearson bounds of a share.

    Args:
        count: sampled members with the property, 0 to n; with none the lower bound is 0, with all the upper one is 1.
        n: sampled members; 0 tells nothing, and the bounds are 0 and 1.
        confidence: of each bound by itself, e.g. 0.95.

    Raises:
        ValueError: count is not between 0 and n.
    """
    if n == count == 0:
        return ShareBounds(0.0, 1.0)
    found = clopper_pearson(count, n, 2 * confidence - 1)
    return ShareBounds(found.low, found.high)


def share_p_value(count: int, n: int, floor: float, ceiling: float) -> float:
    """Return the exact p-value of a share beyond a limit; 1 if the estimate is within the limits.

    It is at most 1 - confidence exactly if the bound of `share_bounds` lies beyond the limit.
    """
    from scipy import special

    share = count / n if n else math.nan
    if share > ceiling:
        return float(special.bdtrc(count - 1, n, max(ceiling, 0.0)))
    if share < floor:
        return float(special.bdtr(count, n, min(floor, 1.0)))
    return 1.0


def members_needed(share: float, limit: float, confidence: float) -> int | None:
    """Return the smallest sample that shows a share to be at most a limit, if this share of it has the property.

    Args:
        share: of the sample with the property, rounded up to members.
        limit: what the upper bound must not exceed.
        confidence: of the bound.

    Returns:
        The number of members, or None if no sample can show it: the share reaches the limit.
    """
    if share >= limit:
        return None

    def shows(n: int) -> bool:
        return share_bounds(_members(share, n), n, confidence).high <= limit

    low, high = 0, 1
    while not shows(high):
        low, high = high, 2 * high
        if high > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    # The bound falls like n^-1/2, but rises by up to 1/n where rounding up takes one more member: fewer can do.
    near = math.ceil(4 * math.sqrt(high / (share * (1 - share)))) if share else 0
    return next(n for n in range(max(1, high - near), high + 1) if shows(n))


def conformal_bound(values: NDArray[np.float64], coverage: float) -> float:
    """Return what the value of a further member does not exceed with probability `coverage`.

    Args:
        values: [n] of exchangeable members.
        coverage: e.g. 0.95.

    Returns:
        The ⌈(n + 1) · coverage⌉-th smallest value; infinity if n is too small for this coverage.
    """
    place = math.ceil((len(values) + 1) * coverage - _ROUNDING)
    return math.inf if place > len(values) else float(np.sort(values)[max(place, 1) - 1])


def members_for(coverage: float) -> int:
    """Return the smallest sample with a finite `conformal_bound`."""
    return math.ceil(coverage / (1 - coverage) - _ROUNDING)


def _members(share: float, n: int) -> int:
    return min(n, math.ceil(share * n - _ROUNDING))
