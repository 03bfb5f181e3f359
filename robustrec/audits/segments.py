"""Segments: groups of users, and users by groups of their test items, each with the drift of its own.

A mean over all users hides groups that move in opposite directions. A segment has the same per-user values as the
findings of the run, of its users alone, so that nothing is ranked again. Segments of items hold the test users with a
test item of the group; an item of several categories counts in each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from robustrec.audits.item_groups import FEWEST_ITEMS, items_by_label
from robustrec.audits.rows import Intervals, drift_row, unit_of, value_row, without_draws
from robustrec.datasets.interactions import TRAIN, Interactions
from robustrec.evaluation.kinds import ACCURACY, STABILITY, VALUE, kind_of
from robustrec.evaluation.statistics import paired_intervals, value_intervals
from robustrec.results.arrays import Arrays, both_states
from robustrec.results.findings import CLEAN, CONTENT_USE, Finding, SegmentKind

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset
    from robustrec.runs.prepared import Split

FEWEST_USERS = 50
"""Test users that a segment needs to be measured."""

COLD = 4
"""Largest number of training interactions of a user in the segment cold of activity."""

MOST_SEGMENTS = 50
"""Largest number of segments of one kind, those with the most users."""

_ACTIVITY = ("low", "medium", "high")
_MOST_LISTED = 6


@dataclass(frozen=True, eq=False)
class Segment:
    """Test users of one segment.

    Attributes:
        by: what it is a segment of: activity, popularity, category, brand, price or a column of items.
        name: value of it.
        rows: int64 [m] places among the test users.
        n_items: number of items of the group in the catalogue; None for a group of users.
    """

    by: SegmentKind
    name: str
    rows: NDArray[np.int64]
    n_items: int | None = None

    @property
    def too_small(self) -> str:
        """Why it is not measured; empty if it is."""
        sizes = [f"{len(self.rows):,} users"] if len(self.rows) < FEWEST_USERS else []
        if self.n_items is not None and self.n_items < FEWEST_ITEMS:
            sizes.append(f"{self.n_items:,} items")
        return ", ".join(sizes)


def segments_of(kinds: Sequence[SegmentKind], dataset: Dataset, split: Split) -> list[Segment]:
    """Return all segments of a data set, also those that are too small."""
    found: list[Segment] = []
    for kind in kinds:
        if kind == "activity":
            found += _by_activity(dataset.interactions, split)
        else:
            found += _of_items(kind, items_by_label(dataset, kind), split)
    return found


def chosen_segments(segments: Iterable[Segment]) -> tuple[list[Segment], list[str]]:
    """Return the segments to measure, and a line for each kind with segments that are not, with the reason."""
    by_kind: dict[str, list[Segment]] = {}
    for each in segments:
        by_kind.setdefault(each.by, []).append(each)
    kept: list[Segment] = []
    lines: list[str] = []
    for kind, group in by_kind.items():
        large = [each for each in group if not each.too_small]
        chosen = sorted(large, key=lambda each: -len(each.rows))[:MOST_SEGMENTS]
        kept += [each for each in group if each in chosen]
        small = [f"{each.name} ({each.too_small})" for each in group if each.too_small]
        if small:
            more = f" and {len(small) - _MOST_LISTED} more" if len(small) > _MOST_LISTED else ""
            lines.append(
                f"segments by {kind}: {len(small)} of {len(group)} not measured, with fewer than {FEWEST_USERS} users"
                f" or {FEWEST_ITEMS} items: {', '.join(small[:_MOST_LISTED])}{more}"
            )
        if len(large) > len(chosen):
            lines.append(
                f"segments by {kind}: the {len(chosen)} with the most users are measured, {len(large) - len(chosen)}"
                " others are not"
            )
    return kept, lines


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


def _by_activity(interactions: Interactions, split: Split) -> list[Segment]:
    """Return thirds of the test users by their training interactions, and those with few, where there are any.

    Among equals the lower id is less active. Users with few interactions are in a third too.
    """
    users, _ = interactions.pairs(TRAIN)
    counts = np.bincount(users, minlength=interactions.n_users)[split.users]
    place = np.empty(len(counts), dtype=np.int64)
    place[np.lexsort((split.users, counts))] = np.arange(len(counts))
    third = place * len(_ACTIVITY) // max(1, len(counts))
    found = [Segment("activity", name, np.flatnonzero(third == number)) for number, name in enumerate(_ACTIVITY)]
    cold = np.flatnonzero(counts <= COLD)
    return [*found, *([Segment("activity", f"cold (at most {COLD})", cold)] if len(cold) else [])]


def _of_items(kind: SegmentKind, groups: dict[str, NDArray[np.int64]], split: Split) -> list[Segment]:
    """Return the test users with a test item of each group."""
    if not groups:
        return []
    n_items = split.relevant.shape[1]
    columns = np.repeat(np.arange(len(groups)), [len(each) for each in groups.values()])
    items = np.concatenate(list(groups.values()))
    member = csr_array((np.ones(len(items)), (items, columns)), shape=(n_items, len(groups)))
    held = (split.relevant[split.users] @ member).tocsc()
    return [
        Segment(kind, name, np.sort(held.indices[slice(*held.indptr[place : place + 2])]).astype(np.int64), len(own))
        for place, (name, own) in enumerate(groups.items())
    ]
