"""Ratings CSV to interactions: filtered, k-core, numbered and split (spec 1.2)."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.interactions import FilterCount, Interactions
from robustrec.datasets.splits import k_core, split_per_user
from robustrec.errors import RobustrecError

ALIASES = {
    "user": ("user", "userid", "uid", "reviewerid", "customerid"),
    "item": ("item", "itemid", "iid", "movieid", "asin", "parentasin", "productid", "bookid"),
    "rating": ("rating", "overall", "stars", "score"),
    "timestamp": ("timestamp", "time", "unixreviewtime", "ts", "date"),
}
HEADERLESS = ("user", "item", "rating", "timestamp")  # as in Amazon's "ratings only" files of 2014
DELIMITERS = ",\t;"
PROBE_ROWS = 200


class Ratings(NamedTuple):
    """Interactions of a ratings file, what was left out, and the original ids by new id."""

    interactions: Interactions
    filters: list[FilterCount]
    user_ids: list[str]
    item_ids: list[str]


class _Rows(NamedTuple):
    users: NDArray[np.int64]
    items: NDArray[np.int64]
    times: NDArray[np.float64]
    user_ids: list[str]
    item_ids: list[str]
    missing: int
    low: int


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
    all that is not in the k-core. Ids are numbered by first appearance in what remains; the split is per user
    and seeded.

    Args:
        path: comma-, tab- or semicolon-separated file.
        k: smallest number of interactions of a user or item.
        min_rating: rows rated lower are dropped; None keeps all.
        seed: of the split.
        columns: names of the columns, where the file has no header.

    Raises:
        RobustrecError: the file cannot be read, is no table, has no user or item column, or nothing is left.
    """
    if k < 1 or (min_rating is not None and not math.isfinite(min_rating)):
        raise RobustrecError(
            f"core {k}, lowest rating {min_rating}",
            where="options --k, --min-rating",
            fix="--k 1 or more, and a finite --min-rating",
        )
    rows = _read(path, columns, min_rating)
    filters = [FilterCount("rows without user, item, rating or time", rows.missing)]
    if min_rating is not None:
        filters.append(FilterCount(f"rows rated below {min_rating:g}", rows.low))
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
            fix="use a smaller core or a lower rating: --k 2, --min-rating 1",
        )
    users, user_order = _renumber(users)
    items, item_order = _renumber(items)
    labels = split_per_user(users, items, seed=seed)
    return Ratings(
        Interactions(users, items, labels, len(user_order), len(item_order)),
        [row for row in filters if row.rows],
        [rows.user_ids[code] for code in user_order.tolist()],
        [rows.item_ids[code] for code in item_order.tolist()],
    )


def _read(path: Path, columns: Sequence[str] | None, min_rating: float | None) -> _Rows:
    users, items, times = array("q"), array("q"), array("d")
    user_codes: dict[str, int] = {}
    item_codes: dict[str, int] = {}
    time_codes: dict[str, int] = {}
    missing = low = 0
    places, width, records = _open(path, columns, min_rating)
    for line, row in records:
        if len(row) != width:
            raise RobustrecError(
                f"{len(row)} field{'s' if len(row) != 1 else ''} where there should be {width}",
                where=f"{path}: line {line}",
                fix="write the file again, it may be truncated; or cut that line",
            )
        user, item = row[places["user"]].strip(), row[places["item"]].strip()
        time = row[places["timestamp"]].strip() if "timestamp" in places else "0"
        if not (user and item and time):
            missing += 1
            continue
        if min_rating is not None:
            rating = _number(row[places["rating"]], f"{path}: line {line}, column rating")
            if rating is None:
                missing += 1
                continue
            if rating < min_rating:
                low += 1
                continue
        users.append(user_codes.setdefault(user, len(user_codes)))
        items.append(item_codes.setdefault(item, len(item_codes)))
        times.append(_time(time, time_codes))
    _check_ids(path, user_codes, item_codes)
    return _Rows(
        np.array(users, dtype=np.int64),
        np.array(items, dtype=np.int64),
        np.array(times, dtype=np.float64),
        list(user_codes),
        list(item_codes),
        missing,
        low,
    )


