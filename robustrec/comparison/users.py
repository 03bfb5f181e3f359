"""The statistics behind `compare`: differences of all pairs under all conditions, with simultaneous intervals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.comparison.compared import By, Entry, Found, Pair
from robustrec.evaluation.bootstrap import degrees_of_freedom, effects_of
from robustrec.evaluation.error_rates import quantile, tail
from robustrec.evaluation.sparse import DEGREES, FEWEST_CHANGED, bounds_of_change, count_changed
from robustrec.results.arrays import USERS, both_states
from robustrec.results.findings import CLEAN

REPLICATES = 4000
_SEED = 20_06  # of the multipliers; the same for everyone, so that the same reports give the same ranks
_RARE = 0.95  # level of the bound of rare changes that a standard error is taken from
_CHUNK = 1 << 24  # numbers held at once

Floats = NDArray[np.float64]


class _Difference(NamedTuple):
    """One pair under one condition: the users' influences [n] on the difference, its standard error, and ν."""

    estimate: float
    influence: Floats
    error: float
    draws_error: float
    degrees: float


def compared_by_users(entries: Sequence[Entry], conditions: Sequence[str], by: By, level: float) -> Found | None:
    """Compare on the same users; None if arrays are missing or of different users."""
    tables = _tables(entries, conditions, by)
    if tables is None:
        return None
    pairs = list(itertools.combinations(range(len(entries)), 2))
    differences = {
        (name, pair): _difference(tables[name][pair[0]], tables[name][pair[1]], paired=_same_draws(entries, pair))
        for name in conditions
        for pair in pairs
    }
    overall = {pair: _overall([differences[name, pair] for name in conditions]) for pair in pairs}
    critical = _critical([*differences.values(), *overall.values()], level)
    values = {name: [float(table.mean()) for table in tables[name]] for name in conditions}
    surely = {key: each.estimate for key, each in differences.items() if abs(each.estimate) > _reach(each, critical)}
    better, worse = _surely(surely, conditions, len(entries))
    compared = tuple(_pair(entries, pair, each.estimate, _reach(each, critical)) for pair, each in overall.items())
    return Found("users", critical, values, better, worse, compared)


def compared_by_intervals(entries: Sequence[Entry], conditions: Sequence[str], by: By, level: float) -> Found:
    """Compare estimates with the sum of their half widths: valid under any dependence, and conservative.

    The critical value is Bonferroni's over all pairs and conditions.
    """
    pairs = list(itertools.combinations(range(len(entries)), 2))
    critical = quantile(1 - (1 - level) / (2 * len(pairs) * (len(conditions) + 1)), math.inf)
    own = quantile((1 + level) / 2, math.inf)
    values: dict[str, list[float]] = {}
    errors: dict[str, list[float]] = {}
    for name in conditions:
        values[name], errors[name] = [], []
        for entry in entries:
            row = entry.rows[name]
            drift = (row.drift or 0.0) if row and row.audit != CLEAN else 0.0
            moved = _half(row.ci_low, row.ci_high) / own if row and row.audit != CLEAN else 0.0
            still = _half(entry.clean.ci_low, entry.clean.ci_high) / own
            values[name].append(drift if by == "drift" else (entry.clean.clean or 0.0) + drift)
            errors[name].append(moved if by == "drift" else still + moved)
    surely = {}
    for name, (a, b) in itertools.product(conditions, pairs):
        difference = values[name][a] - values[name][b]
        if abs(difference) > critical * (errors[name][a] + errors[name][b]):
            surely[name, (a, b)] = difference
    better, worse = _surely(surely, conditions, len(entries))
    compared = []
    for a, b in pairs:
        mean = sum(values[name][a] - values[name][b] for name in conditions) / len(conditions)
        reach = critical * sum(errors[name][a] + errors[name][b] for name in conditions) / len(conditions)
        compared.append(_pair(entries, (a, b), mean, reach))
    return Found("intervals", critical, values, better, worse, tuple(compared))


def _half(low: float | None, high: float | None) -> float:
    return math.inf if low is None or high is None else (high - low) / 2


def _tables(entries: Sequence[Entry], conditions: Sequence[str], by: By) -> dict[str, list[Floats]] | None:
    """Return condition -> each entry's values [n_draws, n] of the same users, or None."""
    users = None
    tables: dict[str, list[Floats]] = {name: [] for name in conditions}
    for entry in entries:
        arrays = entry.loaded.arrays
        if arrays is None or (users is not None and not np.array_equal(users, arrays[USERS])):
            return None
        users = arrays[USERS]
        for name in conditions:
            states = both_states(entry.rows[name] or entry.clean, arrays)
            if states is None:
                return None
            clean, perturbed = states
            tables[name].append(perturbed - clean if by == "drift" else perturbed)
    return tables


