"""k-core filter, and the splits: random per user, leave-one-out and leave-last-two by time, and by one cut in time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION


def k_core(users: NDArray[Any], items: NDArray[Any], k: int = 5) -> NDArray[np.bool_]:
    """Return a mask of the k-core: users and items with fewer than k rows are removed repeatedly.

    Each round counts users and items simultaneously; the result is the unique maximal k-core.

    Args:
        users: [E] user of each row.
        items: [E] item of each row.
        k: minimum number of rows of a user or item.
    """
    rows = len(users)
    keep = np.ones(rows, dtype=np.bool_)
    if not rows:
        return keep
    user_ids = np.unique(users, return_inverse=True)[1]
    item_ids = np.unique(items, return_inverse=True)[1]
    while True:
        kept_users, kept_items = user_ids[keep], item_ids[keep]
        lasting = np.zeros(rows, dtype=np.bool_)
        lasting[keep] = (np.bincount(kept_users)[kept_users] >= k) & (np.bincount(kept_items)[kept_items] >= k)
        if lasting.sum() == keep.sum():
            return lasting
        keep = lasting


def split_per_user(users: NDArray[Any], items: NDArray[Any], *, seed: int) -> NDArray[np.int8]:
    """Return a split label for each row: about 8:1:1 within each user, random with a seed.

    A user with n rows in random order: n < 10 gives the last two to validation and test, one each; n >= 10
    gives h = floor(0.2 n) away, floor(h / 2) to validation and the rest to test. Users with one or two
    rows, whom a 5-core does not have, train only. It depends on the set of pairs
    and the seed, not on the order of rows.

    Args:
        users: [E] user of each row.
        items: [E] item of each row.
        seed: seed of the shuffle.
    """
    rows = len(users)
    if not rows:
        return np.zeros(0, dtype=np.int8)
    user_ids, noise = _drawn(users, items, seed)
    order = np.lexsort((noise, user_ids))
    counts = np.bincount(user_ids)
    position = _positions(user_ids[order], counts)

    held = np.where(counts >= 10, counts // 5, np.where(counts >= 3, 2, 0))
    validation = held // 2
    begin = counts - held
    n_begin = begin[user_ids[order]]
    n_test_begin = (begin + validation)[user_ids[order]]
    labels = np.empty(rows, dtype=np.int8)
    labels[order] = np.where(position < n_begin, TRAIN, np.where(position < n_test_begin, VALIDATION, TEST))
    return labels


def split_last(
    users: NDArray[Any], items: NDArray[Any], times: NDArray[np.float64], *, seed: int, last_two: bool
) -> NDArray[np.int8]:
    """Return a split label for each row: the last row of each user is for test.

    Validation is the row before the last (leave-last-two: Kang and McAuley 2018, "Self-Attentive Sequential
    Recommendation", section IV.A), or one of the rows before the last, drawn at random (leave-one-out: He et al.
    2017, "Neural Collaborative Filtering", section 4.1). Rows at the same time are ordered at random with the seed.
    Users with one or two rows train only. It depends on the set of rows and the seed, not on the order of rows.

    Args:
        users: [E] user of each row.
        items: [E] item of each row; pairs are distinct.
        times: [E] time of each row, finite.
        seed: seed of ties and of drawn validation rows.
        last_two: leave-last-two, else leave-one-out.
    """
    rows = len(users)
    labels = np.full(rows, TRAIN, dtype=np.int8)
    if not rows:
        return labels
    user_ids, noise = _drawn(users, items, seed)
    counts = np.bincount(user_ids)
    order = np.lexsort((noise, times, user_ids))
    of_row = user_ids[order]
    from_end = counts[of_row] - 1 - _positions(of_row, counts)
    enough = counts[of_row] >= 3
    labels[order[enough & (from_end == 0)]] = TEST
    if last_two:
        labels[order[enough & (from_end == 1)]] = VALIDATION
        return labels
    # Among the others, the one of the largest noise.
    others = order[enough & (from_end > 0)]
    others = others[np.lexsort((noise[others], user_ids[others]))]
    final = np.append(user_ids[others][1:] != user_ids[others][:-1], True)[: len(others)]
    labels[others[final]] = VALIDATION
    return labels


def tied_users(users: NDArray[Any], times: NDArray[np.float64], *, held: int) -> int:
    """Return how many users have rows at the same time on both sides of a boundary among their last rows.

    Args:
        users: [E] user of each row.
        times: [E] time of each row.
        held: number of last rows of a user that are told apart; users with fewer than three rows have none.
    """
    user_ids = np.unique(users, return_inverse=True)[1]
    counts = np.bincount(user_ids)
    order = np.lexsort((times, user_ids))
    of_row, sorted_times = user_ids[order], times[order]
    from_end = counts[of_row] - 1 - _positions(of_row, counts)
    equal = np.zeros(len(order), dtype=np.bool_)
    equal[1:] = (of_row[1:] == of_row[:-1]) & (sorted_times[1:] == sorted_times[:-1])
    return len(np.unique(of_row[equal & (from_end < held) & (counts[of_row] >= 3)]))


def early_test(users: NDArray[Any], times: NDArray[np.float64], labels: NDArray[np.int8]) -> int:
    """Return how many test rows are earlier than a training row of the same user.

    Args:
        users: [E] user of each row.
        times: [E] time of each row, finite.
        labels: [E] split of each row.
    """
    user_ids = np.unique(users, return_inverse=True)[1]
    latest = np.full(int(user_ids.max()) + 1 if len(user_ids) else 0, -np.inf)
    train, test = labels == TRAIN, labels == TEST
    np.maximum.at(latest, user_ids[train], times[train])
    return int((times[test] < latest[user_ids[test]]).sum())


def _drawn(users: NDArray[Any], items: NDArray[Any], seed: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the users as 0 to n - 1, and a random number of each row that depends on its pair, not on its place."""
    user_ids = np.unique(users, return_inverse=True)[1]
    noise = np.empty(len(users))
    noise[np.lexsort((items, user_ids))] = np.random.default_rng(seed).random(len(users))
    return user_ids, noise


def _positions(sorted_ids: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the place of each row within its user, from 0; rows are sorted by user."""
    starts = np.cumsum(counts) - counts
    return np.arange(len(sorted_ids)) - starts[sorted_ids]
