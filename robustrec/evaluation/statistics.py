"""Intervals for means, drifts and relative drifts: a paired bootstrap over users and draws.

The method and its sources stand in `bootstrap`. With a single draw nothing is known about other draws: only
users are resampled, and the note says so. The resampling depends on the seed, n and D alone, so a metric's
interval does not depend on what else is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from robustrec.errors import RobustrecError
from robustrec.evaluation.bootstrap import (
    Effects,
    Floats,
    Interval,
    degrees_of_freedom,
    expanded,
    resampled_means,
    taken_apart,
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
    """

    drift: Interval
    relative: Interval | None
    n_users: int
    n_draws: int
    note: str
    degrees: float


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
) -> dict[Key, Interval]:
    """Return `mean_interval` of several metrics of the same users, who are resampled once for all of them."""
    found = value_intervals(values, seed=seed, level=level, replicates=replicates)
    return {key: each.drift for key, each in found.items()}


def value_intervals(
    values: Mapping[Key, NDArray[np.floating]],
    *,
    seed: int,
    level: float = LEVEL,
    replicates: int = REPLICATES,
) -> dict[Key, PairedIntervals]:
    """Return `mean_intervals` with their degrees of freedom; the mean stands as `drift`, and nothing is relative."""
    tables = {key: taken_apart(_checked(value, key, 1)[None, :], None) for key, value in values.items()}
    return _intervals(tables, seed, level, replicates)


def paired_interval(
    clean: NDArray[np.floating],
    perturbed: NDArray[np.floating],
    *,
    seed: int,
    level: float = LEVEL,
    replicates: int = REPLICATES,
) -> PairedIntervals:
    """Return the drift and the relative drift of one metric with their intervals over users and draws.

    Args:
        clean: [n] the metric of each user without perturbation.
        perturbed: [D, n] of the same users under each draw ([n] for a single draw).
        seed: of the resampling.
        level: of the intervals, e.g. 0.95.
        replicates: number of resamples.

    Raises:
        RobustrecError: shapes that do not fit, fewer than two users, no draws, values that are not finite.
    """
    return paired_intervals({"": clean}, {"": perturbed}, seed=seed, level=level, replicates=replicates)[""]


def paired_intervals(
    clean: Mapping[Key, NDArray[np.floating]],
    perturbed: Mapping[Key, NDArray[np.floating]],
    *,
    seed: int,
    level: float = LEVEL,
    replicates: int = REPLICATES,
) -> dict[Key, PairedIntervals]:
    """Return `paired_interval` for several metrics (or conditions) of the same users, resampled once for all.

    Args:
        clean: key -> [n].
        perturbed: the same keys -> [D, n]; D may differ between keys.
        seed: of the resampling.
        level: of the intervals.
        replicates: number of resamples.

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
        tables[key] = taken_apart(_checked(perturbed[key], key, 2, len(base)) - base, base)
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

    Raises:
        RobustrecError: as `paired_interval`, or different numbers of users or draws.
    """
    tables = ({"": clean_a}, {"": perturbed_a}, {"": clean_b}, {"": perturbed_b})
    return differences_of_drifts(*tables, seed=seed, level=level, replicates=replicates)[""]


def differences_of_drifts(
    clean_a: Mapping[Key, NDArray[np.floating]],
    perturbed_a: Mapping[Key, NDArray[np.floating]],
    clean_b: Mapping[Key, NDArray[np.floating]],
    perturbed_b: Mapping[Key, NDArray[np.floating]],
    *,
    seed: int,
    level: float = LEVEL,
    replicates: int = REPLICATES,
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
        changes_a = _checked(perturbed_a[key], key, 2, len(base)) - base
        changes_b = _checked(perturbed_b[key], key, 2, len(base)) - _checked(clean_b[key], key, 1, len(base))
        if changes_a.shape != changes_b.shape:
            raise RobustrecError(
                f"subject a has {len(changes_a)} draws and subject b {len(changes_b)}",
                where="difference of drifts",
                fix="run both subjects with the same draws",
            )
        tables[key] = taken_apart(changes_a - changes_b, base)
    return _intervals(tables, seed, level, replicates)


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
    """Return the intervals of all tables from one resampling of their users."""
    if not 0 < level < 1 or replicates < 100:
        raise RobustrecError(
            f"interval of level {level} from {replicates} replicates",
            where="intervals",
            fix="use a level between 0 and 1, for example 0.95, and 100 replicates or more",
        )
    if not tables:
        return {}
    sizes = {len(table.by_user) for table in tables.values()}
    if len(sizes) > 1:
        raise RobustrecError(
            f"metrics of {sorted(sizes)} users in one resampling",
            where="intervals",
            fix="use the same users for all",
        )
    columns = [table.by_user for table in tables.values()]
    columns += [table.base for table in tables.values() if table.base is not None]
    moved = resampled_means(np.stack(columns, axis=1), replicates, Generator(PCG64(seed)))
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
    drift = expanded(table.mean, drifts, level, degrees, n)
    relative = None
    notes = [ONE_DRAW] if draws == 1 and table.base is not None else []
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
            relative = expanded(ratio, drifts / bases, level, of_ratio, n)
            degrees = min(degrees, of_ratio)
    return PairedIntervals(drift, relative, n, draws, "; ".join(notes), degrees)
