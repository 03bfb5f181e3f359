"""Findings of the encoder audit from distances before and after the encoder."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robustrec.audits.encoder.audit import Floats, VectorShifts
from robustrec.audits.rows import Intervals, value_row
from robustrec.evaluation.statistics import ONE_DRAW, Interval, PairedIntervals, paired_intervals, value_intervals
from robustrec.results.conditions import Condition
from robustrec.results.findings import Finding
from robustrec.results.hidden import HIDDEN
from robustrec.subject import Subject

AUDIT = "encoder"
SHARE = "median distances of two items"
SIZES = {
    "text": "words edited, 0 to 1",
    "image": "RMS of pixel differences, 0 to 1",
    "both": "mean of words edited and RMS of pixel differences",
}
FEWEST = 2
"""Smallest number of items for an interval."""


def edit_rows(
    subject: Subject,
    condition: Condition,
    modality: str,
    shifts: VectorShifts,
    spreads: Mapping[str, float],
    own: float,
    intervals: Intervals,
) -> list[Finding]:
    """Return the findings of one condition: size of the edit, and movement, factor and contraction per vector.

    With fewer than two edited items there are no findings. A factor is a ratio of means, and so is its interval.

    Args:
        subject: subject of the findings.
        condition: the condition.
        modality: "text", "image" or "both": the unit of the sizes.
        shifts: sizes of the edits and movements of the vectors.
        spreads: vector -> median distance of two items.
        own: median distance of their content, in the unit of the sizes.
        intervals: settings of the intervals, over items.
    """
    n = len(shifts.items)
    if n < FEWEST:
        return []
    options = intervals.options(AUDIT, condition.label)
    # Distances have no largest value, see `evaluation.sparse`.
    size = value_intervals({"edit_size": shifts.sizes}, **options, largest=None)["edit_size"]
    rows = [_row(subject, condition, "edit_size", modality, size, SIZES[modality], n)]
    if shifts.hidden is not None:
        unit = "share of changed pixels"
        rows.append(value_row(subject, AUDIT, condition, HIDDEN, shifts.hidden, unit, modality=modality, n_draws=1))
    for name, moved in shifts.moved.items():
        if spreads[name] > 0:
            movement = value_intervals({name: moved / spreads[name]}, **options, largest=None)[name]
            rows.append(_row(subject, condition, f"movement_{name}", name, movement, SHARE, n))
        # The relative drift from sizes to sizes + moved is the ratio of the two means, moved over sizes.
        changed = {name: (shifts.sizes + moved)[None]}
        ratio = paired_intervals({name: shifts.sizes}, changed, **options, largest=None)[name]
        if ratio.relative is not None:
            unit = f"length of the vector per 1 of {SIZES[modality]}"
            rows.append(_ratio_row(subject, condition, f"factor_{name}", name, ratio, 1.0, unit, n))
            if spreads[name] > 0 and own > 0:
                scale = own / spreads[name]
                rows.append(_ratio_row(subject, condition, f"contraction_{name}", name, ratio, scale, "ratio", n))
    return rows


def value_rows(
    subject: Subject,
    condition: Condition,
    values: Mapping[str, Floats],
    unit: str,
    intervals: Intervals,
    vectors: Mapping[str, str],
) -> list[Finding]:
    """Return rows of plain means over items, one a metric; all of the same items.

    `vectors` has the vector of each metric whose name says it.
    """
    found = value_intervals(values, **intervals.options(AUDIT, condition.label), largest=None)
    return [
        _row(subject, condition, metric, vectors.get(metric), interval, unit, len(values[metric]))
        for metric, interval in found.items()
    ]


def pooled(parts: list[VectorShifts]) -> VectorShifts:
    """Return for every item that any edit touched its means over those edits."""
    items = np.unique(np.concatenate([part.items for part in parts])) if parts else np.zeros(0, dtype=np.int64)
    names = list(parts[0].moved) if parts else []

    def mean(of: list[Floats]) -> Floats:
        total, times = np.zeros(len(items)), np.zeros(len(items))
        for part, values in zip(parts, of, strict=True):
            places = np.searchsorted(items, part.items)
            total[places] += values
            times[places] += 1
        return total / np.maximum(times, 1)

    moved = {name: mean([part.moved[name] for part in parts]) for name in names}
    return VectorShifts(items, mean([part.sizes for part in parts]), moved)


def _row(
    subject: Subject,
    condition: Condition,
    metric: str,
    modality: str | None,
    found: PairedIntervals,
    unit: str,
    n: int,
) -> Finding:
    return value_row(subject, AUDIT, condition, metric, found, unit, modality=modality, n_draws=1, note=_note(n))


def _ratio_row(
    subject: Subject,
    condition: Condition,
    metric: str,
    vector: str,
    found: PairedIntervals,
    scale: float,
    unit: str,
    n: int,
) -> Finding:
    assert found.relative is not None
    scaled = Interval(*(scale * bound for bound in found.relative))
    return _row(subject, condition, metric, vector, found._replace(drift=scaled), unit, n)


def _note(n: int) -> str:
    return f"over {n} items; {ONE_DRAW.replace('users', 'items')}"