def _same_draws(entries: Sequence[Entry], pair: tuple[int, int]) -> bool:
    seeds = [entries[place].loaded.report.seeds.get("audit") for place in pair]
    return seeds[0] == seeds[1]


def _difference(ours: Floats, theirs: Floats, *, paired: bool) -> _Difference:
    """Return the difference of two tables [n_draws, n]; equal draws are paired.

    Where few users differ, the error is what the bound of rare changes makes it.
    """
    n = ours.shape[1]
    if paired and ours.shape == theirs.shape:
        tables = [effects_of(ours - theirs, None)]
    else:
        tables = [effects_of(ours, None), effects_of(theirs, None)]
    influence = tables[0].by_user if len(tables) == 1 else tables[0].by_user - tables[1].by_user
    estimate = float(ours.mean() - theirs.mean())
    of_users = float(influence @ influence) / (n * (n - 1))
    of_draws = sum(max(0.0, each.draw_square - each.residual_square) / (n * len(each.by_draw)) for each in tables)
    degrees = min(degrees_of_freedom(each, influence) for each in tables)
    together = ours - theirs if ours.shape == theirs.shape else (ours.mean(axis=0) - theirs.mean(axis=0))[None, :]
    if 0 < count_changed(together) < FEWEST_CHANGED:
        # Two drifts differ by twice the largest value of a metric at most; see `evaluation.sparse`.
        most = max(map(abs, bounds_of_change(together, largest=2.0, level=_RARE)))
        of_draws = max(of_draws, (most / quantile((1 + _RARE) / 2, DEGREES)) ** 2)
        degrees = min(degrees, DEGREES)
    return _Difference(estimate, influence, math.sqrt(of_users + of_draws), math.sqrt(of_draws), degrees)


def _overall(differences: Sequence[_Difference]) -> _Difference:
    """Return the mean difference over conditions; errors of draws are added as if fully correlated."""
    count = len(differences)
    influence = np.sum([each.influence for each in differences], axis=0) / count
    n = len(influence)
    draws_error = sum(each.draws_error for each in differences) / count
    of_users = float(influence @ influence) / (n * (n - 1))
    return _Difference(
        sum(each.estimate for each in differences) / count,
        influence,
        math.sqrt(of_users + draws_error**2),
        draws_error,
        min(each.degrees for each in differences),
    )


def _critical(differences: Sequence[_Difference], level: float) -> float:
    """Return the quantile of the largest |t| of all differences, by Gaussian multipliers on the users' influences."""
    columns = [each.influence / np.linalg.norm(each.influence) for each in differences if each.influence.any()]
    if not columns:
        return quantile((1 + level) / 2, math.inf)
    table = np.stack(columns, axis=1)
    generator = np.random.Generator(np.random.PCG64(_SEED))
    step = max(1, _CHUNK // len(table))
    largest = [
        np.abs(generator.standard_normal((min(step, REPLICATES - start), len(table))) @ table).max(axis=1)
        for start in range(0, REPLICATES, step)
    ]
    return float(np.quantile(np.concatenate(largest), level))


def _reach(difference: _Difference, critical: float) -> float:
    """Return the half width of a difference's simultaneous interval: the critical value among t with its ν."""
    return quantile(1 - tail(critical, math.inf), difference.degrees) * difference.error


def _surely(
    differences: dict[tuple[str, tuple[int, int]], float], conditions: Sequence[str], size: int
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Count, for each condition and entry, the significantly better and worse entries."""
    better = {name: [0] * size for name in conditions}
    worse = {name: [0] * size for name in conditions}
    for (name, (a, b)), difference in differences.items():
        winner, loser = (a, b) if difference > 0 else (b, a)
        better[name][loser] += 1
        worse[name][winner] += 1
    return better, worse


def _pair(entries: Sequence[Entry], pair: tuple[int, int], difference: float, reach: float) -> Pair:
    a, b = pair
    return Pair(
        first=entries[a].name,
        second=entries[b].name,
        difference=difference,
        low=max(difference - reach, -1e300),
        high=min(difference + reach, 1e300),
        apart=abs(difference) > reach,
    )
