"""Conversion of ratings files to interactions: filters, k-core, numbering and split, independent of the row order."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.headers import SPLITS, RepeatedHeader, locate_columns
from robustrec.datasets.interactions import FilterCount, Interactions, clean_rows
from robustrec.datasets.naming import (
    SCIENTIFIC,
    id_order,
    is_missing,
    number_of,
    without_decimals,
    written_alike,
)
from robustrec.datasets.splits import k_core, split_per_user
from robustrec.errors import RobustrecError

Ints = NDArray[np.int64]


class Ratings(NamedTuple):
    """Interactions of ratings files, counts of dropped rows, and the original ids by new id.

    `published` is true if the files give the split of each row.
    """

    interactions: Interactions
    filters: list[FilterCount]
    user_ids: list[str]
    item_ids: list[str]
    published: bool = False


class _Rows(NamedTuple):
    """Rows of one or several files; ids are positions in lists sorted by `id_order`.

    `labels` has the split of each row, -1 if the files do not give it.
    """

    users: Ints
    items: Ints
    times: NDArray[np.float64]
    labels: NDArray[np.int8]
    user_ids: list[str]
    item_ids: list[str]
    left_out: dict[str, int]


def read_ratings(
    path: Path,
    *,
    k: int = 5,
    min_rating: float | None = None,
    seed: int = 0,
    columns: Sequence[str] | None = None,
) -> Ratings:
    """Read a ratings file, with or without a header, and convert it to interactions.

    Rows without user, item or time are dropped, then repeated rows and repeated pairs (each counted), then rows outside
    the k-core. Users and items are numbered in the order of their ids (numbers by value, others as text) and rows are
    sorted by user and item, so that two exports of the same ratings give the same data set. The split is per user and
    seeded. Where a column says which split each row belongs to (x_label, split), the rows are kept as
    they are, like those of `read_published_split`.

    Args:
        path: file separated by commas, tabs, semicolons or |.
        k: smallest number of interactions of a user or item.
        min_rating: rows rated lower, and rows without a rating, are dropped; None keeps all.
        seed: seed of the split.
        columns: column names of a file without a known header.

    Raises:
        RobustrecError: the file cannot be read, is not a table, has no user or item column, or no rows are left.
    """
    if k < 1 or (min_rating is not None and not math.isfinite(min_rating)):
        raise RobustrecError(
            f"invalid filter: k {k}, min_rating {min_rating}",
            where="options --k, --min-rating",
            fix="--k must be 1 or more, and --min-rating must be finite",
        )
    rows = _read([path], columns, min_rating)
    if (rows.labels >= 0).any():
        return _published(rows, str(path))
    filters = [FilterCount(reason, count) for reason, count in rows.left_out.items()]
    exact = _first_of(rows.users, rows.items, rows.times)
    filters.append(FilterCount("repeated rows (same user, item and time)", int((~exact).sum())))
    first = _first_of(rows.users, rows.items)
    filters.append(FilterCount("later rows of the same user and item", int((exact & ~first).sum())))
    users, items = rows.users[first], rows.items[first]
    core = k_core(users, items, k)
    filters.append(FilterCount(f"rows outside the {k}-core", int((~core).sum())))
    users, items = users[core], items[core]
    if not len(users):
        raise RobustrecError(
            f"no interactions left after the {k}-core filter (of {len(core)} before)",
            where=str(path),
            fix=_smaller_core(rows.users[first], rows.items[first], k),
        )
    known_users, users = np.unique(users, return_inverse=True)
    known_items, items = np.unique(items, return_inverse=True)
    order = np.lexsort((items, users))
    users, items = users[order], items[order]
    labels = split_per_user(users, items, seed=seed)
    return Ratings(
        Interactions(users, items, labels, len(known_users), len(known_items)),
        [row for row in filters if row.rows],
        [rows.user_ids[code] for code in known_users.tolist()],
        [rows.item_ids[code] for code in known_items.tolist()],
    )


def read_published_split(
    files: Mapping[int, Path], *, min_rating: float | None = None, columns: Sequence[str] | None = None
) -> Ratings:
    """Read ratings with a published split, one file per split; no k-core filter and no random split are applied.

    Args:
        files: by label (0 train, 1 validation, 2 test).
        min_rating: rows rated lower, and rows without a rating, are dropped; None keeps all.
        columns: column names of files without a known header.

    Raises:
        RobustrecError: as `read_ratings`.
    """
    rows = _read(list(files.values()), columns, min_rating, list(files))
    for label, path in files.items():
        if not (rows.labels == label).any():
            raise RobustrecError(
                "no rows with a user and an item are left",
                where=str(path),
                fix="export the file again, or move it to another folder if there is no such split",
            )
    return _published(rows, ", ".join(str(path) for path in files.values()))


def _published(rows: _Rows, where: str) -> Ratings:
    left_out = [FilterCount(reason, count) for reason, count in rows.left_out.items() if count]
    known_users, users = np.unique(rows.users, return_inverse=True)
    known_items, items = np.unique(rows.items, return_inverse=True)
    kept = clean_rows(
        users,
        items,
        rows.labels,
        len(known_users),
        len(known_items),
        where=where,
    )
    return Ratings(
        kept.interactions,
        left_out + kept.filters,
        [rows.user_ids[code] for code in known_users.tolist()],
        [rows.item_ids[code] for code in known_items.tolist()],
        published=True,
    )


def _smaller_core(users: Ints, items: Ints, k: int) -> str:
    smaller = next((each for each in range(k - 1, 0, -1) if k_core(users, items, each).any()), None)
    if smaller is None:
        return "check that the file has rows with a user and an item, and lower or omit --min-rating"
    return f"use a smaller core: --k {smaller}"


def _read(
    paths: Sequence[Path],
    columns: Sequence[str] | None,
    min_rating: float | None,
    labels_of_files: Sequence[int] | None = None,
) -> _Rows:
    users, items, times, labels = array("q"), array("q"), array("d"), array("b")
    codes: dict[str, dict[str, int]] = {"user": {}, "item": {}, "timestamp": {}}
    notes: dict[str, int] = {}
    counts = dict.fromkeys(("header", "id", "time", "rating", "low"), 0)
    for number, path in enumerate(paths):
        table = locate_columns(path, columns, need_rating=min_rating is not None)
        counts["header"] += table.skipped_header
        user_at, item_at = table.places["user"], table.places["item"]
        rating_at, time_at = table.places.get("rating"), table.places.get("timestamp")
        split_at = table.places.get("split") if labels_of_files is None else None
        label = -1 if labels_of_files is None else labels_of_files[number]
        repeated = RepeatedHeader(table.header)
        first: tuple[int, int] | None = None
        if table.unread:
            notes[_unread(table.unread)] = len(table.unread)
        for line, row in table.rows:
            where = f"{path}: line {line}"
            if repeated(row, where):
                counts["header"] += 1
                continue
            if len(row) != table.width:
                raise RobustrecError(
                    f"{len(row)} field{'s' if len(row) != 1 else ''}, but expected {table.width}",
                    where=where,
                    fix="export the file again, it may be truncated; or delete this line",
                )
            user = _code(row[user_at], codes["user"], where)
            item = _code(row[item_at], codes["item"], where)
            first = first or (user, item)
            if user < 0 or item < 0:
                counts["id"] += 1
                continue
            if min_rating is not None and rating_at is not None:
                rating = _number(row[rating_at], f"{where}, column rating")
                if not math.isfinite(rating):
                    counts["rating"] += 1
                    continue
                if rating < min_rating:
                    counts["low"] += 1
                    continue
            time = 0.0 if time_at is None else _time(row[time_at].strip(), codes["timestamp"])
            if math.isnan(time):
                counts["time"] += 1
                continue
            users.append(user)
            items.append(item)
            times.append(time)
            labels.append(label if split_at is None else _split_of(row[split_at], where))
        if table.header is None and first is not None and _may_be_header(first, users, items, codes):
            notes["first lines that may be a header: their user and item occur in no other line"] = 1
    user_rank, user_ids = _canonical(codes["user"])
    item_rank, item_ids = _canonical(codes["item"])
    return _Rows(
        user_rank[np.array(users, dtype=np.int64)],
        item_rank[np.array(items, dtype=np.int64)],
        np.array(times, dtype=np.float64),
        np.array(labels, dtype=np.int8),
        user_ids,
        item_ids,
        {
            "header lines (column names, not interactions)": counts["header"],
            "rows without a user or item": counts["id"],
            "rows without a time": counts["time"],
            "rows without a rating": counts["rating"],
            f"rows rated below {min_rating:g}" if min_rating is not None else "": counts["low"],
            **notes,
            "users whose id differs from another's only in case, leading zeros or form": written_alike(user_ids),
            "items whose id differs from another's only in case, leading zeros or form": written_alike(item_ids),
            "ids in scientific notation, as spreadsheets write long numbers; different ids may have become one": sum(
                SCIENTIFIC.fullmatch(name) is not None for name in (*user_ids, *item_ids)
            ),
        },
    )


def _code(field: str, codes: dict[str, int], where: str) -> int:
    """Return a number for an id, -1 for a missing one."""
    name = field.strip()
    code = codes.get(name)
    if code is not None:
        return code
    if is_missing(name):
        return -1
    if "\0" in name:
        raise RobustrecError(
            f"an id contains a NUL byte: {name[:60]!r}", where=where, fix="export the file again; it may be damaged"
        )
    return codes.setdefault(name, len(codes))


def _unread(names: Sequence[str]) -> str:
    shown = ", ".join(name.strip()[:40] for name in names[:8]) + (", ..." if len(names) > 8 else "")
    return f"columns that are ignored: {shown}"


def _split_of(text: str, where: str) -> int:
    label = SPLITS.get(text.strip().lower())
    if label is None:
        raise RobustrecError(
            f"unknown split {text[:60]!r}",
            where=where,
            fix="the split must be train, valid or test, or 0, 1 or 2, in every row",
        )
    return label


def _may_be_header(
    first: tuple[int, int], users: array[int], items: array[int], codes: Mapping[str, Mapping[str, int]]
) -> bool:
    """Return whether the first row of a file without a header looks like a header: its words occur in no other row."""
    if users.count(first[0]) != 1 or items.count(first[1]) != 1 or len(users) < 2:
        return False
    ids = zip(("user", "item"), first, strict=True)
    names = [next(name for name, code in codes[kind].items() if code == at) for kind, at in ids]
    return not any(character.isdigit() for name in names for character in name)


def _canonical(codes: Mapping[str, int]) -> tuple[Ints, list[str]]:
    """Return the new code of each old code, and the ids sorted by `id_order`."""
    names = without_decimals(list(codes))
    ids = sorted(set(names), key=id_order)
    rank = {name: place for place, name in enumerate(ids)}
    return np.array([rank[name] for name in names], dtype=np.int64), ids


def _number(text: str, where: str) -> float:
    """Return a rating, NaN for a missing one."""
    if is_missing(text):
        return math.nan
    rating = number_of(text)
    if rating is None:
        raise RobustrecError(
            f"rating {text[:60]!r} is not a number", where=where, fix="correct this field, or omit --min-rating"
        )
    return rating


def _time(text: str, codes: dict[str, int]) -> float:
    """Return a number that is equal for equal times, NaN for a missing time; times only distinguish repeated rows."""
    if is_missing(text):
        return math.nan
    time = number_of(text)
    return -1.0 - codes.setdefault(text, len(codes)) if time is None else time


def _first_of(*keys: Ints | NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a mask of the first row of each combination of keys."""
    first = np.zeros(len(keys[0]), dtype=np.bool_)
    if len(first):
        order = np.lexsort(keys[::-1])  # stable: equal rows stay in file order
        new = np.zeros(len(order), dtype=np.bool_)
        new[0] = True
        for key in keys:
            new[1:] |= key[order][1:] != key[order][:-1]
        first[order[new]] = True
    return first
