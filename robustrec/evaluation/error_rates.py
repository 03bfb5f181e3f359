"""How often gates are wrong: p-values from intervals, correction for many gates, and what a gate can detect.

A gate fails a finding where the finding's interval lies wholly beyond a limit. Its p-value is read off the same
interval: the smallest α whose interval of level 1 - α still lies wholly beyond it (a test by inverting an interval,
Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 15). So p <= 1 - level says the same as the
interval that the report shows. An interval of another level is the one shown, widened about the estimate by
t_ν(1-α'/2) / t_ν(1-α/2) on each side, where ν are the interval's degrees of freedom (normal where none are known);
quantiles of the bootstrap's replicates themselves are of no use so far out: at 40 findings a gate looks at their
outermost one or two. As a test of a limit on one side it errs with probability α/2, of one on either side α.

Many findings are many chances to fail. The family of a suite are all (gate, finding) pairs of its gates of one
severity that judge by an interval, and each p-value is corrected for the family's size:

- "holm" (Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics
  6): the chance that any gate fails though its number keeps the limit is at most 1 - level, whatever the dependence.
- "benjamini-hochberg" (Benjamini and Hochberg 1995, "Controlling the false discovery rate", Journal of the Royal
  Statistical Society B 57): at most 1 - level of the failures are false, on average, for positively dependent
  findings; where every number keeps its limit that is the same bound as Holm's.
- "none": 1 - level for each finding by itself.

A pass needs no correction. A gate passes only if every finding's interval lies within its limits, and a run passes
only if every gate does, so that a run with one number beyond its limit passes with a probability of at most
(1 - level)/2 (intersection-union test: Berger 1982, "Multiparameter hypothesis testing and acceptance sampling",
Technometrics 24). What lies beyond a limit at the interval's own level but not at the corrected one is inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

Correction = Literal["holm", "benjamini-hochberg", "none"]
POWER = 0.8
"""Probability with which a gate catches a number that lies at what it `detects`."""

# p-values that equal the level but for rounding count as such; the interval itself is compared exactly.
ROUNDING = 1e-9
_KNOWN = 1e6  # degrees of freedom beyond which a standard error is as good as known
_NODES = 64  # of the distribution of a standard error; k is then good to 0.3 %
_HALVINGS = 40
_ROUNDS = 12  # of what a loss needs and how well it is then known; five suffice


class Spread(NamedTuple):
    """An estimate with its interval.

    Attributes:
        estimate: the number.
        low: lower bound.
        high: upper bound.
        level: confidence level of the bounds.
        degrees: effective degrees of freedom; infinite for the normal distribution.
    """

    estimate: float
    low: float
    high: float
    level: float
    degrees: float = math.inf


def quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t, or of the normal distribution for infinitely many degrees of freedom."""
    from scipy import special

    return float(special.ndtri(probability) if math.isinf(degrees) else special.stdtrit(degrees, probability))


def tail(value: float, degrees: float) -> float:
    """Return the probability that Student's t, or the normal distribution, exceeds a value."""
    from scipy import special

    return float(special.ndtr(-value) if math.isinf(degrees) else special.stdtr(degrees, -value))


def p_value(spread: Spread, floor: float, ceiling: float) -> float:
    """Return the smallest α whose interval of level 1 - α lies wholly beyond a limit; 1 within the limits."""
    if spread.estimate < floor:
        distance, half = floor - spread.estimate, spread.high - spread.estimate
    elif spread.estimate > ceiling:
        distance, half = spread.estimate - ceiling, spread.estimate - spread.low
    else:
        return 1.0
    if half <= 0:
        return 0.0
    return 2 * tail(distance / half * quantile((1 + spread.level) / 2, spread.degrees), spread.degrees)


def adjusted(p_values: Sequence[float], correction: Correction) -> list[float]:
    """Return the p-values corrected for being many, in the same order; those <= α are failures at level α."""
    size = len(p_values)
    if correction == "none":
        return list(p_values)
    order = sorted(range(size), key=p_values.__getitem__)
    result = [1.0] * size
    if correction == "holm":
        largest = 0.0
        for rank, place in enumerate(order):
            largest = max(largest, min(1.0, (size - rank) * p_values[place]))
            result[place] = largest
        return result
    smallest = 1.0
    for rank in range(size, 0, -1):
        place = order[rank - 1]
        smallest = min(smallest, size / rank * p_values[place])
        result[place] = smallest
    return result


def widened(spread: Spread, level: float) -> Spread:
    """Return the interval at another level: each side stretched about the estimate by the ratio of t quantiles."""
    factor = quantile((1 + level) / 2, spread.degrees) / quantile((1 + spread.level) / 2, spread.degrees)
    low, high = (spread.estimate + (bound - spread.estimate) * factor for bound in (spread.low, spread.high))
    return spread._replace(low=low, high=high, level=level)


