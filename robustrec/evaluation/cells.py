"""Intervals for means over cells of users, items and draws, all three random and none complete.

A draw edits some of the items, and what it does is seen where a user wants one of them: in the cells (draw, user, item)
of an incomplete table. With weights w_c that sum to 1, A = Σ w_c a_c after and B = Σ w_c b_c before, the drift is A - B
and the relative drift A/B - 1. Users, items and draws each stand for more of their kind, so that cells that share one
of them are correlated. For residuals e_c = w_c (y_c - ȳ) and S_g their sums over the cells of one user, item, ... the
variance of a mean is estimated from clusters in several ways at once (Cameron, Gelbach and Miller 2011, "Robust
inference with multiway clustering", Journal of Business and Economic Statistics 29):

    V_ui = Σ S_user² + Σ S_item² - Σ S_pair²                                              users × items
    V    = (Σ S_draw² + [Σ S_user² - Σ S_user,draw²] + [Σ S_item² - Σ S_item,draw²]
            - [Σ S_pair² - Σ S_cell²]) / (1 - Σ W_draw²)                                  users × items × draws

where W are sums of weights: residuals about an estimated mean sum to 0, which takes that share from a sum of squares,
and likewise of users and of items. V_ui is used where draws add nothing to it, else the larger V: what an edit does
depends on the item, and where the items of the draws hardly overlap they are known from many more items than draws.
Degrees of freedom are Satterthwaite's, those of each sum of squares from its fourth powers, D - 1 for the draws.

The interval of a ratio is Fieller's (Fieller 1954, "Some problems in interval estimation", Journal of the Royal
Statistical Society B 16): all ρ for which A - ρB is within t_ν standard errors of 0. Where that is no interval, the
mean before is not known to differ from 0, and there is no relative drift. Only sums over users, items and draws are
ever held, so that memory grows with the cells.

Several trainings rank the same cells, and training seeds are a fourth random factor, crossed with all of them. With V_c
the variance above of the values averaged over S seeds, s² the variance of the seeds' means, and V_r that of a seed's
deviations from the averaged values, which V_c contains a share of,

    V = V_c + V_s,  V_s = max(0, s²/S - V_r/S).

s² has S - 1 degrees of freedom only. Satterthwaite's degrees of V follow what was estimated: where s² is small by
chance, they are those of V_c, and with 2 seeds an interval of 95 % held the truth in 88 % of simulated audits. The
quantile is therefore that of Cochran and Cox 1950, "Experimental designs", the mean of both weighted by the variances,

    t = (V_c t_{ν_c} + V_s t_{S-1}) / V,

which held it in 93.5 % there, and in 94.6 % or more with 3 and 5 seeds (benchmarks/results/seed-coverage.md). The
degrees of freedom of the interval are those whose quantile is t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtridf, stdtrit

from robustrec.evaluation.bootstrap import Interval
from robustrec.evaluation.sparse import DEGREES, FEWEST_CHANGED, ROUNDING, Bounds, stringer_bound
from robustrec.evaluation.statistics import (
    FEW_CLEAN,
    NO_CLEAN,
    PairedIntervals,
    draw_notes,
    few_differ,
    widened_to,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHARED = ("draws", "users", "items", "weights")

ONE_DRAW_OF_ITEMS = "one draw: the interval covers users and items only"


class Cells(NamedTuple):
    """What was seen before and after, once for each draw, user and item concerned.

    Attributes:
        draws: [C] number of the draw.
        users: [C] place of the user.
        items: [C] the item.
        weights: [C] of the cell, summing to 1.
        before: [C] clean value.
        after: [C] perturbed value.
        groups: `groups_of` the cells, where several measures of the same cells share it.
    """

    draws: Ints
    users: Ints
    items: Ints
    weights: Floats
    before: Floats
    after: Floats
    groups: Mapping[str, Ints] | None = None


class _Sums(NamedTuple):
    """Sums over the clusters of one grouping: of weights [G], and of the residuals before and after [G, 2]."""

    weights: Floats
    residuals: Floats

    @property
    def square(self) -> Floats:
        """Products of the residuals' sums, [2, 2]."""
        return self.residuals.T @ self.residuals

    @property
    def kept(self) -> float:
        """What estimating the mean leaves of a sum of squares, 1 - ΣW²."""
        return 1.0 - float(self.weights @ self.weights)

    def spread(self, contrast: Floats) -> float:
        """Variance of the sum of squares of a contrast: Σ S⁴ - (Σ S²)²/G."""
        squares = (self.residuals @ contrast) ** 2
        return max(0.0, float(squares @ squares) - float(squares.sum()) ** 2 / len(squares))


class _Seeds(NamedTuple):
    """Covariance of a mean over seeds from the seeds' means [2, 2], and each seed's deviations in clusters."""

    between: Floats
    apart: list[dict[str, _Sums]]


class _Variance(NamedTuple):
    """Covariance of the two means [2, 2] with its effective degrees of freedom."""

    matrix: Floats
    degrees: float


