"""Ratings files: their rows, the ids and times in them, and the conversion to interactions."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.conversion import Ratings, Rows, SplitOptions, split_rows
from robustrec.datasets.headers import KINDS, SPLITS, Located, RepeatedHeader, locate_columns
from robustrec.datasets.interactions import FilterCount, Interactions
from robustrec.datasets.naming import (
    SCIENTIFIC,
    id_order,
    is_missing,
    number_of,
    without_decimals,
    written_alike,
)
from robustrec.datasets.split_record import SplitRecord
from robustrec.datasets.times import seconds_of
from robustrec.errors import RobustrecError

Ints = NDArray[np.int64]
Place = Callable[[int], str]
MAX_ID = 1_000
"""Characters of an id at most, as in catalogs."""


class _Clock:
    """Reads times. A text that is no time gets a number that is equal for equal texts, and the first one is kept."""

    def __init__(self) -> None:
        self.known: dict[str, float] = {}
        self.no_time: tuple[str, str] | None = None

    def __call__(self, text: str, where: Place, line: int) -> float:
        """Return a time: a number as it is, a date in seconds since 1970, NaN for a missing time."""
        if is_missing(text):
            return math.nan
        time = number_of(text)
        if time is not None:
            return time
        found = self.known.get(text)
        if found is None:
            found = seconds_of(text)
            if found is None:
                self.no_time = self.no_time or (text, where(line))
                found = -1.0 - len(self.known)
            self.known[text] = found
        return found


def read_ratings(
    path: Path | Sequence[Path],
    *,
    k: int = 5,
    min_rating: float | None = None,
    seed: int = 0,
    columns: Sequence[str] | None = None,
    how: SplitOptions | None = None,
    form: str | None = None,
) -> Ratings:
    """Read a ratings file, with or without a header, and convert it to interactions.

    Rows without user, item or time are dropped, then repeated rows and repeated pairs (each counted), then rows outside
    the k-core. Users and items are numbered in the order of their ids (numbers by value, others as text) and rows are
    sorted by user and item, so that two exports of the same ratings give the same data set. Where a column says which
    split each row belongs to (x_label, split), and `how` names no other split, the rows are kept as they are, like
    those of `read_published_split`.

    Args:
        path: the file, or the files that hold the rows one after the other.
        k: smallest number of interactions of a user or item.
        min_rating: rows rated lower, and rows without a rating, are dropped; None keeps all.
        seed: seed of the split, where `how` is not given.
        columns: column names of a file without a known header.
        how: the split; by default the published one, else random per user.
        form: name of the format of the files, see `formats.kinds.LABELS`; None: recognised.

    Raises:
        RobustrecError: the file cannot be read, is not a table, has no user or item column, the split needs times that
            it does not have, or no rows are left.
    """
    return _converted(_listed(path), how or SplitOptions(seed=seed), k, min_rating, columns, None, "a column", form)


def read_published_split(
    files: Mapping[int, Path | Sequence[Path]],
    *,
    min_rating: float | None = None,
    columns: Sequence[str] | None = None,
    how: SplitOptions | None = None,
    k: int = 5,
) -> Ratings:
    """Read ratings with a published split, one file per split; no k-core filter is applied unless they are split anew.

    Args:
        files: the file or files of each label (0 train, 1 validation, 2 test).
        min_rating: rows rated lower, and rows without a rating, are dropped; None keeps all.
        columns: column names of files without a known header.
        how: another split of the rows of all files; by default the published one.
        k: smallest number of interactions of a user or item, where the rows are split anew.

    Raises:
        RobustrecError: as `read_ratings`.
    """
    parts = [(label, path) for label, given in files.items() for path in _listed(given)]
    paths = [path for _, path in parts]
    names = _shown([path.name for path in paths])
    return _converted(paths, how or SplitOptions(), k, min_rating, columns, [label for label, _ in parts], names)


def read_split_anew(
    path: Path, given: Interactions, how: SplitOptions, *, min_rating: float | None = None
) -> tuple[Interactions, list[FilterCount], None, None, SplitRecord]:
    """Split the rows of a file in the MMRec layout anew; users and items keep their numbers, and there is no k-core.

    Args:
        path: the file, with a time column if the split needs one.
        given: its interactions with the split that it has, for the numbers of users and items.
        how: the split.
        min_rating: as in `read_ratings`.

    Returns:
        The interactions, counts of dropped rows, and the split.

    Raises:
        RobustrecError: as `read_ratings`.
    """
    found = read_ratings(path, k=1, min_rating=min_rating, how=how)
    users, items = (np.array(ids, dtype=np.int64) for ids in (found.user_ids, found.item_ids))
    anew = replace(
        found.interactions,
        users=users[found.interactions.users],
        items=items[found.interactions.items],
        n_users=given.n_users,
        n_items=given.n_items,
    )
    return anew, found.filters, None, None, found.split


def _listed(path: Path | Sequence[Path]) -> list[Path]:
    return [path] if isinstance(path, Path) else list(path)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)} files)" if len(names) > 5 else "")


def _converted(
    paths: Sequence[Path],
    how: SplitOptions,
    k: int,
    min_rating: float | None,
    columns: Sequence[str] | None,
    labels: Sequence[int] | None,
    source: str,
    form: str | None = None,
) -> Ratings:
    if k < 1 or (min_rating is not None and not math.isfinite(min_rating)):
        raise RobustrecError(
            f"invalid filter: k {k}, min_rating {min_rating}",
            where="options --k, --min-rating",
            fix="--k must be 1 or more, and --min-rating must be finite",
        )
    how.check()
    # What combines the ratings of a pair needs all of them; else rows rated lower are dropped as they are read.
    lowest = min_rating if how.keep == "first" else None
    rated = min_rating is not None or how.keep in ("max", "sum")
    rows = _read(paths, columns, lowest, labels, rated=rated, form=form)
    for label, path in zip(labels or (), paths, strict=False):
        if not (rows.labels == label).any():
            raise RobustrecError(
                "no rows with a user and an item are left",
                where=str(path),
                fix="export the file again, or move it to another folder if there is no such split",
            )
    found = split_rows(rows, how, k=k, min_rating=min_rating, where=_shown([*map(str, paths)]), source=source)
    return found._replace(lines=rows.lines)


def _read(
    paths: Sequence[Path],
    columns: Sequence[str] | None,
    min_rating: float | None,
    labels_of_files: Sequence[int] | None = None,
    *,
    rated: bool = False,
    form: str | None = None,
) -> Rows:
    users, items, times, ratings, labels = array("q"), array("q"), array("d"), array("d"), array("b")
    codes: dict[str, dict[str, int]] = {"user": {}, "item": {}}
    clock, timed = _Clock(), True
    notes: dict[str, int] = {}
    lines_read: list[int] = []
    counts = dict.fromkeys(("header", "id", "time", "rating", "low"), 0)
    for number, path in enumerate(paths):
        table = locate_columns(path, columns, need_rating=rated, form=form)
        counts["header"] += table.skipped_header
        user_at, item_at, rating_at, time_at = (table.places.get(kind, -1) for kind in KINDS)
        timed &= time_at >= 0
        split_at = table.places.get("split") if labels_of_files is None else None
        label = -1 if labels_of_files is None else labels_of_files[number]
        repeated = RepeatedHeader(table.header)
        first: tuple[int, int] | None = None
        notes.update(_noted(table))
        where, read, numbers = table.where, 0, time_at >= 0 or (rated and rating_at >= 0)
        for line, row in table.rows:
            if repeated(row, where, line):
                counts["header"] += 1
                continue
            read += 1
            _check_width(row, table.width, where, line)
            user = _code(row[user_at], codes["user"], where, line)
            item = _code(row[item_at], codes["item"], where, line)
            first = first or (user, item)
            if user < 0 or item < 0:
                counts["id"] += 1
                continue
            rating = 0.0
            if rated and rating_at >= 0:
                rating = _number(row[rating_at], where, line)
                if not math.isfinite(rating):
                    counts["rating"] += 1
                    continue
                if min_rating is not None and rating < min_rating:
                    counts["low"] += 1
                    continue
            time = 0.0 if time_at < 0 else clock(row[time_at].strip(), where, line)
            if math.isnan(time):
                counts["time"] += 1
                continue
            users.append(user)
            items.append(item)
            times.append(time)
            ratings.append(rating)
            labels.append(label if split_at is None else _split_of(row[split_at], where, line))
        lines_read.append(read)
        # A header has no number where ratings or times stand.
        if table.header is None and first is not None and not numbers and _may_be_header(first, users, items, codes):
            notes["first lines that may be a header: their user and item occur in no other line"] = 1
    user_rank, user_ids = _canonical(codes["user"])
    item_rank, item_ids = _canonical(codes["item"])
    return Rows(
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
        np.array(ratings, dtype=np.float64) if rated else None,
        timed,
        clock.no_time,
        tuple(lines_read),
    )


def _code(field: str, codes: dict[str, int], where: Place, line: int) -> int:
    """Return a number for an id, -1 for a missing one."""
    name = field.strip()
    code = codes.get(name)
    if code is not None:
        return code
    if is_missing(name):
        return -1
    if "\0" in name:
        raise RobustrecError(
            f"an id contains a NUL byte: {name[:60]!r}",
            where=where(line),
            fix="export the file again; it may be damaged",
        )
    if not name.isascii():
        _check_encodable(name, where(line))
    if len(name) > MAX_ID:
        raise RobustrecError(
            f"an id has {len(name)} characters, but at most {MAX_ID} are allowed: {name[:60]!r}...",
            where=where(line),
            fix="export the file again; it may be damaged, or the column is not that of ids",
        )
    return codes.setdefault(name, len(codes))


def _check_encodable(name: str, where: str) -> None:
    """Refuse an id with half of a surrogate pair, which JSON can spell and UTF-8 cannot."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RobustrecError(
            f"an id has half of a surrogate pair: {name[:60]!r}",
            where=where,
            fix="export the file again as UTF-8; it may be damaged",
        ) from error


