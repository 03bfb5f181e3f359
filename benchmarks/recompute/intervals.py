"""Means and intervals, as written in docs/recompute.md."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
FEW = 10
SAME = 1e-12
ROUNDING = 1e-9


class Numbers(NamedTuple):
    """An estimate with its bounds, and the degrees of freedom of the interval."""

    estimate: float
    low: float
    high: float
    degrees: float


class Paired(NamedTuple):
    """Drift and relative drift; `relative` is None where there is none."""

    drift: Numbers
    relative: Numbers | None
    changed: int


def stream(seed: int, *names: str) -> int:
    """Return the seed of a named random stream."""
    text = "\x1f".join([str(seed), *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") // 2


def changed_users(effects: Floats) -> int:
    """Return how many users differ in any draw of effects [D, n]."""
    return int((np.abs(effects).max(axis=0) > SAME).sum())


def upper_share(j: int, n: float, tail: float) -> float:
    """Return the upper Clopper-Pearson limit of a share of which j of n were seen."""
    return float(stats.beta.ppf(1 - tail, j + 1, n - j)) if j < n else 1.0


def stringer(sizes: Iterable[float], n: float, tail: float) -> float:
    """Return the Stringer bound of a mean of n values in [0, 1] of which `sizes` are not 0."""
    total = before = upper_share(0, n, tail)
    for j, size in enumerate(sorted((min(1.0, each) for each in sizes), reverse=True), start=1):
        limit = upper_share(j, n, tail)
        total += (limit - before) * size
        before = limit
    return min(1.0, total)


def bounds_of_few(effects: Floats, largest: float, level: float) -> tuple[float, float]:
    """Return minus the bound of the losses and the bound of the gains."""
    ends = []
    for sign in (-1, 1):
        sizes = np.maximum(sign * effects, 0).mean(axis=0) / largest
        ends.append(sign * largest * stringer(sizes[sizes > SAME], effects.shape[1], (1 - level) / 2))
    return ends[0], ends[1]


class Bootstrap:
    """The resamples of one table of metrics: R resamples of n users and, for each D, of D draws."""

    def __init__(self, seed: int, replicates: int, level: float) -> None:
        self.seed, self.replicates, self.level = seed, replicates, level

    def users(self, values: Floats) -> Floats:
        """Return the means [R, M] of values [n, M] over the resampled users."""
        n = len(values)
        generator = np.random.Generator(np.random.PCG64(self.seed))
        found = np.empty((self.replicates, values.shape[1]))
        for start in range(0, self.replicates, 100):
            part = found[start : start + 100]
            drawn = generator.integers(0, n, size=(len(part), n), dtype=np.int32)
            weights = np.stack([np.bincount(row, minlength=n) for row in drawn])
            part[:] = weights @ values / n
        return found

    def draws(self, by_draw: Floats) -> Floats:
        """Return the means [R] of the draws' deviations over the resampled draws."""
        n_draws = len(by_draw)
        generator = np.random.Generator(np.random.PCG64([self.seed, n_draws]))
        counts = generator.multinomial(n_draws, np.full(n_draws, 1 / n_draws), size=self.replicates)
        return np.asarray(counts @ by_draw / n_draws, dtype=np.float64)

    def paired(self, effects: Floats, base: Floats | None, largest: float | None, *, values: bool = False) -> Paired:
        """Return the interval of a mean of effects [D, n], and of its ratio to the mean of base [n]."""
        n_draws, n = effects.shape
        mean = float(effects.mean())
        of_user, of_draw = effects.mean(axis=0) - mean, effects.mean(axis=1) - mean
        draw_ms = rest_ms = 0.0
        more = False
        shrunk = np.zeros(n_draws)
        if n_draws > 1:
            rest = effects - effects.mean(axis=0) - of_draw[:, None]
            rest_ms = float(np.square(rest).sum()) / ((n - 1) * (n_draws - 1))
            draw_ms = n * float(of_draw @ of_draw) / (n_draws - 1)
            more = draw_ms > rest_ms * (1 + ROUNDING)
            kept = 1 - rest_ms / draw_ms if more else 0.0
            shrunk = of_draw * math.sqrt(kept * n_draws / (n_draws - 1))
        columns = of_user[:, None] if base is None else np.stack([of_user, base], axis=1)
        resampled = self.users(columns)
        moved = mean + resampled[:, 0] + self.draws(shrunk)

        def freedom(influence: Floats) -> float:
            square = np.square(influence)
            spread = float(square.mean())
            kurtosis = max(0.0, float(np.square(square).mean()) / spread**2 - 3) if spread else 0.0
            of_users = 2 / (2 / (n - 1) + kurtosis / n)
            if not more:
                return max(1.0, float(of_users))
            users = n_draws * float(square.sum()) / (n - 1)
            total = users + draw_ms - rest_ms
            parts = users**2 / of_users + draw_ms**2 / (n_draws - 1) + rest_ms**2 / ((n - 1) * (n_draws - 1))
            return max(1.0, float(total**2 / parts))

        def expanded(estimate: float, replicates: Floats, degrees: float) -> tuple[float, float]:
            tail = (1 - self.level) / 2
            ends = np.percentile(replicates, [100 * tail, 100 * (1 - tail)])
            factor = stats.t.isf(tail, degrees) / stats.norm.isf(tail) * math.sqrt(n / (n - 1))
            low, high = estimate + factor * (ends - estimate)
            return float(low), float(high)

        found = changed_users(effects)
        few = None
        if largest is not None and found < FEW:
            if not values:
                few = bounds_of_few(effects, largest, self.level)
            elif effects.min() >= 0:
                few = 0.0, bounds_of_few(effects, largest, self.level)[1]
        degrees = freedom(of_user)
        drift = expanded(mean, moved, degrees)
        relative = None
        if base is not None and base.mean() != 0 and (resampled[:, 1] * np.sign(base.mean()) > 0).all():
            ratio = mean / float(base.mean())
            of_ratio = freedom(of_user - ratio * (base - base.mean()))
            ends = expanded(ratio, moved / resampled[:, 1], of_ratio)
            degrees = min(degrees, of_ratio)
            relative = ratio, *wider(ends, few, abs(float(base.mean())))
        degrees = degrees if few is None else min(degrees, 8.0)
        return Paired(
            Numbers(mean, *wider(drift, few), degrees),
            None if relative is None else Numbers(*relative, degrees),
            found,
        )