def cell_intervals(cells: Cells, *, level: float, largest: float | None = 1.0) -> PairedIntervals:
    """Return drift and relative drift of the means over cells, with intervals over users, items and draws.

    Args:
        cells: at least two users.
        level: of the intervals, e.g. 0.95.
        largest: largest possible change of a cell; None where there is none.
    """
    return _intervals(cells, level, None, [_bounds(cells, largest, level)])


def cell_intervals_over_seeds(seeds: Sequence[Cells], *, level: float, largest: float | None = 1.0) -> PairedIntervals:
    """Return `cell_intervals` of the mean over training seeds, with intervals over seeds, users, items and draws.

    Args:
        seeds: the cells of each training, which differ in `before` and `after` only; at least two.
        level: of the intervals, e.g. 0.95.
        largest: largest possible change of a cell; None where there is none.

    Raises:
        ValueError: the trainings were not measured in the same cells.
    """
    first = seeds[0]
    if any(not np.array_equal(getattr(first, name), getattr(each, name)) for each in seeds for name in _SHARED):
        raise ValueError("every training must be measured in the same cells")
    groups = first.groups or groups_of(first.draws, first.users, first.items)
    averaged = first._replace(
        groups=groups,
        before=np.mean([each.before for each in seeds], axis=0),
        after=np.mean([each.after for each in seeds], axis=0),
    )
    apart = [
        _clusters(averaged._replace(before=each.before - averaged.before, after=each.after - averaged.after))
        for each in seeds
    ]
    means = np.array([[each.weights @ each.before, each.weights @ each.after] for each in seeds])
    between = np.cov(means, rowvar=False, ddof=1) / len(seeds)
    return _intervals(averaged, level, _Seeds(between, apart), [_bounds(each, largest, level) for each in seeds])


def _intervals(cells: Cells, level: float, seeds: _Seeds | None, of_seeds: Sequence[Bounds | None]) -> PairedIntervals:
    clusters = _clusters(cells)
    before, after = float(cells.weights @ cells.before), float(cells.weights @ cells.after)
    n_draws, n_users = len(clusters["draw"].weights), len(clusters["user"].weights)
    n_changed = _changed(cells.users, cells)
    bounds = _widest(of_seeds)
    drift, degrees = _of_drift(clusters, seeds, after - before, level)
    drift = widened_to(drift, bounds)
    notes = _draw_notes(n_draws)
    relative = None
    if before == 0:
        notes.append(NO_CLEAN)
    else:
        found = _of_ratio(clusters, seeds, before, after, level)
        if found is None:
            notes.append(FEW_CLEAN)
        else:
            relative, of_ratio = widened_to(found[0], bounds, abs(before)), found[1]
            degrees = min(degrees, of_ratio)
    if bounds is not None:
        degrees = min(degrees, DEGREES)
        notes.append(few_differ(n_changed, n_users))
    return PairedIntervals(drift, relative, n_users, n_draws, "; ".join(notes), degrees, n_changed)


def _widest(bounds: Sequence[Bounds | None]) -> Bounds | None:
    """Return bounds that contain those of every seed in which few users or items differ; None if there is none."""
    known = [each for each in bounds if each is not None]
    return Bounds(min(each.low for each in known), max(each.high for each in known)) if known else None


def _draw_notes(draws: int) -> list[str]:
    return [ONE_DRAW_OF_ITEMS] if draws == 1 else draw_notes(draws)


def _clusters(cells: Cells) -> dict[str, _Sums]:
    """Return the sums over users, items, draws, and what they have in common."""
    means = cells.weights @ np.stack([cells.before, cells.after], axis=1)
    residuals = cells.weights[:, None] * (np.stack([cells.before, cells.after], axis=1) - means)
    groups = cells.groups or groups_of(cells.draws, cells.users, cells.items)
    return {name: _summed(group, cells.weights, residuals) for name, group in groups.items()}


def groups_of(draws: Ints, users: Ints, items: Ints) -> dict[str, Ints]:
    """Return the number of each cell's cluster [C], for what cells have in common: user, item, draw and their pairs."""
    users, items, draws = (_numbered(each) for each in (users, items, draws))
    n_draws = int(draws.max()) + 1
    pairs = np.unique(users * (int(items.max()) + 1) + items, return_inverse=True)[1]
    return {
        "user": users,
        "item": items,
        "draw": draws,
        "pair": pairs,
        "user, draw": users * n_draws + draws,
        "item, draw": items * n_draws + draws,
        "cell": pairs * n_draws + draws,
    }


def _numbered(ids: Ints) -> Ints:
    """Return ids as numbers from 0 in the order of the ids, without gaps."""
    seen = np.zeros(int(ids.max()) + 1, dtype=bool)
    seen[ids] = True
    return np.asarray((np.cumsum(seen) - 1)[ids], dtype=np.int64)


def _summed(group: Ints, weights: Floats, residuals: Floats) -> _Sums:
    sums = [np.bincount(group, column).astype(np.float64) for column in (weights, *residuals.T)]
    return _Sums(sums[0], np.stack(sums[1:], axis=1))


