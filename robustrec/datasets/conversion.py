"""Conversion of rows of users and items to interactions: repeated pairs, k-core, numbering and split.

Nothing depends on the order of the rows: two exports of the same interactions give the same data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.interactions import (
    KEPT,
    LABEL_NAMES,
    TEST,
    TRAIN,
    VALIDATION,
    FilterCount,
    Interactions,
    clean_rows,
)
from robustrec.datasets.split_record import BY_TIME, KEEPS, SPLIT_KINDS, Keep, SplitKind, SplitRecord
from robustrec.datasets.splits import early_test, k_core, split_last, split_per_user, tied_users
from robustrec.datasets.times import given_time, per_second, quantile_cut, time_words
from robustrec.errors import RobustrecError, unknown_name

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class SplitOptions:
    """How rows are split.

    Attributes:
        kind: the split; None: the published one where the files give one, else random.
        keep: which row of a repeated pair counts. first and last choose by time; max and sum combine the ratings, which
            --min-rating then limits. With first, rows rated lower are dropped before, so that any row can count.
        seed: seed of what is drawn.
        valid_from: time from which rows are for validation.
        test_from: time from which rows are for test.
        valid_share: share of the rows for validation, where no time is given.
        test_share: share of the rows for test, likewise.
    """

    kind: SplitKind | None = None
    keep: Keep = "first"
    seed: int = 0
    valid_from: str | None = None
    test_from: str | None = None
    valid_share: float = 0.1
    test_share: float = 0.1

    def check(self) -> None:
        """Check the options, before any file is read.

        Raises:
            RobustrecError: an unknown name, a share out of range, or an option of another split.
        """
        if self.kind is not None and self.kind not in SPLIT_KINDS:
            raise unknown_name("split", self.kind, SPLIT_KINDS, where="option --split")
        if self.keep not in KEEPS:
            raise unknown_name("choice", self.keep, KEEPS, where="option --keep")
        standard = SplitOptions()
        for name in ("valid_from", "test_from", "valid_share", "test_share"):
            if self.kind != "time" and getattr(self, name) != getattr(standard, name):
                option = name.replace("_", "-")
                raise RobustrecError(
                    f"--{option} is of a split by time, but the split is {self.kind or 'not given'}",
                    where=f"option --{option}",
                    fix=f"add --split time, or omit --{option}",
                )
        shares = (self.valid_share, self.test_share)
        if not all(0 < share < 1 for share in shares) or sum(shares) >= 1:
            raise RobustrecError(
                f"shares of {self.valid_share:g} (validation) and {self.test_share:g} (test) leave no training rows",
                where="options --valid-share, --test-share",
                fix="give two shares above 0 that are less than 1 together, for example: --valid-share 0.1",
            )
        if (self.valid_from is None) != (self.test_from is None):
            missing = "--valid-from" if self.valid_from is None else "--test-from"
            raise RobustrecError(
                f"a split by dates needs both --valid-from and --test-from, but {missing} is missing",
                where="option --split time",
                fix=f"add {missing} DATE, or omit both to cut by shares",
            )


class Rows(NamedTuple):
    """Rows of one or several files; ids are positions in lists sorted by `id_order`.

    Attributes:
        users: [n].
        items: [n].
        times: [n], zeros without a time column; texts that are no times are numbered.
        labels: [n] split of each row, -1 if the files do not give it.
        user_ids: the original ids.
        item_ids: the original ids.
        left_out: counts of rows that were dropped, with the reasons.
        ratings: [n], or None if they were not read.
        timed: whether there is a time column.
        no_time: the first text that is no time, with its place; None if there is none.
        lines: number of rows that were read of each file.
    """

    users: Ints
    items: Ints
    times: Floats
    labels: NDArray[np.int8]
    user_ids: list[str]
    item_ids: list[str]
    left_out: dict[str, int]
    ratings: Floats | None = None
    timed: bool = False
    no_time: tuple[str, str] | None = None
    lines: tuple[int, ...] = ()


class Ratings(NamedTuple):
    """Interactions of ratings files, counts of dropped rows, the original ids by new id, the split, and the rows read.

    `lines` has the number of rows that were read of each file.
    """

    interactions: Interactions
    filters: list[FilterCount]
    user_ids: list[str]
    item_ids: list[str]
    split: SplitRecord
    lines: tuple[int, ...] = ()


class _Pairs(NamedTuple):
    """Distinct pairs, sorted by user and item."""

    users: Ints
    items: Ints
    times: Floats

    def only(self, chosen: Bools) -> _Pairs:
        """Return some of the pairs."""
        return _Pairs(self.users[chosen], self.items[chosen], self.times[chosen])


def split_rows(
    rows: Rows, how: SplitOptions, *, k: int, min_rating: float | None, where: str, source: str = "a column"
) -> Ratings:
    """Convert rows to interactions, with the split that the options name.

    Args:
        rows: the rows.
        how: the split.
        k: smallest number of interactions of a user or item; not for published splits.
        min_rating: pairs rated lower are dropped, where `how.keep` combines the ratings.
        where: the file, for messages.
        source: where published labels are from.

    Raises:
        RobustrecError: the split needs times or labels that the rows do not have, a part of it is empty, or no rows are
            left.
    """
    kind = how.kind or ("published" if (rows.labels >= 0).any() else "random")
    if kind == "published":
        return _published(rows, where, source)
    rows, dropped = _with_times(rows, kind, how, where)
    units = per_second(rows.times) if kind in BY_TIME else _units_or_none(rows)
    filters = [FilterCount(reason, count) for reason, count in (rows.left_out | dropped).items()]
    pairs, repeats = _kept_pairs(rows, how, min_rating)
    filters += repeats
    core = k_core(pairs.users, pairs.items, k)
    filters.append(FilterCount(f"rows outside the {k}-core", int((~core).sum())))
    kept = pairs.only(core)
    if not len(kept.users):
        raise RobustrecError(
            f"no interactions left after the {k}-core filter (of {len(core)} before)",
            where=where,
            fix=_smaller_core(pairs.users, pairs.items, k),
        )
    labels, record = _labelled(kept, kind, how, units, where)
    known = rows.timed and rows.no_time is None
    if known:
        first, last = (time_words(float(end), units) for end in (kept.times.min(), kept.times.max()))
        record = record.model_copy(
            update={"first": first, "last": last, "early_test": early_test(kept.users, kept.times, labels)}
        )
    filters += _ties(kept, kind)
    ratings = _numbered(rows, kept.users, kept.items, labels, record, where)
    return ratings._replace(filters=[row for row in [*filters, *ratings.filters] if row.rows])


def _published(rows: Rows, where: str, source: str) -> Ratings:
    """Return the rows with the labels they have; no k-core filter is applied.

    Raises:
        RobustrecError: they have none.
    """
    if not (rows.labels >= 0).any():
        raise RobustrecError(
            "the files give no split",
            where=f"{where}, option --split published",
            fix="add a column split (train, valid or test), or split the rows: --split random",
        )
    left_out = [FilterCount(reason, count) for reason, count in rows.left_out.items() if count]
    record = SplitRecord(kind="published", source=source)
    if rows.timed and rows.no_time is None and len(rows.times):
        units = _units_or_none(rows)
        first, last = (time_words(float(end), units) for end in (rows.times.min(), rows.times.max()))
        early = early_test(rows.users, rows.times, rows.labels)
        record = record.model_copy(update={"first": first, "last": last, "early_test": early})
    found = _numbered(rows, rows.users, rows.items, rows.labels, record, where)
    return found._replace(filters=left_out + found.filters)


def _numbered(
    rows: Rows, users: Ints, items: Ints, labels: NDArray[np.int8], record: SplitRecord, where: str
) -> Ratings:
    """Number the users and items that are left, and drop held-out rows of users without training rows."""
    known_users, users = np.unique(users, return_inverse=True)
    known_items, items = np.unique(items, return_inverse=True)
    kept = clean_rows(users, items, labels, len(known_users), len(known_items), where=where)
    return Ratings(
        kept.interactions,
        kept.filters,
        [rows.user_ids[code] for code in known_users.tolist()],
        [rows.item_ids[code] for code in known_items.tolist()],
        record,
    )


def _with_times(rows: Rows, kind: SplitKind, how: SplitOptions, where: str) -> tuple[Rows, dict[str, int]]:
    """Return the rows with times that can be ordered, where the options need them, and counts of dropped rows.

    Raises:
        RobustrecError: they are needed, and there is no time column, or a time is neither a number nor a date.
    """
    needed = f"--split {kind}" if kind in BY_TIME else f"--keep {how.keep}" if how.keep == "last" else ""
    if not needed:
        return rows, {}
    if not rows.timed:
        raise RobustrecError(
            f"{needed} needs the time of every interaction, but there is no time column",
            where=where,
            fix="name the columns in order, for example --columns user,item,rating,timestamp; or use: --split random",
        )
    if rows.no_time is not None:
        text, place = rows.no_time
        raise RobustrecError(
            f"{needed} needs times, but timestamp {text[:60]!r} is not a number or an ISO date",
            where=place,
            fix="write times in seconds since 1970, or as 2018-03-31 or 2018-03-31T12:00:00",
        )
    there = np.isfinite(rows.times)
    if per_second(rows.times[there]) is not None:
        there &= rows.times > 0  # 0 and -1 stand for a missing time
    if there.all():
        return rows, {}
    chosen = rows._replace(
        users=rows.users[there],
        items=rows.items[there],
        times=rows.times[there],
        labels=rows.labels[there],
        ratings=None if rows.ratings is None else rows.ratings[there],
    )
    return chosen, {"rows with a time of 0 or less, or infinite": int((~there).sum())}


def _units_or_none(rows: Rows) -> float | None:
    """Return the unit of the times where nothing depends on them; None if it is unknown."""
    try:
        return per_second(rows.times[np.isfinite(rows.times)])
    except RobustrecError:
        return None


def _kept_pairs(rows: Rows, how: SplitOptions, min_rating: float | None) -> tuple[_Pairs, list[FilterCount]]:
    """Return one row for each pair, and counts of the others."""
    ratings = np.zeros(len(rows.users)) if rows.ratings is None else rows.ratings
    sign = -1.0 if how.keep in ("last", "sum") else 1.0
    keys: tuple[Floats, ...] = (-ratings, rows.times) if how.keep == "max" else (sign * rows.times, -ratings)
    order = np.lexsort((*keys[::-1], rows.items, rows.users))
    users, items, times, rated = rows.users[order], rows.items[order], rows.times[order], ratings[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    exact = _first_of(rows.users, rows.items, rows.times)
    n_repeated, n_pairs = int((~exact).sum()), int(first.sum())
    pairs = _Pairs(users[first], items[first], times[first])
    if how.keep == "sum":
        counts = [FilterCount("rows added to another row of the same user and item", len(order) - n_pairs)]
        rated = np.add.reduceat(rated, np.flatnonzero(first)) if len(order) else rated
    else:
        others = {
            "first": "later rows of the same user and item",
            "last": "earlier rows of the same user and item",
            "max": "rows of the same user and item that are not rated higher",
        }[how.keep]
        counts = [
            FilterCount("repeated rows (same user, item and time)", n_repeated),
            FilterCount(others, len(order) - n_repeated - n_pairs),
        ]
        rated = rated[first]
    if how.keep == "first" or min_rating is None:
        return pairs, counts
    enough = rated >= min_rating
    what = "last rated" if how.keep == "last" else "rated" if how.keep == "max" else "rated in sum"
    counts.append(FilterCount(f"pairs {what} below {min_rating:g}", int((~enough).sum())))
    return pairs.only(enough), counts


def _labelled(
    pairs: _Pairs, kind: SplitKind, how: SplitOptions, units: float | None, where: str
) -> tuple[NDArray[np.int8], SplitRecord]:
    """Return the split of each pair, and its record.

    Raises:
        RobustrecError: a part of the split is empty.
    """
    users, items, times = pairs
    if kind == "random":
        labels = split_per_user(users, items, seed=how.seed)
        return labels, SplitRecord(kind=kind, seed=how.seed, keep=how.keep)
    if kind != "time":
        labels = split_last(users, items, times, seed=how.seed, last_two=kind == "leave-last-two")
        return labels, SplitRecord(kind=kind, seed=how.seed, keep=how.keep)
    shares: dict[str, float] = {}
    if how.valid_from is not None and how.test_from is not None:
        valid_from = given_time(how.valid_from, units, "--valid-from", times)
        test_from = given_time(how.test_from, units, "--test-from", times)
    else:
        test_from = quantile_cut(times, how.test_share)
        valid_from = quantile_cut(times, how.test_share + how.valid_share)
        shares = {"valid_share": how.valid_share, "test_share": how.test_share}
    labels = np.where(times >= test_from, TEST, np.where(times >= valid_from, VALIDATION, TRAIN)).astype(np.int8)
    record = SplitRecord(
        kind=kind,
        keep=how.keep,
        valid_from=time_words(valid_from, units),
        test_from=time_words(test_from, units),
        **shares,
    )
    _check_parts(pairs, labels, record, units, where)
    return labels, record


def _check_parts(pairs: _Pairs, labels: NDArray[np.int8], record: SplitRecord, units: float | None, where: str) -> None:
    """Refuse a split by time without a part, or whose test users have no training rows.

    Raises:
        RobustrecError: such a split.
    """
    reach = " to ".join(time_words(float(end), units) for end in (pairs.times.min(), pairs.times.max()))
    cut = f"validation from {record.valid_from} and test from {record.test_from}"
    for label, name in enumerate(LABEL_NAMES):
        if not (labels == label).any():
            raise RobustrecError(
                f"no interaction is left for {name} with {cut}; the interactions are of {reach}",
                where=f"{where}, option --split time",
                fix="give two times within those of the data, in order, with --valid-from and --test-from",
            )
    trained = np.unique(pairs.users[labels == TRAIN])
    for label in (VALIDATION, TEST):
        if not np.isin(pairs.users[labels == label], trained).any():
            raise RobustrecError(
                f"no user with {LABEL_NAMES[label]} interactions has a training interaction with {cut}",
                where=f"{where}, option --split time",
                fix="move the cut, or hold out the last interactions of each user: --split leave-last-two",
            )


def _ties(pairs: _Pairs, kind: SplitKind) -> list[FilterCount]:
    held = {"leave-one-out": 1, "leave-last-two": 2}.get(kind)
    if held is None:
        return []
    reason = f"users with several last interactions at one time, told apart at random with the seed{KEPT}"
    return [FilterCount(reason, tied_users(pairs.users, pairs.times, held=held))]


def _smaller_core(users: Ints, items: Ints, k: int) -> str:
    smaller = next((each for each in range(k - 1, 0, -1) if k_core(users, items, each).any()), None)
    if smaller is None:
        return "check that the file has rows with a user and an item, and lower or omit --min-rating"
    return f"use a smaller core: --k {smaller}"


def _first_of(*keys: Ints | Floats) -> Bools:
    """Return a mask of the first row of each combination of keys."""
    first = np.zeros(len(keys[0]), dtype=np.bool_)
    if len(first):
        order = np.lexsort(keys[::-1])
        new = np.zeros(len(order), dtype=np.bool_)
        new[0] = True
        for key in keys:
            new[1:] |= key[order][1:] != key[order][:-1]
        first[order[new]] = True
    return first