def _open(
    path: Path, columns: Sequence[str] | None, min_rating: float | None
) -> tuple[dict[str, int], int, Iterator[tuple[int, list[str]]]]:
    """Return where each known column is, the number of columns, and the records with their line numbers."""
    records = _records(path)
    probe = [record for _, record in zip(range(PROBE_ROWS), records, strict=False)]
    if not probe:
        raise RobustrecError(
            "the file is empty", where=str(path), fix="give a ratings file: user,item,rating,timestamp"
        )
    first = probe[0][1]
    names = _known(first)
    has_header = "user" in names or "item" in names
    if columns is not None:
        names = _known(columns)
    elif not has_header:
        names = _headerless(path, [row for _, row in probe])
    lacking = [kind for kind in ("user", "item") if kind not in names]
    if min_rating is not None and "rating" not in names:
        lacking.append("rating")
    if lacking or max(names.values()) >= len(first):
        raise RobustrecError(
            f"no column for {', '.join(lacking)} in {first[:8]}"
            if lacking
            else f"fewer columns than named: {first[:8]}",
            where=f"{path}: line {probe[0][0]}",
            fix="name the columns in their order: --columns user,item,rating,timestamp",
        )

    def all_records() -> Iterator[tuple[int, list[str]]]:
        yield from probe[1:] if has_header else probe
        yield from records

    return names, len(first), all_records()


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline(2**16)
            file.seek(0)
            delimiter = max(DELIMITERS, key=head.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise RobustrecError(
            f"the file is not UTF-8 text: {error.reason} (byte 0x{error.object[error.start]:02x})",
            where=str(path),
            fix="write the file again as UTF-8 text",
        ) from error
    except (OSError, csv.Error) as error:
        raise RobustrecError(
            f"cannot read the ratings: {error}",
            where=str(path),
            fix="give a CSV file: user,item,rating,timestamp",
        ) from error


def _known(header: Sequence[str]) -> dict[str, int]:
    plain = [name.split(":")[0].strip().lower().replace("_", "").replace(" ", "") for name in header]
    return {
        kind: next(place for place, name in enumerate(plain) if name in aliases)
        for kind, aliases in ALIASES.items()
        if any(name in aliases for name in plain)
    }


def _headerless(path: Path, rows: list[list[str]]) -> dict[str, int]:
    """Return the columns of a file without a header: user, item, rating, timestamp, unless plainly not."""
    looks_swapped = all(
        len(row) > 1 and _is_asin(row[0].strip()) and not _is_asin(row[1].strip()) and row[1].startswith("A")
        for row in rows
    )
    third = rows[0][2].strip() if len(rows[0]) > 2 else "0"
    try:
        float(third)
    except ValueError:
        looks_swapped = True
    if looks_swapped or len(rows[0]) < 3:
        raise RobustrecError(
            f"no header, and the columns are not plainly user,item,rating,timestamp: {rows[0][:8]}",
            where=f"{path}: line 1",
            fix="name the columns in their order, for example: --columns item,user,rating,timestamp",
        )
    return {kind: place for place, kind in enumerate(HEADERLESS) if place < len(rows[0])}


def _is_asin(text: str) -> bool:
    return len(text) == 10 and (text.startswith("B") or text[:9].isdigit())


def _number(text: str, where: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise RobustrecError(
            f"rating {text[:60]!r} is not a number",
            where=where,
            fix="name the columns in their order: --columns ...",
        ) from error


def _time(text: str, codes: dict[str, int]) -> float:
    """Return a number that is equal for equal times; times only tell repeated rows from repeated visits."""
    try:
        return float(text)
    except ValueError:
        return -1.0 - codes.setdefault(text, len(codes))


def _check_ids(path: Path, *tables: dict[str, int]) -> None:
    for ids in tables:
        bad = next((name for name in ids if "\0" in name), None)
        if bad is not None:
            raise RobustrecError(
                f"an id holds a NUL byte: {bad[:60]!r}",
                where=str(path),
                fix="write the file again; it may be damaged",
            )


def _first_of(*keys: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.bool_]:
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


def _renumber(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ids from 0 by first appearance, and the code behind each id."""
    values, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.arange(len(values))
    return rank[inverse], values[order]
