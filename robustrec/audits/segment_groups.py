"""Groups of items and of users by name: what segments and the exposure of groups are of.

Groups need the data set alone, so that a plan knows them before anything is computed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.item_values import own_column
from robustrec.audits.merchant.items import popularity_strata
from robustrec.columns import OF_ITEMS, OF_USERS
from robustrec.datasets.interactions import TEST, TRAIN, Interactions
from robustrec.datasets.user_columns import Columns, read_user_columns
from robustrec.files import digest_bytes
from robustrec.reading.texts import one_line, shortened
from robustrec.results.findings import SegmentKind

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

FEWEST_USERS = 50
"""Test users that a segment needs to be measured."""

COLD = 4
"""Largest number of training interactions of a user in the segment cold of activity."""

MOST_SEGMENTS = 50
"""Largest number of segments of one kind, those with the most users."""

_ACTIVITY = ("low", "medium", "high")
_MOST_LISTED = 6
_LONGEST_NAME = 60
_DIGITS = 8  # of a digest in a name
_TERCILES = (1 / 3, 2 / 3)


@dataclass(frozen=True, eq=False)
class Segment:
    """Test users of one segment.

    Attributes:
        by: what it is a segment of: activity, popularity, category, brand, price, or a column of items or users.
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


def segments_of(kinds: Sequence[SegmentKind], dataset: Dataset, users: NDArray[np.int64]) -> list[Segment]:
    """Return all segments of a data set, also those that are too small.

    Args:
        kinds: what they are of.
        dataset: the data set.
        users: [n] test users that are ranked, ascending.
    """
    found: list[Segment] = []
    columns = read_columns(dataset) if any(kind.startswith(OF_USERS) for kind in kinds) else {}
    for kind in kinds:
        if kind == "activity":
            found += _by_activity(dataset.interactions, users)
        elif kind.startswith(OF_USERS):
            groups = column_groups(columns.get(kind.removeprefix(OF_USERS), ()))
            found += [Segment(kind, name, np.flatnonzero(np.isin(users, own))) for name, own in groups.items()]
        else:
            found += _of_items(kind, items_by_label(dataset, kind), dataset.interactions, users)
    return found


def user_column_notes(kinds: Sequence[SegmentKind], dataset: Dataset, users: NDArray[np.int64]) -> list[str]:
    """Return a line for each column of the users with its limits, if it has thirds, and the users without a value."""
    own = [kind for kind in kinds if kind.startswith(OF_USERS)]
    columns = read_columns(dataset) if own else {}
    lines = []
    for kind in own:
        name = kind.removeprefix(OF_USERS)
        values = columns.get(name, [])
        numbers = [value for value in values if isinstance(value, float)]
        if numbers and not any(isinstance(value, str) for value in values):
            low, high = np.quantile(numbers, _TERCILES)
            lines.append(f"segments by {kind}: low is at most {low:g}, middle at most {high:g}, high above {high:g}")
        n = sum(values[user] is None for user in users.tolist()) if values else len(users)
        if n:
            lines.append(f"segments by {kind}: {n:,} of {len(users):,} test users have no {name} and are in no segment")
    return lines


def groups_with_exposure(dataset: Dataset, kind: SegmentKind) -> tuple[list[tuple[str, NDArray[np.int64]]], int]:
    """Return the groups of items whose exposure is measured, by name, and the number of large ones left out."""
    large = [(name, own) for name, own in items_by_label(dataset, kind).items() if len(own) >= FEWEST_ITEMS]
    large.sort(key=lambda pair: -len(pair[1]))
    return large[:MOST_GROUPS], max(0, len(large) - MOST_GROUPS)


def read_columns(dataset: Dataset) -> Columns:
    """Return the columns of the users by name, each with a value or None for every user."""
    return read_user_columns(dataset.user_columns, dataset.interactions.n_users)


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
        if small and kind.startswith(OF_USERS):
            # The value of a column could be what identifies a user: few users stay without a name.
            n_users = sum(len(each.rows) for each in group if each.too_small)
            lines.append(
                f"segments by {kind}: {len(small)} of {len(group)} not measured, with fewer than {FEWEST_USERS} test"
                f" users each ({n_users:,} in all)"
            )
        elif small:
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


