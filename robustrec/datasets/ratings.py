"""Ratings files to interactions: filtered, k-core, numbered and split (spec 1.2), whatever the order of rows."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.headers import locate_columns
from robustrec.datasets.interactions import FilterCount, Interactions, clean_rows
from robustrec.datasets.naming import id_order, is_missing, number_of, without_decimals
from robustrec.datasets.splits import k_core, split_per_user
from robustrec.errors import RobustrecError

Ints = NDArray[np.int64]


class Ratings(NamedTuple):
    """Interactions of ratings files, what was left out, and the original ids by new id."""

    interactions: Interactions
    filters: list[FilterCount]
    user_ids: list[str]
    item_ids: list[str]


class _Rows(NamedTuple):
    """Rows of one or several files; ids are places in lists that are in the order of `id_order`."""

    users: Ints
    items: Ints
    times: NDArray[np.float64]
    files: Ints
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
    """Read a ratings file, with or without a header, and make interactions of it.

    Rows without user, item or time are dropped, then repeated rows and repeated pairs (each counted), then
    all that is not in the k-core. What remains is numbered in the order of ids, numbers by value and others as
    text, and sorted by user and item, so that two exports of the same ratings are the same data set. The split is
    per user and seeded.

    Args:
        path: comma-, tab- or semicolon-separated file.
        k: smallest number of interactions of a user or item.
        min_rating: rows rated lower, and rows without a rating, are dropped; None keeps all.
        seed: of the split.
        columns: names of the columns, where the file has no header that is understood.

    Raises:
        RobustrecError: the file cannot be read, is no table, has no user or item column, or nothing is left.
    """
    if k < 1 or (min_rating is not None and not math.isfinite(min_rating)):
        raise RobustrecError(
            f"core {k}, lowest rating {min_rating}",
            where="options --k, --min-rating",
            fix="--k 1 or more, and a finite --min-rating",
        )
    rows = _read([path], columns, min_rating)
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
            f"no interactions left of {len(core)} after the {k}-core filter",
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
    """Read ratings that are split already, a file for each split; no core is taken, and no split is drawn.

    Args:
        files: by label (0 train, 1 validation, 2 test).
        min_rating: rows rated lower, and rows without a rating, are dropped; None keeps all.
        columns: names of the columns, where the files have no header that is understood.

    Raises:
        RobustrecError: as `read_ratings`.
    """
    labels_of_files = np.array(list(files), dtype=np.int8)
    rows = _read(list(files.values()), columns, min_rating)
    left_out = [FilterCount(reason, count) for reason, count in rows.left_out.items() if count]
    if not len(rows.users):
        raise RobustrecError(
            "no interactions left",
            where=", ".join(path.name for path in files.values()),
            fix="see that the files have rows with a user and an item, and use a lower --min-rating or none",
        )
    known_users, users = np.unique(rows.users, return_inverse=True)
    known_items, items = np.unique(rows.items, return_inverse=True)
    kept = clean_rows(
        users,
        items,
        labels_of_files[rows.files],
        len(known_users),
        len(known_items),
        where=", ".join(str(path) for path in files.values()),
    )
    return Ratings(
        kept.interactions,
        left_out + kept.filters,
        [rows.user_ids[code] for code in known_users.tolist()],
        [rows.item_ids[code] for code in known_items.tolist()],
    )


def _smaller_core(users: Ints, items: Ints, k: int) -> str:
    smaller = next((each for each in range(k - 1, 0, -1) if k_core(users, items, each).any()), None)
    if smaller is None:
        return "see that the file has rows with a user and an item, and use a lower --min-rating or none"
    return f"use a smaller core: --k {smaller}"


def _read(paths: Sequence[Path], columns: Sequence[str] | None, min_rating: float | None) -> _Rows:
    users, items, times, files = array("q"), array("q"), array("d"), array("q")
    codes: dict[str, dict[str, int]] = {"user": {}, "item": {}, "timestamp": {}}
    counts = dict.fromkeys(("header", "id", "time", "rating", "low"), 0)
    for number, path in enumerate(paths):
        table = locate_columns(path, columns, need_rating=min_rating is not None)
        counts["header"] += table.skipped_header
        user_at, item_at = table.places["user"], table.places["item"]
        rating_at, time_at = table.places.get("rating"), table.places.get("timestamp")
        for line, row in table.rows:
            if row == table.header:  # of files that were appended to each other
                counts["header"] += 1
                continue
            where = f"{path}: line {line}"
            if len(row) != table.width:
                raise RobustrecError(
                    f"{len(row)} field{'s' if len(row) != 1 else ''} where there should be {table.width}",
                    where=where,
                    fix="write the file again, it may be truncated; or cut that line",
                )
            user = _code(row[user_at], codes["user"], where)
            item = _code(row[item_at], codes["item"], where)
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
            files.append(number)
    user_rank, user_ids = _canonical(codes["user"])
    item_rank, item_ids = _canonical(codes["item"])
    return _Rows(
        user_rank[np.array(users, dtype=np.int64)],
        item_rank[np.array(items, dtype=np.int64)],
        np.array(times, dtype=np.float64),
        np.array(files, dtype=np.int64),
        user_ids,
        item_ids,
        {
            "header lines (column names, not interactions)": counts["header"],
            "rows without a user or item": counts["id"],
            "rows without a time": counts["time"],
            "rows without a rating": counts["rating"],
            f"rows rated below {min_rating:g}" if min_rating is not None else "": counts["low"],
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
            f"an id holds a NUL byte: {name[:60]!r}", where=where, fix="write the file again; it may be damaged"
        )
    return codes.setdefault(name, len(codes))


def _canonical(codes: Mapping[str, int]) -> tuple[Ints, list[str]]:
    """Return the new code by old code, and the ids in the order of `id_order`."""
    names = without_decimals(list(codes))
    ids = sorted(set(names), key=id_order)
    rank = {name: place for place, name in enumerate(ids)}
    return np.array([rank[name] for name in names], dtype=np.int64), ids


def _number(text: str, where: str) -> float:
    """Return a rating, NaN where there is none."""
    if is_missing(text):
        return math.nan
    rating = number_of(text)
    if rating is None:
        raise RobustrecError(
            f"rating {text[:60]!r} is not a number", where=where, fix="correct that field, or leave out --min-rating"
        )
    return rating


def _time(text: str, codes: dict[str, int]) -> float:
    """Return a number that is equal for equal times, NaN for none; times only tell repeated rows from later ones."""
    if is_missing(text):
        return math.nan
    time = number_of(text)
    return -1.0 - codes.setdefault(text, len(codes)) if time is None else time


def _first_of(*keys: Ints | NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which rows are the first with their combination of keys."""
    first = np.zeros(len(keys[0]), dtype=np.bool_)
    if len(first):
        order = np.lexsort(keys[::-1])  # stable: equal rows stay in file order
        new = np.zeros(len(order), dtype=np.bool_)
        new[0] = True
        for key in keys:
            new[1:] |= key[order][1:] != key[order][:-1]
        first[order[new]] = True
    return first
