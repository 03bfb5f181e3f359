"""User co-occurrence graph: number of items that two users share, top k per user, from a chunked sparse product."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from robustrec.datasets.user_graph import UserGraph
from robustrec.models.graphs.sparse import Sparse, row_softmax, sparse_of

# Entries of the product held at once. So small that the arrays of one block are used again for the next: larger ones
# would go back to the system each time, which takes several times as long as the work.
PRODUCT_ENTRIES = 2**20


def co_occurrence(edges: Tensor, n_users: int, n_items: int, k: int, *, entries: int = PRODUCT_ENTRIES) -> UserGraph:
    """Return the k nearest users of each user by C = R Rᵀ without its diagonal, without storing C.

    Args:
        edges: int64 [2, E], distinct training pairs (user, item).
        n_users: U.
        n_items: I.
        k: maximum number of neighbours; users without a shared item have none.
        entries: maximum number of entries of C in the memory of a thread.
    """
    users, items = edges.cpu().numpy()
    # int32 is enough for a count of shared items, and half the memory.
    ratings = csr_array((np.ones(len(users), np.int32), (users, items)), shape=(n_users, n_items))
    raters = csr_array(ratings.T)
    # Row u of C has at most Σ over u's items of their degrees entries.
    popularity = np.diff(raters.indptr).astype(np.int64)
    bound = np.concatenate([[0], np.cumsum(ratings.astype(np.int64) @ popularity)])
    starts = [0]
    while starts[-1] < n_users:
        end = int(np.searchsorted(bound, bound[starts[-1]] + entries, side="right")) - 1
        starts.append(max(starts[-1] + 1, end))

    def block(first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        return _first_neighbours(csr_array(ratings[first:last] @ raters), first, n_users, k)

    # Threads, because scipy and numpy release the interpreter for the product and the sorting.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        parts = list(pool.map(block, starts[:-1], starts[1:]))
    sizes, neighbours, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    return UserGraph(np.concatenate([[0], np.cumsum(sizes)]), neighbours, counts)


def _first_neighbours(
    block: csr_array, first: int, n_users: int, k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return (row lengths, neighbours, counts) of the rows of C that start at user `first`."""
    rows = np.repeat(np.arange(block.shape[0], dtype=np.int64), np.diff(block.indptr))
    columns, counts = block.indices.astype(np.int64), block.data.astype(np.int64)
    other = columns != rows + first
    rows, columns, counts = rows[other], columns[other], counts[other]
    # One integer orders by row, then count from large to small, then id: sorting it beats sorting by three keys.
    top = int(counts.max(initial=0)) + 1
    key = np.sort((rows * top + (top - 1 - counts)) * n_users + columns)
    places, columns = np.divmod(key, n_users)
    rows, missing = np.divmod(places, top)
    counts = top - 1 - missing
    sizes = np.bincount(rows, minlength=block.shape[0])
    place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = place < k
    return np.minimum(sizes, k), columns[kept], counts[kept]


def neighbour_average(found: UserGraph, n_users: int) -> Sparse:
    """Return the matrix [U, U] that averages over neighbours, weighted by the softmax of the raw counts.

    The published code fills the lists of users with fewer than k neighbours with random repeats in every epoch; here
    such a user has fewer neighbours, and a user without neighbours has a zero row.
    """
    rows = torch.repeat_interleave(torch.arange(n_users), torch.from_numpy(np.diff(found.starts)))
    counts = torch.from_numpy(found.counts).to(torch.get_default_dtype())
    matrix = sparse_of(rows, torch.from_numpy(found.neighbours), counts, (n_users, n_users))
    # Sorted by row and column now; the transpose is made again from the weights.
    weights = row_softmax(matrix.pattern, matrix.values)
    return sparse_of(matrix.pattern.rows(), matrix.pattern.columns.long(), weights, matrix.shape)