def _noted(table: Located) -> dict[str, int]:
    """Return the counts of what is ignored or doubtful in a file, by reason."""
    notes = {}
    if names := table.unread:
        shown = ", ".join(name.strip()[:40] for name in names[:8]) + (", ..." if len(names) > 8 else "")
        notes[f"columns that are ignored: {shown}"] = len(names)
    if table.cut_off:
        notes["lists without a line break at their end; their last item may be cut off"] = 1
    return notes


def _check_width(row: list[str], width: int, where: Place, line: int) -> None:
    if len(row) != width:
        raise RobustrecError(
            f"{len(row)} field{'s' if len(row) != 1 else ''}, but expected {width}",
            where=where(line),
            fix="export the file again, it may be truncated; or delete this line",
        )


def _split_of(text: str, where: Place, line: int) -> int:
    label = SPLITS.get(text.strip().lower())
    if label is None:
        raise RobustrecError(
            f"unknown split {text[:60]!r}",
            where=where(line),
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


def _number(text: str, where: Place, line: int) -> float:
    """Return a rating, NaN for a missing one."""
    if is_missing(text):
        return math.nan
    rating = number_of(text)
    if rating is None:
        raise RobustrecError(
            f"rating {text[:60]!r} is not a number",
            where=f"{where(line)}, column rating",
            fix="correct this field, or omit --min-rating",
        )
    return rating