def _with_seeds(clusters: dict[str, _Sums], seeds: _Seeds | None, contrast: Floats, level: float) -> _Variance:
    """Return the covariance of the means with the part of the training seeds, if there are several."""
    found = _variance(clusters, contrast)
    if seeds is None:
        return found
    n = len(seeds.apart)
    # Deviations from a mean of n have (n - 1)/n of the variance.
    within = sum((_variance(each, contrast).matrix for each in seeds.apart), np.zeros((2, 2))) / (n * (n - 1))
    beyond = seeds.between - within
    own, of_seeds = (float(contrast @ matrix @ contrast) for matrix in (found.matrix, beyond))
    if of_seeds <= 0:
        return found
    own = max(0.0, own)
    weighted = own * _quantile(level, found.degrees) + of_seeds * _quantile(level, n - 1)
    degrees = float(stdtridf((1 + level) / 2, weighted / (own + of_seeds)))
    return _Variance(found.matrix + beyond, min(max(1.0, degrees), max(found.degrees, n - 1)))


def _variance(clusters: dict[str, _Sums], contrast: Floats) -> _Variance:
    """Return the covariance of the means, chosen for how sure `contrast` [2] of them is."""

    def of(matrix: Floats) -> float:
        return float(contrast @ matrix @ contrast)

    square = {name: each.square for name, each in clusters.items()}
    user, item, draw = (clusters[name] for name in ("user", "item", "draw"))
    kept = max(1e-9, min(user.kept, item.kept))
    both = (square["user"] + square["item"] - square["pair"]) / kept
    base = max((both, square["user"] / kept, square["item"] / kept), key=of)
    spread = (user.spread(contrast) + item.spread(contrast)) / kept**2
    degrees = 2 * of(base) ** 2 / spread if spread > 0 else float(len(user.weights))
    if draw.kept <= 1e-9:
        return _Variance(base, max(1.0, degrees))
    crossed = square["user"] - square["user, draw"] + square["item"] - square["item, draw"]
    crossed = crossed - square["pair"] + square["cell"]
    full = (square["draw"] + crossed) / draw.kept
    if of(full) <= of(base):
        return _Variance(base, max(1.0, degrees))
    of_draws = of(square["draw"]) / draw.kept
    unsure = of_draws**2 / (len(draw.weights) - 1) + of(base) ** 2 / max(1.0, degrees)
    return _Variance(full, max(1.0, of(full) ** 2 / unsure))


def _of_drift(clusters: dict[str, _Sums], seeds: _Seeds | None, drift: float, level: float) -> tuple[Interval, float]:
    contrast = np.array([-1.0, 1.0])
    found = _with_seeds(clusters, seeds, contrast, level)
    reach = _quantile(level, found.degrees) * math.sqrt(max(0.0, float(contrast @ found.matrix @ contrast)))
    return Interval(drift, drift - reach, drift + reach), found.degrees


def _of_ratio(
    clusters: dict[str, _Sums], seeds: _Seeds | None, before: float, after: float, level: float
) -> tuple[Interval, float] | None:
    """Return Fieller's interval of after / before - 1; None where it is unbounded."""
    ratio = after / before
    found = _with_seeds(clusters, seeds, np.array([-ratio, 1.0]), level)
    square = _quantile(level, found.degrees) ** 2
    (bb, ab), (_, aa) = square * found.matrix
    leading, middle, last = before**2 - bb, before * after - ab, after**2 - aa
    inner = middle**2 - leading * last
    if leading <= 0 or inner < 0:
        return None
    low, high = ((middle + sign * math.sqrt(inner)) / leading - 1 for sign in (-1, 1))
    return Interval(ratio - 1, min(low, ratio - 1), max(high, ratio - 1)), found.degrees


def _quantile(level: float, degrees: float) -> float:
    return float(stdtrit(degrees, (1 + level) / 2))


def _changed(group: Ints, cells: Cells) -> int:
    """Return how many users, or items, have a cell that changed."""
    return len(np.unique(group[np.abs(cells.after - cells.before) > ROUNDING]))


def _bounds(cells: Cells, largest: float | None, level: float) -> Bounds | None:
    """Return bounds of the drift where few users, or few items, differ; see `evaluation.sparse`.

    Clusters of unequal weight count as 1/ΣW² of equal ones.
    """
    few = [group for group in (cells.users, cells.items) if _changed(group, cells) < FEWEST_CHANGED]
    if largest is None or not few:
        return None
    low = high = 0.0
    for group in few:
        places = np.unique(group, return_inverse=True)[1]
        n = 1 / float(np.square(np.bincount(places, cells.weights)).sum())
        change = cells.weights * (cells.after - cells.before) / largest
        for sign in (-1.0, 1.0):
            sizes = np.bincount(places, np.maximum(sign * change, 0.0)).astype(np.float64) * n
            bound = stringer_bound(sizes[sizes > ROUNDING], n, (1 - level) / 2)
            low, high = (max(low, bound), high) if sign < 0 else (low, max(high, bound))
    return Bounds(-largest * low, largest * high)
