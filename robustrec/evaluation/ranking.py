"""Full ranking: the exact top list of every user, ties by lower item id, on any device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from robustrec.errors import RobustrecError
from robustrec.models.contract import Representation, Scored
from robustrec.models.dense import times_transposed

# Bytes of scores held at once: a processor is fastest while they stay near its caches.
CPU_SCORE_BYTES = 32 * 2**20
DEVICE_SCORE_BYTES = 256 * 2**20
# Items are searched in blocks of this many neighbours: what is compared is I/BLOCK maxima and then k·BLOCK scores, so
# that fewer items want smaller blocks; measured at 7,050 and at 23,033 items.
SMALL_BLOCK, BLOCK, FEW_ITEMS = 16, 32, 12_000
EMPTY = -1  # a place of a list for which its user has no item left
_LOW_HALF = 0xFFFFFFFF


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
    masked: csr_array,
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
        masked: pairs never recommended, [U, I]; every stored value other than 0 counts.
        k: length of the lists, K.
        chunk: users scored at once; by default as many as a fixed memory budget holds.

    Raises:
        RobustrecError: no users, k below 1, ids or shapes that do not fit, or scores that are not finite (a NaN
            is never ranked).
    """
    users = np.asarray(users, dtype=np.int64)
    masked = _checked_mask(rep, users, masked, k)
    lists = np.full((len(users), k), EMPTY, dtype=np.int32)
    with torch.inference_mode():
        for start, scores, n_items in _masked_scores(rep, users, masked, chunk):
            _fill(lists[start : start + len(scores)], scores, n_items)
    return _cut(users, lists, masked)


