"""Rows with intervals and conclusions from tables over seeds, draws and users."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from robustrec.comparison.budget import Budget
from robustrec.comparison.differences import Difference, holm, of_magnitudes, ratio, signed
from robustrec.comparison.measure import Measure, MeasureKind
from robustrec.comparison.measuring import DRAW, FACTORS, PER_DRAW, USER
from robustrec.comparison.result import Comparison, Mean
from robustrec.evaluation.bootstrap import Interval
from robustrec.evaluation.components import Decomposition, decompose
from robustrec.evaluation.sparse import Bounds, count_changed, few_bounds
from robustrec.evaluation.statistics import few_differ, widened_to
from robustrec.results.numbers import bracketed, percent, plain

Floats = NDArray[np.float64]
Tables = Mapping[Measure, Floats]

NO_DIFFERENCE = "no significant difference"
SCALES = "depends on the scale of the scores or parameters, so it has no conclusion"
UNMOVED = "neither drift differs significantly from 0"
FEW_DRAWS = 4
"""Smallest number of draws for a reliable interval over draws."""


_WORDS: dict[MeasureKind, tuple[str, str]] = {
    "quality": ("worse", "better"),
    "drift": ("drifts less", "drifts more"),
    "stability": ("lists change more", "lists change less"),
    "flatness": ("flatter", "sharper"),
}
"""Kind of measure, with a common correction -> words for below and above the reference."""


def compared(
    model: str,
    budget: Budget,
    strategy: str,
    effort: tuple[int, int],
    tables: Tables,
    reference: tuple[str, Tables] | None,
    *,
    level: float,
    cut_off: int = 0,
) -> list[Comparison]:
    """Return one row per measure.

    Args:
        model: name of the model.
        budget: the budget.
        strategy: name of the strategy.
        effort: epochs and gradient evaluations of a training.
        tables: measure -> [S], [S, U] or [S, D, U]; [S, D] for what is a mean over a draw's edited items.
        reference: the strategy compared with and its tables, over the same seeds, draws and users.
        level: of the intervals, and of the conclusions of one kind of measure taken together.
        cut_off: number of trainings that ended before early stopping.
    """
    rows = []
    for measure, table in tables.items():
        factors = factors_of(measure, table)
        own = decompose(table, factors, level=level)
        few = _few(table, factors, level) if measure.kind == "drift" and not measure.idle else None
        row = Comparison(
            model=model,
            budget=budget,
            strategy=strategy,
            measure=measure.name,
            kind=measure.kind,
            better=measure.better,
            epochs=effort[0],
            gradients=effort[1],
            cut_off=cut_off,
            value=_mean(widened_to(own.mean, few)),
            shares=own.shares,
            note=_note(own, measure, table, factors, "" if few is None else _few_words(table)),
        )
        rows.append(row if reference is None else _against(row, measure, own, table, reference, level))
    return rows if reference is None else _concluded(rows, level)


def factors_of(measure: Measure, table: Floats) -> tuple[str, ...]:
    """Return the random factors that the axes of a measure's table stand for."""
    return PER_DRAW if measure.group == "edited" else FACTORS[table.ndim]


def verdict_of(row: Comparison) -> str:
    """Return the conclusion of a row; empty if no direction is better."""
    return row.conclusion


def against(row: Comparison) -> str:
    """Return the difference from the reference with its interval: as a share of the reference's, or as it is."""
    if row.ratio is not None:
        return f"{percent(row.ratio.estimate)} {bracketed(row.ratio.low, row.ratio.high, percent)}".rstrip()
    gap = row.difference
    if gap is None:
        return ""
    return f"{plain(gap.estimate, signed=True)} {bracketed(gap.low, gap.high, plain, signed=True)}".rstrip()