class MetricLoss(NamedTuple):
    """How a regression falls on users: some lose all they had, the others nothing.

    That is what happens to users with few right items: one is in the list or is not. It makes users differ more than
    they do in a model that did not regress, so that it is harder to see than one that takes an equal share from all.
    With users' mean c and mean square m, a mean loss of L hits the share q = L/c of them. The variance of the mean
    over n users is then (m q - c² q²)/n for the loss itself and (1 - q) of what it was before; of a ratio to the
    clean mean m q (1 - q)/n, over the base squared, since users who had more also weigh more in the base.

    Attributes:
        slope: what a loss of 1, in the unit of the number, adds to the variance...
        curve: ...less this times its square.
        share: q for a loss of 1.
        users: how many equal users have the same c²/m: q of them are the losers that the variance is known from.
    """

    slope: float
    curve: float
    share: float
    users: float


def loss_of(mean: float, square: float, n_users: int, base: float | None) -> MetricLoss:
    """Return the loss of users with a mean and mean square, in their unit, or as a share of `base`."""
    alike = n_users * mean**2 / square
    if base is None:
        return MetricLoss(square / (n_users * mean), 1 / n_users, 1 / mean, alike)
    slope = square / (n_users * mean * base)
    return MetricLoss(slope, slope * base / mean, base / mean, alike)


def detected(
    spread: Spread, floor: float, ceiling: float, *, family: int, loss: MetricLoss | None = None
) -> tuple[float, float]:
    """Return the numbers below the floor and above the ceiling that fail with a probability of `POWER`.

    The true number must lie k standard errors beyond the limit, see `distance_detected`, α' = α/family being the level
    at which a single breach among `family` findings must show (Holm's and Benjamini-Hochberg's first step).

    Args:
        spread: of the finding; the standard error of each side is its half width over t_ν(1-α/2).
        floor: smallest number tolerated, or -inf.
        ceiling: largest number tolerated, or inf.
        family: findings corrected for; 1 for no correction.
        loss: what a regression adds to the variance; None for one that adds nothing.
    """
    own = quantile((1 + spread.level) / 2, spread.degrees)
    alpha = (1 - spread.level) / (2 * family)
    below = (spread.high - spread.estimate) / own, max(0.0, spread.estimate - floor)
    above = (spread.estimate - spread.low) / own, max(0.0, ceiling - spread.estimate)
    return (
        -math.inf if math.isinf(floor) else floor - _distance(*below, alpha, spread.degrees, loss),
        math.inf if math.isinf(ceiling) else ceiling + _distance(*above, alpha, spread.degrees, loss),
    )


@lru_cache(maxsize=4096)
def distance_detected(alpha: float, degrees: float) -> float:
    """Return how many measured standard errors beyond a limit a number fails with a probability of `POWER`.

    A number δ true standard errors beyond the limit fails where a noncentral t of ν degrees of freedom and
    noncentrality δ exceeds t_ν(1-α) (Johnson, Kotz and Balakrishnan 1995, "Continuous univariate distributions",
    volume 2, chapter 31). The standard error is an estimate, in this run and in the one that is to fail: with s and s'
    independently distributed as √(χ²_ν/ν), the power is the mean of Φ(k s - t_ν(1-α) s') over both, which is that of
    the noncentral t averaged over the noncentrality k s. At five degrees of freedom k is 4.2 where t_ν(0.975) +
    t_ν(0.8) = 3.5 has a power of 70 %.

    Args:
        alpha: of the test on one side.
        degrees: of freedom; infinite for a known standard error.
    """
    from scipy import special

    critical = quantile(1 - alpha, degrees)
    far = critical + quantile(POWER, math.inf)
    if degrees > _KNOWN:
        return far
    middles = (np.arange(_NODES) + 0.5) / _NODES
    errors = np.sqrt(2 * special.gammaincinv(degrees / 2, middles) / degrees)

    def power(k: float) -> float:
        return float(special.ndtr(k * errors[:, None] - critical * errors).mean())

    while power(far) < POWER:
        far *= 2
    near = 0.0
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        near, far = (middle, far) if power(middle) < POWER else (near, middle)
    return far


def _distance(error: float, room: float, alpha: float, degrees: float, loss: MetricLoss | None) -> float:
    """Return how far beyond a limit that is `room` away the number must come to be caught, its loss then included."""
    needed = distance_detected(alpha, degrees)
    if loss is None:
        return needed * error
    distance = 0.0
    for _ in range(_ROUNDS):
        distance = _solved(error, room, needed, loss)
        # Degrees of freedom of what was measured and of the loss together (Satterthwaite, as in evaluation.bootstrap).
        lost = min(1.0, loss.share * (room + distance))
        added = max(0.0, (loss.slope - loss.curve * (room + distance)) * (room + distance))
        kept = (1 - lost) * error**2
        unsure = kept**2 / degrees + added**2 / max(1.0, 2 * lost * loss.users)
        together = max(1.0, (kept + added) ** 2 / unsure) if unsure > 0 else math.inf
        needed = distance_detected(alpha, together)
    return distance


def _solved(error: float, room: float, needed: float, loss: MetricLoss) -> float:
    """Return d of d² = k² (a l - b l² + (1 - s l) error²), l = room + d being all that is lost."""
    square, before = needed**2, error**2
    quadratic = 1 + square * loss.curve
    linear = square * (loss.slope - 2 * loss.curve * room - loss.share * before)
    constant = square * max(0.0, (loss.slope - loss.curve * room) * room + before * (1 - loss.share * room))
    return (linear + math.sqrt(linear**2 + 4 * quadratic * constant)) / (2 * quadratic)