def items_by_label(dataset: Dataset, kind: SegmentKind) -> dict[str, NDArray[np.int64]]:
    """Return label -> items, ascending; an item counts in each of its labels.

    Args:
        dataset: the data set.
        kind: popularity, category, brand, price, or a column of the catalog: thirds of its numbers, or its texts.
    """
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
        for label in dict.fromkeys(name for each in labels if (name := one_line(each))):
            found.setdefault(label, []).append(item)
    return _named(found)


def thirds(values: Sequence[float | str | None]) -> dict[str, NDArray[np.int64]]:
    """Return low, middle and high -> rows with a value at most the first tercile, at most the second, and above.

    Terciles are those of the known values (linear interpolation), each item or user once. Equal values are in one
    group, so that groups may differ in size and an empty one is left out; a row without a value is in none.
    """
    known = np.array([row for row, value in enumerate(values) if value is not None], dtype=np.int64)
    if not len(known):
        return {}
    numbers = np.array([value for value in values if value is not None], dtype=np.float64)
    group = np.searchsorted(np.quantile(numbers, _TERCILES), numbers, side="left")
    found = {name: known[group == place] for place, name in enumerate(THIRDS)}
    return {name: own for name, own in found.items() if len(own)}


def column_groups(values: Sequence[float | str | None]) -> dict[str, NDArray[np.int64]]:
    """Return label -> rows of a column of items or users: its texts, or thirds where all its values are numbers."""
    if not any(isinstance(value, str) for value in values):
        return thirds(values)
    found: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        label = one_line(f"{value:.15g}" if isinstance(value, float) else value or "")
        if label:
            found.setdefault(label, []).append(row)
    return _named(found)


def _by_activity(interactions: Interactions, ranked: NDArray[np.int64]) -> list[Segment]:
    """Return thirds of the test users by their training interactions, and those with few, where there are any.

    Among equals the lower id is less active. Users with few interactions are in a third too.
    """
    users, _ = interactions.pairs(TRAIN)
    counts = np.bincount(users, minlength=interactions.n_users)[ranked]
    place = np.empty(len(counts), dtype=np.int64)
    place[np.lexsort((ranked, counts))] = np.arange(len(counts))
    third = place * len(_ACTIVITY) // max(1, len(counts))
    found = [Segment("activity", name, np.flatnonzero(third == number)) for number, name in enumerate(_ACTIVITY)]
    cold = np.flatnonzero(counts <= COLD)
    return [*found, *([Segment("activity", f"cold (at most {COLD})", cold)] if len(cold) else [])]


def _of_items(
    kind: SegmentKind, groups: dict[str, NDArray[np.int64]], interactions: Interactions, ranked: NDArray[np.int64]
) -> list[Segment]:
    """Return the test users with a test item of each group."""
    if not groups:
        return []
    items, labels = (
        np.concatenate(list(groups.values())),
        np.repeat(np.arange(len(groups)), list(map(len, groups.values()))),
    )
    order = np.argsort(items, kind="stable")
    first = np.searchsorted(items[order], np.arange(interactions.n_items + 1))
    users, tested = interactions.pairs(TEST)
    there = np.isin(users, ranked)
    places, tested = np.searchsorted(ranked, users[there]), tested[there]
    # Each test pair, once for each group of its item.
    times = np.diff(first)[tested]
    within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    found = labels[order][np.repeat(first[tested], times) + within]
    cells = np.unique(found * len(ranked) + np.repeat(places, times))
    ends = np.searchsorted(cells, np.arange(len(groups) + 1) * len(ranked))
    return [
        Segment(kind, name, cells[slice(*ends[place : place + 2])] - place * len(ranked), len(own))
        for place, (name, own) in enumerate(groups.items())
    ]


def _named(found: Mapping[str, Sequence[int]]) -> dict[str, NDArray[np.int64]]:
    """Return groups by names for reports and gates, of `_LONGEST_NAME` characters at most.

    Labels that are the same after their end is cut off, as long paths of categories, get a digest, so that they stay
    groups of their own.
    """
    cut = Counter(shortened(label, _LONGEST_NAME) for label in found)
    names = {}
    for label in found:
        name = shortened(label, _LONGEST_NAME)
        digest = digest_bytes([label.encode("utf-8", "surrogatepass")])[:_DIGITS]
        names[label] = name if cut[name] == 1 else f"{shortened(label, _LONGEST_NAME - _DIGITS - 1)} {digest}"
    return {names[label]: np.array(items, dtype=np.int64) for label, items in found.items()}