def wider(ends: tuple[float, float], bounds: tuple[float, float] | None, scale: float = 1.0) -> tuple[float, float]:
    """Return an interval widened to bounds over a scale, where there are any."""
    return ends if bounds is None else (min(ends[0], bounds[0] / scale), max(ends[1], bounds[1] / scale))


def crossed(table: Floats, level: float) -> tuple[Numbers, float]:
    """Return the mean of a crossed table with its interval, and the share of its variance that has the first axis.

    The variance components of every set of factors with more than one level, by their expected mean squares.
    """
    first = table.shape[0] > 1
    table = table.reshape([n for n in table.shape if n > 1])
    shape, size = table.shape, table.size
    factors = range(table.ndim)
    subsets = [set(each) for k in range(1, table.ndim + 1) for each in itertools.combinations(factors, k)]
    margins: dict[frozenset[int], Floats] = {frozenset(): np.asarray(table.mean()).reshape([1] * table.ndim)}
    for each in subsets:
        margins[frozenset(each)] = table.mean(axis=tuple(f for f in factors if f not in each), keepdims=True)

    def effect(each: set[int]) -> Floats:
        # Möbius inversion over the subsets: the margin without every smaller effect.
        parts = [
            (-1) ** (len(each) - k) * margins[frozenset(s)]
            for k in range(len(each) + 1)
            for s in itertools.combinations(sorted(each), k)
        ]
        return sum(parts, start=np.zeros(()))

    def levels(each: set[int]) -> int:
        return math.prod(shape[f] for f in each)

    freedom = {frozenset(each): math.prod(shape[f] - 1 for f in each) for each in subsets}
    squares = {
        frozenset(each): size / levels(each) * float(np.square(effect(each)).sum()) / freedom[frozenset(each)]
        for each in subsets
    }
    parts = {}
    for each in subsets:
        wide = [other for other in subsets if other >= each]
        total = sum((-1) ** (len(other) - len(each)) * squares[frozenset(other)] for other in wide)
        parts[frozenset(each)] = max(0.0, total * levels(each) / size) / levels(each)
    variance = sum(parts.values())
    spread = sum((squares[each] / size) ** 2 / freedom[each] for each in squares)
    degrees = max(1.0, variance**2 / spread) if spread else float(min(freedom.values()))
    reach = float(stats.t.ppf((1 + level) / 2, degrees)) * math.sqrt(variance)
    mean = float(table.mean())
    share = sum(part for each, part in parts.items() if first and 0 in each) / variance if variance else 0.0
    return Numbers(mean, mean - reach, mean + reach, degrees), share
