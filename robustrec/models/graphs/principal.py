"""The principal part of the user-item graph: a low-rank product of it, of which only large entries are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import svds

from robustrec.models.graphs.sparse import Sparse, sparse_of
from robustrec.models.graphs.user_item import Bipartite
from robustrec.seeds import numpy_generator

SPECTRUM, PRINCIPAL = 64, 16
"""Numbers of singular values of the whole adjacency that are found, and of those that are kept."""
LEAST = 1e-3
# Singular values this near each other are taken as equal: each component has the largest one, 1 up to the offset.
_EQUAL = 1e-6
# Shorter sides of a block up to which all its singular values are found at once.
_SHORT = 2 * SPECTRUM
# Entries of the product held at once: 16 MB.
_HELD = 2**21

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


class _Component(NamedTuple):
    """Singular triples of the block of R̂ of one connected component, the largest first.

    Attributes:
        users: int64 [u].
        items: int64 [i].
        left: [u, r].
        values: [r].
        right: [i, r].
    """

    users: Ids
    items: Ids
    left: Array
    values: Array
    right: Array


def principal_graph(whole: Bipartite, least: float = LEAST) -> Bipartite:
    """Return the graph of the entries of Σ_q c_q a_q b_qᵀ whose size is at least `least`.

    (σ_q, a_q, b_q) are the singular triples of R̂, the largest first. With K = min(64, U + I), c_q is
    σ_q σ_{q+(K-16)/2} for q ≤ 8, else 0. This is the user-item block of Σ_{j≤16} s_j s_{K-16+j} l_j r_jᵀ over the K
    largest triples (s, l, r) of the whole adjacency, which has every σ_q twice. That sum depends on the basis that
    a library finds where singular values coincide, as in a graph of several components. Here coinciding values have
    the mean of their c, so that no basis changes the graph. Below 64 nodes, where the published code fails,
    (K-16)/2 is rounded down, and is 0 for fewer than 16.

    Σ_q c_q² ≤ 8 is the sum of the squares of all entries, so that at most 8 / least² are kept (8 million), whatever the
    size of the graph. The product is never held as a whole.

    Source: global mode of the published code of Yu et al., AAAI 2025 (PGL).

    Args:
        whole: the normalised graph of all edges, on the CPU.
        least: smallest size of an entry.
    """
    matrix = whole.matrix
    components = list(_components(matrix))
    weights = _weights(np.concatenate([part.values for part in components]), sum(matrix.shape))
    ends = np.cumsum([len(part.values) for part in components])[:-1]
    found = [_large(part, own, least) for part, own in zip(components, np.split(weights, ends), strict=True)]
    users, items, values = (torch.from_numpy(np.concatenate(column)) for column in zip(*found, strict=True))
    return Bipartite(sparse_of(users, items, values.to(matrix.values.dtype), matrix.shape))


def _weights(values: Array, n_nodes: int) -> Array:
    """Return c_q for singular values in any order [n], the mean of them where values coincide."""
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    kept = min(PRINCIPAL // 2, len(values))
    shift = max(0, (min(SPECTRUM, n_nodes) - PRINCIPAL) // 2)
    partners = np.zeros(kept)
    there = ordered[shift : shift + kept]
    partners[: len(there)] = there
    weights = np.zeros(len(values))
    weights[:kept] = ordered[:kept] * partners
    group = np.concatenate([[0], np.cumsum(-np.diff(ordered) > _EQUAL)])
    means = np.bincount(group, weights) / np.bincount(group)
    result = np.empty(len(values))
    result[order] = means[group]
    return result


def _components(matrix: Sparse) -> Iterator[_Component]:
    """Yield the triples of each connected component; within one, the largest singular value is a simple one."""
    n_users, n_items = matrix.shape
    users, items = matrix.pattern.rows().numpy(), matrix.pattern.columns.numpy().astype(np.int64)
    values = matrix.values.double().numpy()
    size = n_users + n_items
    edges = coo_array((np.ones(len(users), np.int8), (users, n_users + items)), shape=(size, size))
    labels = connected_components(edges, directed=False)[1][users]
    order = np.argsort(labels, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        own_users, rows = np.unique(users[part], return_inverse=True)
        own_items, columns = np.unique(items[part], return_inverse=True)
        block = csr_array((values[part], (rows, columns)), shape=(len(own_users), len(own_items)))
        yield _Component(own_users, own_items, *_triples(block))


def _triples(block: csr_array) -> tuple[Array, Array, Array]:
    """Return the 32 largest singular triples of a block as (left, values, right), or all there are."""
    r, shorter = SPECTRUM // 2, min(block.shape)
    if shorter <= _SHORT:
        left, values, right = np.linalg.svd(block.toarray(), full_matrices=False)
    else:
        start = numpy_generator(0, "principal graph").standard_normal(shorter)
        left, values, right = svds(block, k=r, v0=start)
        left, values, right = left[:, ::-1], values[::-1], right[::-1]
    return left[:, :r], values[:r], right[:r].T


def _large(part: _Component, weights: Array, least: float) -> tuple[Ids, Ids, Array]:
    """Return (users, items, values) of the large entries of a component's Σ_q c_q a_q b_qᵀ.

    An entry is at most the product of the lengths of its rows √c a_u and √c b_i: most pairs need no product.
    """
    roots = np.sqrt(weights)
    left, right = part.left * roots, part.right * roots
    lengths, other = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
    by_length, by_other = np.argsort(-lengths, kind="stable"), np.argsort(-other, kind="stable")
    rising = -other[by_other]
    bound = least * (1 - 1e-9)  # a little less, for the rounding of lengths
    users, items, values = [], [], []
    start = 0
    while start < len(by_length) and lengths[by_length[start]] * other[by_other[0]] >= bound:
        candidates = by_other[: np.searchsorted(rising, -bound / lengths[by_length[start]], side="right")]
        rows = by_length[start : start + max(1, _HELD // len(candidates))]
        product = left[rows] @ right[candidates].T
        row, column = np.nonzero(np.abs(product) >= least)
        users.append(part.users[rows[row]])
        items.append(part.items[candidates[column]])
        values.append(product[row, column])
        start += len(rows)
    if not users:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    return np.concatenate(users), np.concatenate(items), np.concatenate(values)
