"""Intervals for means, drifts and relative drifts: a paired bootstrap over users and draws.

The method and its sources stand in `bootstrap`. With a single draw nothing is known about other draws: only
users are resampled, and the note says so. With fewer than `sparse.FEWEST_DRAWS` the interval covers less often than it
says, and the note says that. Where fewer than `sparse.FEWEST_CHANGED` users differ at all, the interval is widened to
the bounds of `sparse`. The resampling depends on the seed, n and D alone, so a metric's interval does not depend on
what else is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from robustrec.errors import RobustrecError
from robustrec.evaluation.bootstrap import (
    Effects,
    Floats,
    Interval,
    degrees_of_freedom,
    effects_of,
    expanded,
    resampled_means,
)
from robustrec.evaluation.sparse import (
    DEGREES,
    FEWEST_CHANGED,
    FEWEST_DRAWS,
    ROUNDING,
    Bounds,
    count_changed,
    few_bounds,
    stringer_bound,
)

__all__ = [
    "Interval",
    "PairedIntervals",
    "difference_of_drifts",
    "mean_interval",
    "mean_intervals",
    "paired_interval",
    "paired_intervals",
    "value_intervals",
]

Key = TypeVar("Key")
Largest = float | Mapping[Any, float | None] | None
"""Largest possible change of a user, of all metrics or of each; None where there is none."""

LEVEL = 0.95
REPLICATES = 2000
ONE_DRAW = "one draw: the interval covers users only"
NO_CLEAN = "no relative drift: the clean mean is 0"
FEW_CLEAN = "no relative drift: too few users have a clean value other than 0"


class PairedIntervals(NamedTuple):
    """Drift and relative drift of one metric.

    Attributes:
        drift: mean of perturbed − clean over users and draws, in the metric's unit.
        relative: drift / clean mean, a ratio; None where it has no interval (the note says why).
        n_users: users n.
        n_draws: draws D.
        note: what a reader must know about the interval; empty when nothing.
        degrees: effective degrees of freedom of the intervals, the fewer of both.
        n_changed: users whose value differs in any draw; None if not counted.
    """

    drift: Interval
    relative: Interval | None
    n_users: int
    n_draws: int
    note: str
    degrees: float
    n_changed: int | None


def mean_interval(
    values: NDArray[np.floating], *, seed: int, level: float = LEVEL, replicates: int = REPLICATES
) -> Interval:
    """Return the mean of one value a user with its bootstrap interval over users.

    Args:
        values: [n], n at least 2.
        seed: of the resampling.
        level: of the interval, e.g. 0.95.
        replicates: number of resamples.

    Raises:
        RobustrecError: fewer than two users, values that are not finite.
    """
    return mean_intervals({"": values}, seed=seed, level=level, replicates=replicates)[""]


def mean_intervals(
    values: Mapping[Key, NDArray[np.floating]],
    *,
    seed: int,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    largest: Largest = 1.0,
) -> dict[Key, Interval]:
    """Return `mean_interval` of several metrics of the same users, who are resampled once for all of them."""
    found = value_intervals(values, seed=seed, level=level, replicates=replicates, largest=largest)
    return {key: each.drift for key, each in found.items()}


def value_intervals(
    values: Mapping[Key, NDArray[np.floating]],
    *,
    seed: int,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    largest: Largest = 1.0,
) -> dict[Key, PairedIntervals]:
    """Return `mean_intervals` with their degrees of freedom; the mean stands as `drift`, and nothing is relative."""
    tables = {}
    for key, value in values.items():
        table = _checked(value, key, 1)[None, :]
        tables[key] = effects_of(table, None, bounds_of_values(table, _largest(largest, key), level))
    return _intervals(tables, seed, level, replicates)


def paired_interval(
    clean: NDArray[np.floating],
    perturbed: NDArray[np.floating],
    *,
    seed: int,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    largest: float | None = 1.0,
) -> PairedIntervals:
    """Return the drift and the relative drift of one metric with their intervals over users and draws.

    Args:
        clean: [n] the metric of each user without perturbation.
        perturbed: [D, n] of the same users under each draw ([n] for a single draw).
        seed: of the resampling.
        level: of the intervals, e.g. 0.95.
        replicates: number of resamples.
        largest: largest possible change of a user, 1 for metrics between 0 and 1; None where there is none.

    Raises:
        RobustrecError: shapes that do not fit, fewer than two users, no draws, values that are not finite.
    """
    options = {"seed": seed, "replicates": replicates}
    return paired_intervals({"": clean}, {"": perturbed}, **options, level=level, largest=largest)[""]


def paired_intervals(
    clean: Mapping[Key, NDArray[np.floating]],
    perturbed: Mapping[Key, NDArray[np.floating]],
    *,
    seed: int,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    largest: Largest = 1.0,
) -> dict[Key, PairedIntervals]:
    """Return `paired_interval` for several metrics (or conditions) of the same users, resampled once for all.

    Args:
        clean: key -> [n].
        perturbed: the same keys -> [D, n]; D may differ between keys.
        seed: of the resampling.
        level: of the intervals.
        replicates: number of resamples.
        largest: as in `paired_interval`, of all keys or of each.

    Raises:
        RobustrecError: as `paired_interval`, or keys that differ.
    """
    if clean.keys() != perturbed.keys():
        raise RobustrecError(
            f"clean metrics are {sorted(map(str, clean))}, perturbed ones {sorted(map(str, perturbed))}",
            where="intervals",
            fix="compute the same metrics for both",
        )
    tables = {}
    for key, values in clean.items():
        base = _checked(values, key, 1)
        effects = _checked(perturbed[key], key, 2, len(base)) - base
        tables[key] = effects_of(effects, base, _bounds(effects, _largest(largest, key), level))
    return _intervals(tables, seed, level, replicates)


def difference_of_drifts(
    clean_a: NDArray[np.floating],
    perturbed_a: NDArray[np.floating],
    clean_b: NDArray[np.floating],
    perturbed_b: NDArray[np.floating],
    *,
    seed: int,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    largest: float | None = 1.0,
) -> PairedIntervals:
    """Return drift of a − drift of b, two subjects on the same users under the same draws, with intervals.

    Paired in both: the difference is taken user by user and draw by draw. Its relative form is divided by the
    clean mean of a.

    Args:
        clean_a: [n].
        perturbed_a: [D, n].
        clean_b: [n], the same users in the same order.
        perturbed_b: [D, n], the same draws in the same order.
        seed: of the resampling.
        level: of the intervals.
        replicates: number of resamples.
        largest: largest possible value of a metric that is at least 0: a drift of either subject is no larger.

    Raises:
        RobustrecError: as `paired_interval`, or different numbers of users or draws.
    """
    tables = ({"": clean_a}, {"": perturbed_a}, {"": clean_b}, {"": perturbed_b})
    return differences_of_drifts(*tables, seed=seed, level=level, replicates=replicates, largest=largest)[""]


def differences_of_drifts(
    clean_a: Mapping[Key, NDArray[np.floating]],
    perturbed_a: Mapping[Key, NDArray[np.floating]],
    clean_b: Mapping[Key, NDArray[np.floating]],
    perturbed_b: Mapping[Key, NDArray[np.floating]],
    *,
    seed: int,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    largest: Largest = 1.0,
) -> dict[Key, PairedIntervals]:
    """Return `difference_of_drifts` of several metrics of the same users, who are resampled once for all of them.

    Raises:
        RobustrecError: as `difference_of_drifts`, or keys that differ.
    """
    if not clean_a.keys() == perturbed_a.keys() == clean_b.keys() == perturbed_b.keys():
        raise RobustrecError(
            f"metrics {sorted(map(str, perturbed_a))} of subject a, {sorted(map(str, perturbed_b))} of subject b",
            where="difference of drifts",
            fix="compute the same metrics for both",
        )
    tables = {}
    for key, clean in clean_a.items():
        base = _checked(clean, key, 1)
        other = _checked(clean_b[key], key, 1, len(base))
        changes_a = _checked(perturbed_a[key], key, 2, len(base)) - base
        changes_b = _checked(perturbed_b[key], key, 2, len(base)) - other
        if changes_a.shape != changes_b.shape:
            raise RobustrecError(
                f"subject a has {len(changes_a)} draws and subject b {len(changes_b)}",
                where="difference of drifts",
                fix="run both subjects with the same draws",
            )
        # Two drifts differ by twice the largest value at most; from the same clean values by that value itself.
        most = _largest(largest, key)
        most = most if most is None or not count_changed((other - base)[None, :]) else 2 * most
        effects = changes_a - changes_b
        tables[key] = effects_of(effects, base, _bounds(effects, most, level))
    return _intervals(tables, seed, level, replicates)


def _largest(largest: Largest, key: object) -> float | None:
    return largest[key] if isinstance(largest, Mapping) else largest


def _bounds(effects: Floats, largest: float | None, level: float) -> Bounds | None:
    """Return bounds of the mean effect where few users differ and their change is bounded, else None."""
    return None if largest is None else few_bounds(effects, largest=largest, level=level)


def bounds_of_values(values: Floats, largest: float | None, level: float) -> Bounds | None:
    """Return bounds of a mean of values [1, n] between 0 and `largest` of which few are not 0, else None."""
    if largest is None or count_changed(values) >= FEWEST_CHANGED or (values < 0).any():
        return None
    seen = values[values > ROUNDING] / largest
    return Bounds(0.0, largest * stringer_bound(seen, values.shape[1], (1 - level) / 2))


def _checked(values: NDArray[np.floating], key: object, dimensions: int, n: int | None = None) -> Floats:
    """Return finite float64 values of the shape wanted; one draw may come without its axis."""
    name = f"intervals: {key}" if key != "" else "intervals"
    table = np.asarray(values, dtype=np.float64)
    if dimensions == 2 and table.ndim == 1:
        table = table[None, :]
    if table.ndim != dimensions or 0 in table.shape or table.shape[-1] != (n or table.shape[-1]):
        wanted = f"{n or 'n'} users" if dimensions == 1 else f"(draws, {n} users)"
        raise RobustrecError(
            f"values of shape {np.shape(values)} where {wanted} are needed",
            where=name,
            fix="evaluate clean and perturbed rankings on the same users",
        )
    if table.shape[-1] < 2:
        raise RobustrecError("one user has no interval", where=name, fix="evaluate at least two users")
    if broken := int((~np.isfinite(table)).any(axis=tuple(range(dimensions - 1))).sum()):
        raise RobustrecError(
            f"{broken} of {table.shape[-1]} users have values that are not finite",
            where=name,
            fix="check the model and its features for NaN: robustrec data describe",
        )
    return table


def _intervals(tables: Mapping[Key, Effects], seed: int, level: float, replicates: int) -> dict[Key, PairedIntervals]:
    """Return the intervals of all tables from one resampling of their users; tables of fewer users have their own."""
    if not 0 < level < 1 or replicates < 100:
        raise RobustrecError(
            f"interval of level {level} from {replicates} replicates",
            where="intervals",
            fix="use a level between 0 and 1, for example 0.95, and 100 replicates or more",
        )
    found: dict[Key, PairedIntervals] = {}
    for size in {len(table.by_user) for table in tables.values()}:
        same = {key: table for key, table in tables.items() if len(table.by_user) == size}
        found |= _of_same_users(same, seed, level, replicates)
    return {key: found[key] for key in tables}


def _of_same_users(
    tables: Mapping[Key, Effects], seed: int, level: float, replicates: int
) -> dict[Key, PairedIntervals]:
    columns = [table.by_user for table in tables.values()]
    columns += [table.base for table in tables.values() if table.base is not None]
    moved = resampled_means(np.stack(columns, axis=1), replicates, seed)
    counts = sorted({len(table.by_draw) for table in tables.values()})
    # A generator for each D, so that metrics with other numbers of draws change nothing.
    generators = {draws: Generator(PCG64([seed, draws])) for draws in counts}
    weights = {d: g.multinomial(d, np.full(d, 1 / d), size=replicates) / d for d, g in generators.items()}
    result: dict[Key, PairedIntervals] = {}
    next_base = len(tables)
    for column, (key, table) in enumerate(tables.items()):
        draws = len(table.by_draw)
        drifts = table.mean + moved[:, column] + weights[draws] @ table.by_draw
        bases = None
        if table.base is not None:
            bases = moved[:, next_base]
            next_base += 1
        result[key] = _of_table(table, drifts, bases, level)
    return result


def _of_table(table: Effects, drifts: Floats, bases: Floats | None, level: float) -> PairedIntervals:
    """Return both intervals of one table from its replicates [R] of the drift and of the clean mean."""
    draws, n = len(table.by_draw), len(table.by_user)
    degrees = degrees_of_freedom(table, table.by_user)
    drift = widened_to(expanded(table.mean, drifts, level, degrees, n), table.bounds)
    relative = None
    notes = draw_notes(draws) if table.base is not None else []
    if table.base is not None and bases is not None:
        base = float(table.base.mean())
        if base == 0:
            notes.append(NO_CLEAN)
        elif bool((bases * np.sign(base) <= 0).any()):
            notes.append(FEW_CLEAN)
        else:
            ratio = table.mean / base
            # The influence of a user on a ratio of means; the base does not differ between draws.
            influence = table.by_user - ratio * (table.base - base)
            of_ratio = degrees_of_freedom(table, influence)
            relative = widened_to(expanded(ratio, drifts / bases, level, of_ratio, n), table.bounds, abs(base))
            degrees = min(degrees, of_ratio)
    if table.bounds is not None:
        degrees = min(degrees, DEGREES)
        notes += [few_differ(table.n_changed, n)] if table.base is not None else []
    return PairedIntervals(drift, relative, n, draws, "; ".join(notes), degrees, table.n_changed)


def draw_notes(draws: int) -> list[str]:
    """Return what a reader must know about an interval over so few draws; nothing where they are enough."""
    if draws == 1:
        return [ONE_DRAW]
    return [f"{draws} draws: the interval may be too narrow"] if draws < FEWEST_DRAWS else []


def few_differ(changed: int, n: int) -> str:
    """Return the note of an interval that few users decide."""
    return f"{changed} of {n} users differ: the interval is an upper bound for rare changes"


def widened_to(found: Interval, bounds: Bounds | None, scale: float = 1.0) -> Interval:
    """Return an interval widened to bounds over `scale`, where there are any."""
    if bounds is None:
        return found
    return found._replace(low=min(found.low, bounds.low / scale), high=max(found.high, bounds.high / scale))
