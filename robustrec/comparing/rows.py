"""From tables over seeds, draws and users to rows with intervals, and the sentences that follow from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from robustrec.comparing.budget import Budget
from robustrec.comparing.measuring import FACTORS
from robustrec.comparing.result import Better, Comparison, Mean
from robustrec.evaluation.bootstrap import Interval
from robustrec.evaluation.components import Decomposition, decompose
from robustrec.reporting.numbers import bracketed, percent, plain
from robustrec.reporting.scale import SCALE_DEPENDENT

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
            note=_note(own, measure),
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


def better_way(measure: str) -> Better:
    """Tell which way is better: quality up, drift towards nothing, sharpness down.

    Neither way where a measure depends on the scale of the scores or of the parameters: wider margins alone change it.
    """
    if measure.endswith(SCALE_DEPENDENT):
        return "neither"
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


SCALES = "depends on the scale of the scores or of the parameters, so no conclusion follows from it"


def _note(found: Decomposition, measure: str) -> str:
    single = f"one {' and one '.join(found.single)}: the interval leaves others out" if found.single else ""
    return "; ".join(part for part in (SCALES if measure.endswith(SCALE_DEPENDENT) else "", single) if part)


def sentences(rows: Iterable[Comparison], n_seeds: int) -> tuple[str, ...]:
    """Return what can be said of each strategy against the reference, one sentence a model and budget."""
    groups: dict[tuple[str, str, str], list[Comparison]] = {}
    for row in rows:
        if row.reference is not None:
            groups.setdefault((row.model, row.budget, row.strategy), []).append(row)
    return tuple(_sentence(name, group, n_seeds) for name, group in groups.items())


def _sentence(name: tuple[str, str, str], rows: list[Comparison], n_seeds: int) -> str:
    model, budget, strategy = name
    said: dict[str, list[str]] = {}
    for row in rows:
        word = verdict_of(row)
        if word:
            said.setdefault(word, []).append(row.measure if word == UNTOLD else f"{row.measure} {against(row)}")
    parts = "; ".join(f"{word}: {', '.join(names)}" for word, names in said.items())
    return f"{model}, equal {budget}, {strategy} against {rows[0].reference}, {n_seeds} seeds: {parts}"


UNTOLD = "not told apart"


def verdict_of(row: Comparison) -> str:
    """Return what a row says against the reference in a word; empty where neither way is better."""
    found, even = (row.ratio, 1.0) if row.ratio else (row.difference, 0.0)
    if found is None or row.better == "neither":
        return ""
    if found.low is None or found.high is None or found.low <= even <= found.high:
        return UNTOLD
    lower = found.estimate < even
    if row.better == "nearer to 0":
        own, other = abs(row.value.estimate), abs(row.value.estimate - (row.difference or found).estimate)
        return "drifts less" if own < other else "drifts more"
    if row.better == "lower":
        return "flatter" if lower else "sharper"
    return "worse" if lower else "better"


def against(row: Comparison) -> str:
    """Return the difference from the reference with its interval: as a share of the reference's, or as it is."""
    if row.ratio is not None:
        return f"{percent(row.ratio.estimate)} {bracketed(row.ratio.low, row.ratio.high, percent)}".rstrip()
    gap = row.difference
    if gap is None:
        return ""
    return f"{plain(gap.estimate, signed=True)} {bracketed(gap.low, gap.high, plain, signed=True)}".rstrip()
