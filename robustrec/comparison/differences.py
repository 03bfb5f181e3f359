"""Differences of two strategies over crossed factors: intervals, p-values, and which of two mean drifts is smaller.

A drift is the mean over training seeds, draws and users of the signed change of a metric: what gates judge, and what a
shop loses. The mean of the absolute changes of single users would answer another question, how much lists change; list
stability measures that directly. So "drifts less" is the claim |μ_A| < |μ_B| about the means.

|·| has no derivative at 0, where the drifts of small noise lie, so no interval is taken of |ȳ_A| − |ȳ_B| itself. With
δ = μ_A − μ_B and σ = μ_A + μ_B,

    μ_A² − μ_B² = δσ,  hence  |μ_A| < |μ_B|  if and only if  δσ < 0,  and  |μ_A| − |μ_B| = sign(δσ) min(|δ|, |σ|).

δ and σ are means of tables, with the intervals of `evaluation.components` whatever their size. The difference of |μ_A|
and |μ_B| is significant if both intervals exclude 0: an intersection-union test (Berger 1982,
"Multiparameter hypothesis testing and acceptance sampling", Technometrics 24). The interval of the difference is the
image of the rectangle of the two; `benchmarks/results/compare-strategies-simulated.md` has its coverage.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.evaluation.bootstrap import Interval
from robustrec.evaluation.components import Decomposition, decompose

Floats = NDArray[np.float64]


class Difference(NamedTuple):
    """A difference of two strategies.

    Attributes:
        interval: the estimate with its bounds, which are infinite if unknown.
        p: two-sided p-value of no difference; 1 if unknown.
        shares: share of the variance of the (signed) difference by factor.
    """

    interval: Interval
    p: float
    shares: dict[str, float]


def signed(ours: Floats, theirs: Floats, factors: Sequence[str], *, level: float) -> Difference:
    """Return the difference of two means over the same crossed factors, paired."""
    found = decompose(ours - theirs, factors, level=level)
    return Difference(found.mean, p_value(found), found.shares)


def ratio(ours: Floats, theirs: Floats, factors: Sequence[str], *, level: float) -> Difference | None:
    """Return the geometric mean of ours / theirs, whose logarithms are compared; None where a value is not positive."""
    if (ours <= 0).any() or (theirs <= 0).any():
        return None
    found = decompose(np.log(ours) - np.log(theirs), factors, level=level)
    estimate, low, high = found.mean
    # Beyond e^700 a float overflows; of one level of each factor nothing is known.
    bounds = (math.exp(min(low, 700.0)), math.exp(min(high, 700.0))) if math.isfinite(low) else (low, high)
    return Difference(Interval(math.exp(estimate), *bounds), p_value(found), found.shares)


def of_magnitudes(ours: Floats, theirs: Floats, factors: Sequence[str], *, level: float) -> Difference:
    """Return |mean of ours| − |mean of theirs|, see the module's text.

    Args:
        ours: one axis a factor.
        theirs: the same, paired.
        factors: the axes' names.
        level: of the interval.
    """
    gap, total = (decompose(table, factors, level=level) for table in (ours - theirs, ours + theirs))
    corners = [_magnitude(*pair) for pair in itertools.product(_bounds(gap), _bounds(total))]
    if any(found.mean.low <= 0.0 <= found.mean.high for found in (gap, total)):
        corners.append(0.0)
    estimate = abs(float(ours.mean())) - abs(float(theirs.mean()))
    p = max(p_value(gap), p_value(total))
    return Difference(Interval(estimate, min(corners), max(corners)), p, gap.shares)


def p_value(found: Decomposition) -> float:
    """Return the two-sided p-value of a mean of 0, from Student's distribution as the interval is."""
    if not math.isfinite(found.variance):
        return 1.0
    if found.variance == 0.0:
        return 1.0 if found.mean.estimate == 0.0 else 0.0
    from scipy import stats  # takes a second to import, and every audit imports this module

    statistic = abs(found.mean.estimate) / math.sqrt(found.variance)
    return float(2.0 * stats.t.sf(statistic, found.degrees_of_freedom))


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected by Holm's method (1979), in the order given."""
    order = sorted(range(len(p)), key=lambda place: p[place])
    corrected, largest = [0.0] * len(p), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = largest
    return corrected


def _bounds(found: Decomposition) -> tuple[float, float]:
    return found.mean.low, found.mean.high


def _magnitude(gap: float, total: float) -> float:
    """Return |a| − |b| of a = (total + gap)/2 and b = (total − gap)/2, also where one of them is infinite."""
    size = min(abs(gap), abs(total))
    return size if (gap > 0) == (total > 0) else -size
