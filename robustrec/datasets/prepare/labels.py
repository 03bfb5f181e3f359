"""A published split, taken by user and item, and the original ids of the users and items that it numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.conversion import Ratings
from robustrec.datasets.interactions import KEPT, FilterCount
from robustrec.datasets.item_numbers import MAPPINGS, read_numbers
from robustrec.datasets.prepare.isomorphism import match_by_structure
from robustrec.datasets.prepare.layouts import RawFiles
from robustrec.datasets.prepare.ratings import read_raw_pairs
from robustrec.datasets.ratings import read_ratings
from robustrec.datasets.split_record import SplitRecord
from robustrec.datasets.splits import k_core
from robustrec.errors import RobustrecError

Ints = NDArray[np.int64]
OUTSIDE = "rows that are not in the published split"


class Pairs(NamedTuple):
    """Distinct (user, item) pairs of the raw file, in the order of the file.

    Attributes:
        users: [E] codes, by first appearance.
        items: [E] codes, by first appearance.
        user_ids: original id by code.
        item_ids: original id by code.
        rows: number of rows, with repeated ones.
    """

    users: Ints
    items: Ints
    user_ids: list[str]
    item_ids: list[str]
    rows: int


def published_split(path: Path, files: RawFiles, *, k: int) -> Ratings:
    """Return the interactions and labels of a published split, with the original ids of users and items.

    The ids of the split are those of the raw file, or numbers. Numbers are resolved, in this order, by the mappings
    beside the file (u_id_mapping.csv, i_id_mapping.csv), as numbers in the order of first appearance in the k-core, as
    MMRec numbers, or by structure: the one numbering that makes the interactions of both files the same pairs.

    Args:
        path: the split, with columns of user, item and x_label (or split).
        files: the raw files.
        k: smallest number of interactions of a user or item, for numbers by first appearance.

    Raises:
        RobustrecError: the file is not such a split, or its pairs are not those of the raw file.
    """
    split = read_ratings(path)
    if split.split.kind != "published":
        raise RobustrecError(
            "the file has no column of labels",
            where=f"{path}, option --labels",
            fix="give a table with the columns userID, itemID and x_label (0 train, 1 validation, 2 test)",
        )
    pairs = read_pairs(files)
    names = _mapped(path, split) or (split.user_ids, split.item_ids)
    users, items = _codes(names[0], pairs.user_ids), _codes(names[1], pairs.item_ids)
    notes: list[FilterCount] = []
    found = _same_pairs(split, users, items, pairs)
    if found < len(split.interactions.users) and names[0] is split.user_ids:
        users, items, notes = _by_numbers(path, split, pairs, k, found)
    elif found < len(split.interactions.users):
        raise _strange(path, split, users, items, found)
    outside = pairs.rows - len(split.interactions.users)
    user_ids, item_ids = pairs.user_ids, pairs.item_ids
    return Ratings(
        split.interactions,
        [*split.filters, *notes, *([FilterCount(OUTSIDE, outside)] if outside > 0 else [])],
        [user_ids[code] for code in users.tolist()],
        [item_ids[code] for code in items.tolist()],
        SplitRecord(kind="published", source=path.name),
        (pairs.rows,),
    )


def read_pairs(files: RawFiles) -> Pairs:
    """Return the distinct pairs of the raw file in the order of first appearance.

    Raises:
        RobustrecError: the file cannot be read.
    """
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    coded = (
        (users.setdefault(user, len(users)), items.setdefault(item, len(items))) for user, item in read_raw_pairs(files)
    )
    flat = np.fromiter((code for pair in coded for code in pair), np.int64).reshape(-1, 2)
    _, first = np.unique(flat[:, 0] * max(len(items), 1) + flat[:, 1], return_index=True)
    kept = flat[np.sort(first)]
    return Pairs(kept[:, 0], kept[:, 1], list(users), list(items), len(flat))


def _mapped(path: Path, split: Ratings) -> tuple[list[str], list[str]] | None:
    """Return the original ids by the mappings beside a split; None without them.

    Raises:
        RobustrecError: a mapping is malformed, or has no id for a number.
    """
    files = [path.parent / name for name in MAPPINGS]
    if not all(file.is_file() for file in files):
        return None
    named = []
    for file, column, numbers in zip(files, ("userID", "itemID"), (split.user_ids, split.item_ids), strict=True):
        by_number = {str(number): name for name, number in read_numbers(file, column).items()}
        lacking = next((number for number in numbers if number not in by_number), None)
        if lacking is not None:
            raise RobustrecError(
                f"the mapping has no id for {column} {lacking!r} of {path.name}",
                where=str(file),
                fix="use the mappings and the split of one data set; or move the mappings to another folder",
            )
        named.append([by_number[number] for number in numbers])
    return named[0], named[1]


def _codes(names: Sequence[str], known: Sequence[str]) -> Ints:
    codes = {name: code for code, name in enumerate(known)}
    return np.array([codes.get(name, -1) for name in names], dtype=np.int64)


def _same_pairs(split: Ratings, users: Ints, items: Ints, pairs: Pairs) -> int:
    """Return how many pairs of the split are pairs of the raw file, by the code of each user and item (-1: none)."""
    of_user, of_item = users[split.interactions.users], items[split.interactions.items]
    known = (of_user >= 0) & (of_item >= 0)
    width = len(pairs.item_ids)
    return int(np.isin(of_user * width + of_item, pairs.users * width + pairs.items)[known].sum())


def _by_numbers(path: Path, split: Ratings, pairs: Pairs, k: int, by_name: int) -> tuple[Ints, Ints, list[FilterCount]]:
    """Return the code of each user and item of a split with numbers, and what there is to say about it.

    Raises:
        RobustrecError: no numbering makes the pairs of the split those of the k-core.
    """
    interactions = split.interactions
    core = k_core(pairs.users, pairs.items, k)
    users, items = pairs.users[core], pairs.items[core]
    sizes = [(interactions.n_users, interactions.n_items, len(interactions.users))]
    sizes.append((len(np.unique(users)), len(np.unique(items)), len(users)))
    if sizes[0] == sizes[1]:
        by_user, by_item = _appearance(users), _appearance(items)
        if _same_pairs(split, by_user, by_item, pairs) == len(users):
            return by_user, by_item, []
        user_rank, by_rank = _ranks(pairs.user_ids)
        item_rank, item_by_rank = _ranks(pairs.item_ids)
        matched = match_by_structure(user_rank[users], item_rank[items], interactions.users, interactions.items)
        if matched is not None:
            notes = {
                f"users of the published split that the interactions do not tell apart, matched in order{KEPT}": (
                    matched.like_users
                ),
                f"items of the published split that the interactions do not tell apart, matched in order{KEPT}": (
                    matched.like_items
                ),
            }
            left = [FilterCount(reason, n) for reason, n in notes.items() if n]
            return by_rank[matched.users], item_by_rank[matched.items], left
    shown = [f"{u:,} users, {i:,} items and {e:,} interactions" for u, i, e in sizes]
    raise RobustrecError(
        f"the split has {shown[0]}, but the {k}-core of the interactions has {shown[1]}"
        if sizes[0] != sizes[1]
        else f"the split and the {k}-core have {shown[0]}, but not the same pairs of users and items, in any numbering "
        f"({by_name:,} pairs have the ids of both files)",
        where=f"{path}, option --labels",
        fix="use the split and the interactions of one release and category; or put u_id_mapping.csv and "
        "i_id_mapping.csv of the split beside it",
    )


def _ranks(names: Sequence[str]) -> tuple[Ints, Ints]:
    """Return the place of each code in the order of its id, and the code at each place."""
    by_rank = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
    return np.argsort(by_rank), by_rank


def _appearance(codes: Ints) -> Ints:
    """Return the distinct codes in the order of first appearance."""
    values, first = np.unique(codes, return_index=True)
    return values[np.argsort(first)]


def _strange(path: Path, split: Ratings, users: Ints, items: Ints, found: int) -> RobustrecError:
    total = len(split.interactions.users)
    return RobustrecError(
        f"{total - found:,} of the {total:,} pairs of the split are not in the interactions "
        f"({int((users < 0).sum()):,} of its users and {int((items < 0).sum()):,} of its items are unknown)",
        where=f"{path}, option --labels",
        fix="use the split, its mappings and the interactions of one release and category",
    )
