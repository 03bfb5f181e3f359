"""Segments: groups of users, and users by groups of their test items, each with the drift of its own.

A mean over all users hides groups that move in opposite directions. A segment has the same per-user values as the
findings of the run, of its users alone, so that nothing is ranked again. Segments of items hold the test users with a
test item of the group; an item of several categories counts in each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.rows import Intervals, drift_row, unit_of, value_row, without_draws
from robustrec.audits.segment_groups import Segment
from robustrec.evaluation.kinds import ACCURACY, STABILITY, VALUE, kind_of
from robustrec.evaluation.statistics import paired_intervals, value_intervals
from robustrec.results.arrays import Arrays, both_states
from robustrec.results.findings import CLEAN, CONTENT_USE, Finding


def segment_rows(
    findings: Sequence[Finding], arrays: Arrays, segments: Sequence[Segment], intervals: Intervals
) -> list[Finding]:
    """Return the findings of each segment: clean quality, and the drift of quality and list stability.

    Args:
        findings: of all users.
        arrays: the per-user arrays behind them.
        segments: to measure.
        intervals: settings of the intervals; users of a segment are resampled.
    """
    found: list[Finding] = []
    for row in findings:
        kind = kind_of(row.metric)
        if row.group is not None or row.audit == CONTENT_USE or kind not in (*ACCURACY, *VALUE, *STABILITY):
            continue
        states = both_states(row, arrays)
        if states is None:
            continue
        clean, perturbed = states
        if row.audit != CLEAN and len(perturbed) != max(1, row.n_draws):
            continue  # the draws were too large to keep, and their mean alone does not tell how far they differ
        found += _rows_of(row, clean, perturbed, segments, intervals)
    return found


def _rows_of(
    row: Finding,
    clean: NDArray[np.float64],
    perturbed: NDArray[np.float64],
    segments: Sequence[Segment],
    intervals: Intervals,
) -> Iterator[Finding]:
    """Yield the finding of each segment of one finding of all users."""
    metric, largest = row.metric, intervals.largest([row.metric])
    idle = row.audit != CLEAN and row.ci_low == row.ci_high == 0
    options = intervals.options("segments", row.audit, row.condition.label)
    for each in segments:
        base, after = clean[each.rows], perturbed[:, each.rows]
        if row.audit == CLEAN:
            if row.quantity != "value":
                return
            value = value_intervals({metric: base}, **options, largest=largest)[metric]
            n_users = len(each.rows)
            made = value_row(row.subject, CLEAN, row.condition, metric, value, unit_of(metric), n_users=n_users)
        else:
            reach = None if idle else largest
            drift = paired_intervals({metric: base}, {metric: after}, **options, largest=reach)[metric]
            means = float(base.mean()), float(after.mean())
            made = drift_row(row.subject, row.audit, row.condition, metric, means, drift)
            made = made if row.n_draws else without_draws(made)
        yield made.model_copy(update={"segment_by": each.by, "segment": each.name})