def rank_pairs(
    rep: Representation | Scored,
    users: NDArray[np.int64],
    masked: csr_array,
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
        masked: pairs never recommended, [U, I].
        pairs: whose places are wanted.
        k: length of the lists.
        chunk: users scored at once.

    Returns:
        The lists, and int64 [P] places from 1, in the order of the pairs.
    """
    users = np.asarray(users, dtype=np.int64)
    masked = _checked_mask(rep, users, masked, k)
    lists = np.full((len(users), k), EMPTY, dtype=np.int32)
    places = np.empty(len(pairs.items), dtype=np.int64)
    order = np.argsort(pairs.rows, kind="stable")
    sorted_rows = pairs.rows[order]
    with torch.inference_mode():
        for start, scores, n_items in _masked_scores(rep, users, masked, chunk):
            _fill(lists[start : start + len(scores)], scores, n_items)
            first, last = np.searchsorted(sorted_rows, [start, start + len(scores)])
            # No more pairs at once than users, so that what is compared stays within the budget of the scores.
            for begin in range(first, last, len(scores)):
                chosen = order[begin : min(begin + len(scores), last)]
                places[chosen] = _places(scores, pairs.rows[chosen] - start, pairs.items[chosen])
    return _cut(users, lists, masked), places


class Pairs(NamedTuple):
    """Items whose places are wanted: `rows` [P] are positions in the users ranked, `items` [P] item ids."""

    rows: NDArray[np.int64]
    items: NDArray[np.int64]


def _fill(lists: NDArray[np.int32], scores: torch.Tensor, n_items: int) -> None:
    """Write the best items of each row of scores into `lists` [n, K], as many as there are columns."""
    k = min(lists.shape[1], scores.shape[1])
    lists[:, :k] = top_items(scores, k, _block(n_items)).to(torch.int32).cpu().numpy()


def _cut(users: NDArray[np.int64], lists: NDArray[np.int32], masked: csr_array) -> Ranking:
    """Return the lists, without what stands behind the last item that a user has left."""
    left = masked.shape[1] - np.diff(masked.indptr)[users]
    if len(left) and left.min() < lists.shape[1]:
        lists[np.arange(lists.shape[1]) >= left[:, None]] = EMPTY
    return Ranking(users, lists)


def _places(scores: torch.Tensor, rows: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
    row, item = (torch.from_numpy(each).to(scores.device) for each in (rows, items))
    everyone = scores[row]
    own = everyone.gather(1, item[:, None])
    ids = torch.arange(scores.shape[1], device=scores.device)
    ahead = (everyone > own) | ((everyone == own) & (ids < item[:, None]))
    return np.asarray((ahead.sum(dim=1) + 1).cpu().numpy(), dtype=np.int64)


def _masked_scores(
    rep: Representation | Scored, users: NDArray[np.int64], masked: csr_array, chunk: int | None
) -> Iterator[tuple[int, torch.Tensor, int]]:
    """Yield (first position, scores [n, columns] with -inf where nothing may be recommended, number of items I)."""
    if chunk is not None and chunk < 1:
        raise RobustrecError(f"chunk is {chunk}", where="rank: chunk", fix="use 1 or more, or omit it")
    block = _scored_blocks(rep) if isinstance(rep, Scored) else _product_blocks(rep)
    n_items, device = block.n_items, block.device
    budget = CPU_SCORE_BYTES if device.type == "cpu" else DEVICE_SCORE_BYTES
    step = chunk or max(1, budget // (4 * n_items))
    broken = 0
    for start in range(0, len(users), step):
        ids = users[start : start + step]
        scores = block.scores(ids)
        if block.check:
            broken += int((~torch.isfinite(scores[:, :n_items]).all(dim=1)).sum())
            if broken:
                continue
        scores[:, n_items:] = -torch.inf
        row, column = _pairs_of_rows(masked, ids)
        scores[torch.from_numpy(row).to(device), torch.from_numpy(column).to(device)] = -torch.inf
        yield start, scores, n_items
    if broken:
        raise RobustrecError(
            f"the scores of {broken} of {len(users)} users are not finite",
            where=f"ranking: {block.source}",
            fix=block.fix,
        )


def top_items(scores: torch.Tensor, k: int, block: int = BLOCK) -> torch.Tensor:
    """Return the columns [n, k] of the k largest scores a row, by (score descending, id ascending), exactly.

    Columns are cut into blocks of neighbours. Of the k blocks with the largest maxima (ties by lower block),
    each holds an element ahead of everything in the other blocks, so the top k lie within them: what has to
    be sorted is k blocks instead of all columns. Both steps compare 64-bit keys in which the id breaks ties.

    Args:
        scores: float32 or float64 [n, columns], no NaN; columns a multiple of `block`.
        k: at most the number of columns.
        block: columns in a block.
    """
    if scores.dtype == torch.float64:  # its bits leave no room for the id; a stable sort keeps equals in order of id
        return torch.sort(scores, dim=1, descending=True, stable=True).indices[:, :k]
    rows, columns = scores.shape
    blocks = columns // block
    ids = torch.arange(columns, device=scores.device).expand(rows, columns)
    if blocks > 2 * k:
        cut = scores.view(rows, blocks, block)
        block_ids = torch.arange(blocks, device=scores.device).expand(rows, blocks)
        chosen = _first_by_key(cut.amax(dim=2), block_ids, k).unsqueeze(2)
        scores = cut.gather(1, chosen.expand(rows, k, block)).view(rows, k * block)
        ids = (chosen * block + torch.arange(block, device=scores.device)).view(rows, k * block)
    return _first_by_key(scores, ids, k)


def _first_by_key(values: torch.Tensor, ids: torch.Tensor, k: int) -> torch.Tensor:
    """Return the ids of the k largest values a row, best first, ties by lower id."""
    # Adding 0 makes -0 equal to 0. Reading the bits as an integer keeps the order of positive floats;
    # flipping the lower bits of negative ones restores theirs.
    bits = (values + 0.0).view(torch.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys = (ordered.to(torch.int64) << 32) | (_LOW_HALF - ids)
    return _LOW_HALF - (keys.topk(k, dim=1).values & _LOW_HALF)


class _Blocks(NamedTuple):
    """Where blocks of scores come from.

    Attributes:
        scores: user ids [n] -> float32 or float64 [n, columns], whole blocks of items; the columns added hold anything.
        n_items: I.
        device: where the scores are.
        check: whether a score may not be finite.
        source: whose scores they are, for errors.
        fix: what to do where they are not finite.
    """

    scores: Callable[[NDArray[np.int64]], torch.Tensor]
    n_items: int
    device: torch.device
    check: bool
    source: str
    fix: str


def _whole_blocks(n_items: int) -> int:
    return -(-n_items // _block(n_items)) * _block(n_items)


def _block(n_items: int) -> int:
    return SMALL_BLOCK if n_items < FEW_ITEMS else BLOCK


def _product_blocks(rep: Representation) -> _Blocks:
    device, (n_items, width) = rep.items.device, rep.items.shape
    padded = torch.zeros(_whole_blocks(n_items), width, device=device, dtype=torch.float32)
    padded[:n_items] = rep.items.detach()

    def scores(ids: NDArray[np.int64]) -> torch.Tensor:
        vectors = rep.users.detach()[torch.from_numpy(ids).to(device)].to(torch.float32)
        return times_transposed(vectors, padded)

    fix = "check the features (robustrec data describe) and train again with a lower learning rate"
    return _Blocks(scores, n_items, device, not _surely_finite(rep), "user and item vectors of the model", fix)


def _scored_blocks(rep: Scored) -> _Blocks:
    def scores(ids: NDArray[np.int64]) -> torch.Tensor:
        found = rep.score(ids)
        padded = torch.zeros(len(ids), _whole_blocks(rep.n_items), dtype=found.dtype)
        padded[:, : rep.n_items] = found
        return padded

    fix = "correct the return value of the function, and check it: robustrec doctor --model PLACE:NAME"
    return _Blocks(scores, rep.n_items, torch.device("cpu"), True, "the score function", fix)


def _surely_finite(rep: Representation) -> bool:
    """Return whether the norms alone show that no score can leave float32."""
    largest = [float(torch.linalg.vector_norm(table.detach(), dim=1).max()) for table in (rep.users, rep.items)]
    bound = largest[0] * largest[1]
    return bool(np.isfinite(bound)) and bound < 1e38


def _checked_mask(rep: Representation | Scored, users: NDArray[np.int64], masked: csr_array, k: int) -> csr_array:
    """Return the mask in canonical form after checking that everything fits together."""
    where = "ranking"
    if isinstance(rep, Scored):
        n_users, n_items = rep.n_users, rep.n_items
        fits, shapes = True, f"{n_users} users and {n_items} items"
    else:
        n_users, n_items = rep.users.shape[0], rep.items.shape[0]
        fits = rep.users.shape[1] == rep.items.shape[1]
        shapes = f"vectors of users {tuple(rep.users.shape)} and items {tuple(rep.items.shape)}"
    if masked.shape != (n_users, n_items) or not fits:
        raise RobustrecError(
            f"a mask of shape {masked.shape} does not fit {shapes}",
            where=where,
            fix="train the model on the same data set that it is evaluated on",
        )
    if users.ndim != 1 or len(users) == 0:
        raise RobustrecError(
            "there are no users to rank for",
            where=where,
            fix="evaluated users have training rows too; see what was filtered: robustrec data describe",
        )
    if users.min() < 0 or users.max() >= n_users:
        raise RobustrecError(
            f"user ids reach from {users.min()} to {users.max()}, the model knows 0 to {n_users - 1}",
            where=where,
            fix="train the model on the same data set that it is evaluated on",
        )
    canonical = masked
    if not masked.has_canonical_format or bool((masked.data == 0).any()):
        canonical = masked.copy()
        canonical.sum_duplicates()
        canonical.eliminate_zeros()
    if k < 1:
        raise RobustrecError(
            f"cannot make lists of {k} items", where=f"ranking: k={k}", fix="use metrics of at least 1 place"
        )
    return canonical


def _pairs_of_rows(matrix: csr_array, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (position in `rows`, column) of every stored entry of those rows."""
    counts = np.diff(matrix.indptr)[rows].astype(np.int64)
    position = np.repeat(np.arange(len(rows)), counts)
    first = np.repeat(matrix.indptr[rows].astype(np.int64) - (np.cumsum(counts) - counts), counts)
    return position, matrix.indices[first + np.arange(len(position))].astype(np.int64)
