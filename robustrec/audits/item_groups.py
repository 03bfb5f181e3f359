"""Exposure of groups of items: the share of the positions in the top k with an item of the group.

It is measured for every list that an audit ranks, as one value a user, and needs no relevance. In a run each group has
a metric of its own, and the end of the run makes rows of segments of them. An item of several groups counts in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from robustrec.audits.segment_groups import MOST_GROUPS, groups_with_exposure
from robustrec.audits.values import length_of_main
from robustrec.columns import of_users
from robustrec.evaluation.kinds import kind_of
from robustrec.results.findings import CLEAN, EXPOSURE, Finding, SegmentKind

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset

_OWN = "group_exposure"


@dataclass(frozen=True, eq=False)
class ItemGroups:
    """Groups of items whose exposure is measured.

    Attributes:
        labels: kind and name of each group.
        member: [I, G] 1 where an item is of a group.
        k: list length.
        notes: a line for each kind with groups beyond MOST_GROUPS.
    """

    labels: tuple[tuple[SegmentKind, str], ...]
    member: csr_array
    k: int
    notes: tuple[str, ...] = ()

    def values(self, items: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
        """Return the share of the k positions with an item of each group, [n] by the group's own metric.

        Args:
            items: [n, K >= k] lists; negative where a list is short. An empty position counts as one without the group.
        """
        shown = items[:, : self.k]
        there = shown >= 0
        starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        lists = csr_array((np.ones(starts[-1]), shown[there], starts), shape=(len(items), self.member.shape[0]))
        shares = (lists @ self.member).toarray() / self.k
        return {f"{_OWN}@{self.k}_{place}": shares[:, place].copy() for place in range(len(self.labels))}


def item_groups(kinds: Sequence[SegmentKind], dataset: Dataset, metrics: Sequence[str]) -> ItemGroups | None:
    """Return the groups of items of a suite's segments, or None if there is none.

    Args:
        kinds: segments of the suite.
        dataset: the data set.
        metrics: of the suite; the list length is that of the main one.
    """
    chosen: list[tuple[tuple[SegmentKind, str], NDArray[np.int64]]] = []
    notes: list[str] = []
    for kind in kinds:
        if of_users(kind):
            continue
        groups, others = groups_with_exposure(dataset, kind)
        chosen += [((kind, name), own) for name, own in groups]
        if others:
            notes.append(
                f"exposure by {kind}: the {MOST_GROUPS} groups with the most items are measured, {others} others are"
                " not"
            )
    if not chosen:
        return None
    columns = np.repeat(np.arange(len(chosen)), [len(own) for _, own in chosen])
    rows = np.concatenate([own for _, own in chosen])
    member: Any = csr_array((np.ones(len(rows)), (rows, columns)), shape=(dataset.interactions.n_items, len(chosen)))
    return ItemGroups(tuple(label for label, _ in chosen), member, length_of_main(metrics), tuple(notes))


def is_of_group(metric: str) -> bool:
    """Return whether a metric is a group's own, which is in no finding of a report."""
    return kind_of(metric) == _OWN


def group_rows(findings: Sequence[Finding], groups: ItemGroups) -> list[Finding]:
    """Return the findings of group metrics as rows of segments, `exposure@k` of the group.

    Differences between strategies are left out, as segments have none.
    """
    found: list[Finding] = []
    for row in findings:
        if not is_of_group(row.metric) or row.reference != CLEAN:
            continue
        by, name = groups.labels[int(row.metric.rpartition("_")[2])]
        update = {
            "metric": f"{EXPOSURE}@{groups.k}",
            "segment_by": by,
            "segment": name,
            "unit": "share of positions",
        }
        found.append(row.model_copy(update=update))
    return found
