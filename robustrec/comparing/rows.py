"""From tables over seeds, draws and users to rows with intervals, and the sentences that follow from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robustrec.comparing.budget import Budget
from robustrec.comparing.measuring import FACTORS
from robustrec.comparing.result import Comparison, Mean
from robustrec.evaluation.bootstrap import Interval
from robustrec.evaluation.components import Decomposition, decompose
from robustrec.reporting.numbers import percent, plain

Floats = NDArray[np.float64]
Tables = Mapping[str, Floats]


def compared(
    model: str,
    budget: Budget,
    strategy: str,
    effort: tuple[int, int],
    tables: Tables,
    reference: tuple[str, Tables] | None,
    *,
    level: float,
) -> list[Comparison]:
    """Return a row a measure.

    Args:
        model: whose.
        budget: what was held equal.
        strategy: whose.
        effort: epochs and gradient evaluations of a training.
        tables: measure -> [S], [S, U] or [S, D, U].
        reference: the strategy compared with and its tables, over the same seeds, draws and users.
        level: of the intervals.
    """
    rows = []
    for measure, table in tables.items():
        factors = FACTORS[table.ndim]
        own = decompose(table, factors, level=level)
        row = Comparison(
            model=model,
            budget=budget,
            strategy=strategy,
            measure=measure,
            better=better_way(measure),
            epochs=effort[0],
            gradients=effort[1],
            value=_mean(own.mean),
            shares=own.shares,
            note=_note(own),
        )
        if reference is not None:
            name, theirs = reference
            gap = decompose(table - theirs[measure], factors, level=level)
            row = row.model_copy(
                update={
                    "reference": name,
                    "difference": _mean(gap.mean),
                    "difference_shares": gap.shares,
                    "ratio": _ratio(table, theirs[measure], level) if table.ndim == 1 else None,
                }
            )
        rows.append(row)
    return rows


def better_way(measure: str) -> Literal["higher", "lower", "nearer to 0"]:
    """Tell which way is better: quality up, drift towards nothing, sharpness down."""
    if " drift " in measure:
        return "nearer to 0"
    return "higher" if "@" in measure else "lower"


def _ratio(ours: Floats, theirs: Floats, level: float) -> Mean | None:
    """Return the geometric mean over seeds of ours / theirs, whose logarithms are compared."""
    if (ours <= 0).any() or (theirs <= 0).any():
        return None
    found = decompose(np.log(ours) - np.log(theirs), FACTORS[1], level=level).mean
    if not math.isfinite(found.low):
        return Mean(estimate=math.exp(found.estimate), low=None, high=None)
    return _mean(Interval(*(math.exp(min(value, 700.0)) for value in found)))


def _mean(interval: Interval) -> Mean:
    low, high = (value if math.isfinite(value) else None for value in (interval.low, interval.high))
    return Mean(estimate=interval.estimate, low=low, high=high)


def _note(found: Decomposition) -> str:
    return f"one {' and one '.join(found.single)}: the interval leaves others out" if found.single else ""


def sentences(rows: Iterable[Comparison], n_seeds: int) -> tuple[str, ...]:
    """Return what can be said of every strategy's flatness and quality against the reference, one line each."""
    told = []
    for row in rows:
        if row.reference is None or " drift " in row.measure:
            continue
        found = row.ratio or row.difference
        if found is None:
            continue
        where = f"{row.model}, equal {row.budget}: {row.strategy}'s {row.measure}"
        one, unit = (1.0, "of") if row.ratio else (0.0, "above")
        told.append(f"{where} {_compared(found, one, unit, row, n_seeds)}")
    return tuple(told)


def _compared(found: Mean, even: float, unit: str, row: Comparison, n_seeds: int) -> str:
    def number(value: float) -> str:
        return percent(value) if unit == "of" else plain(value, signed=True)

    relation = f"{unit} {row.reference}'s"
    if found.low is None or found.high is None:
        return (
            f"is {number(found.estimate)} {relation} in one training: whether that is more than chance cannot be told"
        )
    span = f"{number(found.estimate)} {relation} [{number(found.low)}, {number(found.high)}], {n_seeds} seeds"
    if found.low <= even <= found.high:
        return f"cannot be told from {row.reference}'s: {span}"
    lower = found.estimate < even
    word = ("flatter" if lower else "sharper") if row.better == "lower" else ("worse" if lower else "better")
    return f"is {word}: {span}"
