"""Interactions in the MMRec layout: reading, checking and writing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.columns import Table, integers, read_table
from robustrec.datasets.naming import places_of, plain
from robustrec.datasets.split_record import NO_COLD_USERS, ColdUsers
from robustrec.errors import RobustrecError
from robustrec.files import write_atomically

if TYPE_CHECKING:
    from scipy.sparse import csr_array

TRAIN, VALIDATION, TEST = 0, 1, 2
LABEL_NAMES = ("train", "validation", "test")
KEPT = " (kept)"  # ends the reason of what is only counted, not left out
COLUMNS = ("userID", "itemID", "x_label")
KINDS = ("user", "item", "label")

MAX_ID = 2**30 - 1  # user * items + item and a label then fit into 63 bits
MAX_IDS_PER_SEEN = 100


@dataclass(frozen=True, eq=False)
class Interactions:
    """Unique (user, item) pairs and the split of each pair.

    Attributes:
        users: [E] user ids, 0 to n_users - 1.
        items: [E] item ids, 0 to n_items - 1.
        labels: [E] 0 train, 1 validation, 2 test.
        n_users: number of users U, over all splits.
        n_items: number of items I, over all splits and the catalog.
        cold_users: users without training rows, of whom no row is kept.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    labels: NDArray[np.int8]
    n_users: int
    n_items: int
    cold_users: ColdUsers = NO_COLD_USERS

    def pairs(self, label: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return users and items of one split, in row order."""
        chosen = self.labels == label
        return self.users[chosen], self.items[chosen]

    def csr(self, label: int) -> csr_array:
        """Return one split as a binary matrix [U, I] of float64 with sorted indices."""
        from scipy.sparse import csr_array

        users, items = self.pairs(label)
        matrix = csr_array((np.ones(len(users), dtype=np.float64), (users, items)), shape=(self.n_users, self.n_items))
        matrix.sort_indices()
        return matrix


@dataclass(frozen=True)
class FilterCount:
    """Number of rows (or ids) that a filter dropped or found, with the reason."""

    reason: str
    rows: int


class Kept(NamedTuple):
    """Rows that remain after the filters, and the counts of the filters."""

    interactions: Interactions
    filters: list[FilterCount]


def read_inter(
    path: Path, *, n_items: int | None = None, n_users: int | None = None, canonical: bool = True
) -> tuple[Interactions, list[FilterCount]]:
    """Read a `.inter` file: tab-separated with a header; only userID, itemID and x_label are read.

    Rows are sorted by user and item, so that the row order does not matter.

    Args:
        path: the file.
        n_items: number of items, if known from a catalog; else the largest item id plus one.
        n_users: the same for users.
        canonical: False keeps the order of the file.

    Raises:
        RobustrecError: the file is missing, empty, truncated or malformed, an id is missing, negative, not an integer
            or out of range, a label is unknown, ids are sparse, or no training row is left.
    """
    table = read_table(path, delimiter="\t")
    names = _columns(table)
    users, items, labels = (integers(table, name) for name in names)
    _check_labels(table, labels)
    _check_ids(table, users, names[0], n_users)
    _check_ids(table, items, names[1], n_items)
    kept = clean_rows(
        users,
        items,
        labels.astype(np.int8),
        n_users or int(users.max()) + 1,
        n_items or int(items.max()) + 1,
        where=str(path),
        canonical=canonical,
    )
    return kept.interactions, kept.filters


def _columns(table: Table) -> list[str]:
    """Return the names of the user, item and label columns of a table."""
    shown = [name[:60] for name in table.header[:8]]
    found = {name: [each for each in table.header if plain(each) == plain(name)] for name in COLUMNS}
    places = places_of(table.header, KINDS)
    for kind, name in zip(KINDS, COLUMNS, strict=True):
        if not found[name] and kind in places:
            found[name] = [table.header[places[kind]]]
    missing = [name for name in COLUMNS if not found[name]]
    if missing:
        raise RobustrecError(
            f"column not found in the header: {', '.join(missing)} (got {shown})",
            where=f"{table.path}: line 1",
            fix="the header must name userID, itemID and x_label, separated by tabs; for ratings without splits, name"
            " the columns in order with --columns",
        )
    twice = [name for name in COLUMNS if len(found[name]) > 1]
    if twice:
        raise RobustrecError(
            f"the header {shown} has duplicate columns: {', '.join(twice)}",
            where=f"{table.path}: line 1",
            fix="name each column once",
        )
    return [found[name][0] for name in COLUMNS]


def write_inter(path: Path, interactions: Interactions) -> None:
    """Write interactions in the MMRec layout, atomically.

    Raises:
        RobustrecError: the file cannot be written.
    """
    rows = zip(interactions.users.tolist(), interactions.items.tolist(), interactions.labels.tolist(), strict=True)
    body = "".join(f"{user}\t{item}\t{label}\n" for user, item, label in rows)
    write_atomically(path, "\t".join(COLUMNS) + "\n" + body)


def clean_rows(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    labels: NDArray[np.int8],
    n_users: int,
    n_items: int,
    *,
    where: str,
    canonical: bool = True,
) -> Kept:
    """Drop repeated pairs and held-out rows of users without training rows; count ids that never occur.

    A pair that occurs in several splits keeps the earliest one. Rows are sorted by user and item.

    Args:
        users: [E] user of each row.
        items: [E] item of each row.
        labels: [E] split of each row.
        n_users: number of users.
        n_items: number of items.
        where: the file, for messages.
        canonical: False keeps the order of the rows.

    Raises:
        RobustrecError: no training row is left.
    """
    filters = []
    order = np.argsort((users * n_items + items) * 4 + labels, kind="stable")
    pair = (users * n_items + items)[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = pair[1:] != pair[:-1]
    group = np.cumsum(first) - 1
    leaks = int(np.count_nonzero(labels[order] != labels[order][first][group]))
    repeats = int(np.count_nonzero(~first))
    if repeats - leaks:
        filters.append(FilterCount("repeated rows (same user, item and split)", repeats - leaks))
    if leaks:
        filters.append(FilterCount("rows of a pair that is already in an earlier split", leaks))
    keep = np.zeros(len(users), dtype=np.bool_)
    keep[order[first]] = True

    trained = np.zeros(n_users, dtype=np.bool_)
    trained[users[keep & (labels == TRAIN)]] = True
    cold = keep & ~trained[users]
    untrained = NO_COLD_USERS
    if cold.any():
        of_split = np.bincount(labels[cold], minlength=3).tolist()
        n_cold = len(np.unique(users[cold]))
        untrained = ColdUsers(users=n_cold, validation=of_split[VALIDATION], test=of_split[TEST])
        filters.append(FilterCount("validation/test rows of users without training rows", int(cold.sum())))
        keep &= ~cold
    if not keep.any():
        raise RobustrecError(
            "no training rows" if not trained.any() else "no rows left after the filters",
            where=where,
            fix="x_label must be 0 for training rows, 1 for validation and 2 for test",
        )
    chosen = order[keep[order]] if canonical else np.flatnonzero(keep)
    interactions = Interactions(users[chosen], items[chosen], labels[chosen], n_users, n_items, untrained)
    for kind, ids, count in (("user", interactions.users, n_users), ("item", interactions.items, n_items)):
        unseen = count - _distinct(ids, count)
        if unseen:
            filters.append(FilterCount(f"{kind} ids without interactions{KEPT}", unseen))
    return Kept(interactions, filters)


def _distinct(ids: NDArray[np.int64], bound: int) -> int:
    seen = np.zeros(bound, dtype=np.bool_)
    seen[ids] = True
    return int(np.count_nonzero(seen))


def _check_labels(table: Table, labels: NDArray[np.int64]) -> None:
    wrong = np.flatnonzero((labels < TRAIN) | (labels > TEST))
    if len(wrong):
        shown = ", ".join(str(value) for value in np.unique(labels[wrong])[:5].tolist())
        raise RobustrecError(
            f"unknown x_label {shown} in {len(wrong)} row{'s' if len(wrong) > 1 else ''}",
            where=f"{table.path}: line {table.line(int(wrong[0]))}, column x_label",
            fix="x_label must be 0 for training, 1 for validation and 2 for test rows",
        )


def _check_ids(table: Table, ids: NDArray[np.int64], column: str, bound: int | None) -> None:
    def wrong(rows: NDArray[np.intp], what: str, fix: str) -> RobustrecError:
        row = int(rows[0])
        return RobustrecError(
            f"{column} {ids[row]} {what}",
            where=f"{table.path}: line {table.line(row)}, column {column}",
            fix=fix,
        )

    dense = f"number {column} from 0 without gaps; `robustrec data import` does so for a ratings CSV"
    negative = np.flatnonzero(ids < 0)
    if len(negative):
        raise wrong(negative, "is negative", dense)
    large = np.flatnonzero(ids > MAX_ID)
    if len(large):
        raise wrong(large, f"is above the maximum id, {MAX_ID}", dense)
    if bound is not None:
        outside = np.flatnonzero(ids >= bound)
        if len(outside):
            raise wrong(outside, f"is out of range; ids must be below {bound}", "use ids from 0 that match the catalog")
    if bound is not None:
        return
    largest = int(ids.max())
    # Far more ids than rows: then no table of that length must be made to count them.
    sparse = largest + 1 > MAX_IDS_PER_SEEN * len(ids)
    seen = len(np.unique(ids)) if sparse else _distinct(ids, largest + 1)
    if largest + 1 > MAX_IDS_PER_SEEN * seen:
        raise wrong(np.flatnonzero(ids == largest), f"is too large: only {seen} different ids occur", dense)
