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

from robustrec.audits.item_values import own_column
from robustrec.audits.values import length_of_main
from robustrec.columns import OF_ITEMS
from robustrec.evaluation.kinds import kind_of
from robustrec.reading.texts import one_line, shortened
from robustrec.results.findings import CLEAN, EXPOSURE, Finding, SegmentKind

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset

POPULARITY = ("tail", "middle", "head")
"""Thirds of the items by training interactions."""

THIRDS = ("low", "middle", "high")
"""Thirds of the items by price, or by another numeric column."""

FEWEST_ITEMS = 10
"""Items of a group that it needs to be measured."""

MOST_GROUPS = 20
"""Largest number of groups of one kind whose exposure is measured, those with the most items."""

_OWN = "group_exposure"
_LONGEST_NAME = 60


def items_by_label(dataset: Dataset, kind: SegmentKind) -> dict[str, NDArray[np.int64]]:
    """Return label -> items, ascending; an item counts in each of its labels.

    Args:
        dataset: the data set.
        kind: popularity, category, brand, price, or a column of the catalog: thirds of its numbers, or its texts.
    """
    from robustrec.audits.merchant.items import popularity_strata

    if kind == "popularity":
        strata = popularity_strata(dataset.interactions, len(POPULARITY))
        return {name: np.flatnonzero(strata == place) for place, name in enumerate(POPULARITY)}
    if kind == "price":
        return thirds(own_column(dataset, "price"))
    if kind.startswith(OF_ITEMS):
        return column_groups(own_column(dataset, kind.removeprefix(OF_ITEMS)))
    found: dict[str, list[int]] = {}
    for item, entry in enumerate(dataset.catalog.items if dataset.catalog else ()):
        labels = () if entry is None else entry.categories if kind == "category" else (entry.brand,)
        for label in dict.fromkeys(name for each in labels if (name := _name(each))):
            found.setdefault(label, []).append(item)
    return {name: np.array(items, dtype=np.int64) for name, items in found.items()}


def thirds(values: Sequence[float | str | None]) -> dict[str, NDArray[np.int64]]:
    """Return low, middle and high -> items with a value at most the first tercile, at most the second, and above.

    Terciles are those of the known values (linear interpolation), each item once. Equal values are in one group, so
    that groups may differ in size and an empty one is left out; an item without a value is in none.
    """
    known = np.array([row for row, value in enumerate(values) if value is not None], dtype=np.int64)
    if not len(known):
        return {}
    numbers = np.array([value for value in values if value is not None], dtype=np.float64)
    group = np.searchsorted(np.quantile(numbers, [1 / 3, 2 / 3]), numbers, side="left")
    found = {name: known[group == place] for place, name in enumerate(THIRDS)}
    return {name: own for name, own in found.items() if len(own)}


def column_groups(values: Sequence[float | str | None]) -> dict[str, NDArray[np.int64]]:
    """Return label -> items of a column: its texts, or thirds where all its values are numbers."""
    if not any(isinstance(value, str) for value in values):
        return thirds(values)
    found: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        label = _name(f"{value:g}" if isinstance(value, float) else value or "")
        if label:
            found.setdefault(label, []).append(row)
    return {name: np.array(items, dtype=np.int64) for name, items in found.items()}


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
        if kind == "activity":
            continue
        large = [(name, own) for name, own in items_by_label(dataset, kind).items() if len(own) >= FEWEST_ITEMS]
        large.sort(key=lambda pair: -len(pair[1]))
        chosen += [((kind, name), own) for name, own in large[:MOST_GROUPS]]
        if len(large) > MOST_GROUPS:
            notes.append(
                f"exposure by {kind}: the {MOST_GROUPS} groups with the most items are measured, "
                f"{len(large) - MOST_GROUPS} others are not"
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


def _name(label: str) -> str:
    """Return a label of a catalogue for reports and gates: one line without control characters, not too long."""
    return shortened(one_line(label), _LONGEST_NAME)