def _against(
    row: Comparison, measure: Measure, own: Decomposition, table: Floats, reference: tuple[str, Tables], level: float
) -> Comparison:
    """Return a row with its difference from the reference."""
    name, tables = reference
    if measure not in tables:
        note = "; ".join(part for part in (row.note, f"not measured for {name}") if part)
        return row.model_copy(update={"reference": name, "note": note})
    theirs, factors = tables[measure], factors_of(measure, table)
    drifts = measure.kind == "drift"
    gap = (of_magnitudes if drifts else signed)(table, theirs, factors, level=level)
    share = ratio(table, theirs, factors, level=level) if table.ndim == 1 else None
    few = None if measure.idle else _few(table - theirs, factors, level, largest=2.0 if drifts else 1.0)
    if few is not None and drifts:  # a bound of |a - b| is one of ||a| - |b||, on either side
        few = Bounds(-max(-few.low, few.high), max(-few.low, few.high))
    said = "" if few is None else f"against {name}, {_few_words(table - theirs)}"
    still = drifts and _covers_zero(own.mean) and _covers_zero(decompose(theirs, factors, level=level).mean)
    return row.model_copy(
        update={
            "reference": name,
            "difference": _mean(widened_to(gap.interval, few)),
            "difference_shares": gap.shares,
            "ratio": None if share is None else _mean(share.interval),
            "p": 1.0 if still or few is not None else _p(gap, share),
            "note": "; ".join(part for part in (row.note, UNMOVED if still else "", said) if part),
        }
    )


def _few(table: Floats, factors: Sequence[str], level: float, largest: float = 1.0) -> Bounds | None:
    """Return bounds of a mean over users if few values differ from 0, else None; see `evaluation.sparse`.

    No conclusion follows from so few users. Metrics lie between 0 and 1, their differences and drifts within ±1, and
    differences of drifts within ±2.
    """
    if USER not in factors:
        return None
    return few_bounds(table.reshape(-1, table.shape[-1]), largest=largest, level=level)


def _few_words(table: Floats) -> str:
    return few_differ(count_changed(table.reshape(-1, table.shape[-1])), table.shape[-1])


def _p(gap: Difference, share: Difference | None) -> float:
    return gap.p if share is None else share.p


def _concluded(rows: Sequence[Comparison], level: float) -> list[Comparison]:
    """Return rows with their conclusions, corrected over the measures of one kind."""
    kinds: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if row.better != "neither" and row.difference is not None:
            kinds.setdefault(row.kind, []).append(place)
    concluded = list(rows)
    for places in kinds.values():
        for place, p in zip(places, holm([_p_value(rows[each]) for each in places]), strict=True):
            concluded[place] = rows[place].model_copy(update={"conclusion": _word(rows[place], p <= 1 - level)})
    return concluded


def _p_value(row: Comparison) -> float:
    return 1.0 if row.p is None else row.p


def _word(row: Comparison, significant: bool) -> str:
    found, even = (row.ratio, 1.0) if row.ratio else (row.difference, 0.0)
    if not significant or found is None:
        return NO_DIFFERENCE
    below, above = _WORDS[row.kind]
    return below if found.estimate < even else above


def _covers_zero(interval: Interval) -> bool:
    return interval.low <= 0.0 <= interval.high


def _mean(interval: Interval) -> Mean:
    known = math.isfinite(interval.low) and math.isfinite(interval.high)
    return Mean(estimate=interval.estimate, low=interval.low if known else None, high=interval.high if known else None)


def _note(found: Decomposition, measure: Measure, table: Floats, factors: Sequence[str], few: str) -> str:
    draws = table.shape[factors.index(DRAW)] if DRAW in factors else FEW_DRAWS
    parts = [SCALES] if measure.scale_dependent else []
    if found.single:
        parts.append(f"one {' and one '.join(found.single)}: the interval does not account for others")
    if 1 < draws < FEW_DRAWS:
        parts.append(f"only {draws} draws: the interval is too narrow")
    if few:
        parts.append(few)
    return "; ".join(parts)
