"""Full ranking: the exact top list of every user, ties by lower item id, on any device."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from robustrec.evaluation.places import places_of
from robustrec.evaluation.scoring import block_of, check_ranked, device_of, masked_scores
from robustrec.evaluation.top import top_items
from robustrec.evaluation.user_items import UserItems, user_items
from robustrec.models.contract import Representation, Scored

EMPTY = -1  # a place of a list for which its user has no item left


class Ranking(NamedTuple):
    """Top lists, best first, ties by lower item id.

    Attributes:
        users: [n] user ids.
        items: [n, K] their items. A user with fewer than K items left has a shorter list; `EMPTY` fills the rest.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int32]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of items in each list, [n]."""
        return np.asarray((self.items != EMPTY).sum(axis=1), dtype=np.int64)

    def counts(self, k: int, n_items: int) -> NDArray[np.int64]:
        """Return how many of the lists hold each item in their first k places, [I]."""
        shown = self.items[:, :k]
        return np.bincount(shown[shown != EMPTY], minlength=n_items)

    def share(self, marked: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
        """Return the share of each list's first k places that marked items hold, [n]; 0 for an empty list.

        Args:
            marked: [I].
            k: places looked at; a shorter list has as many as it holds.
        """
        shown = self.items[:, :k]
        there = shown != EMPTY
        held = (marked[shown] & there).sum(axis=1)
        return np.asarray(held / np.maximum(there.sum(axis=1), 1), dtype=np.float64)


def rank(
    rep: Representation | Scored,
    users: NDArray[np.int64],
    masked: csr_array | UserItems,
    *,
    k: int = 50,
    chunk: int | None = None,
) -> Ranking:
    """Rank all items for each user by score and keep the best k, without masked pairs.

    A user with fewer than k items left gets all of them, and `EMPTY` in the other places. Equal scores are
    ordered by lower item id, at the end of the list too, so a list does not depend on how the device orders
    equals, nor on the chunk. Scores are float32 products on `rep`'s device, or what a function returns, in float64
    where float32 would round it. How products are rounded is that device's affair, so compare rankings made on one
    device with one chunk. On CUDA keep TF32 off (`torch.backends.cuda.matmul.allow_tf32 = False`), or scores carry
    10 bits of mantissa only.

    Args:
        rep: users [U, d] and items [I, d], or scores by a function.
        users: the n user ids to rank for, in the order wanted.
        masked: pairs never recommended: [U, I], of which every stored value other than 0 counts, or the items of
            these users, which are on the device already if they were ranked before.
        k: length of the lists, K.
        chunk: users scored at once; by default as many as a fixed memory budget holds.

    Raises:
        RobustrecError: no users, k below 1, ids or shapes that do not fit, or scores that are not finite (a NaN
            is never ranked).
    """
    mask = user_items(users, masked)
    check_ranked(rep, mask, k)
    return _lists(rep, mask, k, chunk, None)


def rank_pairs(
    rep: Representation | Scored,
    users: NDArray[np.int64],
    masked: csr_array | UserItems,
    pairs: Pairs,
    *,
    k: int = 50,
    chunk: int | None = None,
) -> tuple[Ranking, NDArray[np.int64]]:
    """Rank as `rank` does, and return beside the lists the exact place of given items among all.

    The place of an item in a user's full list is 1 plus the items with a higher score, plus those of equal score and
    lower id; masked items stand behind all others. Scores are held for a few users at a time only.

    Args:
        rep: as for `rank`, like users, masked, k and chunk.
        users: the n user ids.
        masked: pairs never recommended.
        pairs: whose places are wanted.
        k: length of the lists.
        chunk: users scored at once.

    Returns:
        The lists, and int64 [P] places from 1, in the order of the pairs.
    """
    mask = user_items(users, masked)
    check_ranked(rep, mask, k)
    wanted = _Wanted(pairs, len(mask.users), rep)
    ranking = _lists(rep, mask, k, chunk, wanted)
    return ranking, wanted.in_order()


class Pairs(NamedTuple):
    """Items whose places are wanted: `rows` [P] are positions in the users ranked, `items` [P] item ids."""

    rows: NDArray[np.int64]
    items: NDArray[np.int64]


class _Wanted:
    """Pairs by row on the device of the scores, and their places as far as they are known."""

    def __init__(self, pairs: Pairs, n_users: int, rep: Representation | Scored) -> None:
        device = device_of(rep)
        self.order = np.argsort(pairs.rows, kind="stable")
        self.starts = np.searchsorted(pairs.rows[self.order], np.arange(n_users + 1))
        self.rows, self.items = (torch.from_numpy(each[self.order]).to(device) for each in pairs)
        self.places = torch.zeros(len(self.order), dtype=torch.int64, device=device)

    def fill(self, start: int, scores: Tensor) -> None:
        """Find the places of the pairs of the rows from `start` on."""
        first, last = int(self.starts[start]), int(self.starts[start + len(scores)])
        # No more pairs at once than users, so that what is compared stays within the budget of the scores.
        for begin in range(first, last, len(scores)):
            chosen = slice(begin, min(begin + len(scores), last))
            self.places[chosen] = places_of(scores, self.rows[chosen] - start, self.items[chosen])

    def in_order(self) -> NDArray[np.int64]:
        """Return the places in the order of the pairs."""
        places = np.empty(len(self.order), dtype=np.int64)
        places[self.order] = self.places.cpu().numpy()
        return places


def _lists(rep: Representation | Scored, mask: UserItems, k: int, chunk: int | None, wanted: _Wanted | None) -> Ranking:
    n, n_items = len(mask.users), mask.shape[1]
    lists = torch.full((n, k), EMPTY, dtype=torch.int32, device=device_of(rep))
    with torch.inference_mode():
        for start, stop, scores in masked_scores(rep, mask, chunk):
            held = min(k, scores.shape[1])
            lists[start:stop, :held] = top_items(scores, held, block_of(n_items))
            if wanted is not None:
                wanted.fill(start, scores)
    items = lists.cpu().numpy()
    left = n_items - mask.counts
    if left.min() < k:  # what stands behind the last item that a user has left
        items[np.arange(k) >= left[:, None]] = EMPTY
    return Ranking(mask.users, items)
