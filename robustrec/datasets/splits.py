"""k-core filter and per-user random split."""

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
    user_ids = np.unique(users, return_inverse=True)[1]
    canonical = np.lexsort((items, user_ids))
    noise = np.empty(rows)
    noise[canonical] = np.random.default_rng(seed).random(rows)
    order = np.lexsort((noise, user_ids))
    counts = np.bincount(user_ids)
    starts = np.cumsum(counts) - counts
    position = np.arange(rows) - starts[user_ids[order]]

    held = np.where(counts >= 10, counts // 5, np.where(counts >= 3, 2, 0))
    validation = held // 2
    begin = counts - held
    n_begin = begin[user_ids[order]]
    n_test_begin = (begin + validation)[user_ids[order]]
    labels = np.empty(rows, dtype=np.int8)
    labels[order] = np.where(position < n_begin, TRAIN, np.where(position < n_test_begin, VALIDATION, TEST))
    return labels
