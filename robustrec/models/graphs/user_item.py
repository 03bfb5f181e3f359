"""The normalized user-item graph and its propagation."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from robustrec.models.graphs.sparse import Sparse, SparseBuffer, product, sparse_of, transposed


class Propagated(NamedTuple):
    """Mean over the layers of a propagation, split by the side that the signal started on.

    Attributes:
        users_from_users: [U, a].
        users_from_items: [U, b].
        items_from_users: [I, a].
        items_from_items: [I, b].
    """

    users_from_users: Tensor
    users_from_items: Tensor
    items_from_users: Tensor
    items_from_items: Tensor


class Bipartite(NamedTuple):
    """A weighted graph between users and items: the block R̂ [U, I] of its adjacency [[0, R̂], [R̂ᵀ, 0]]."""

    matrix: Sparse

    def to_users(self, items: Tensor) -> Tensor:
        """Return R̂ x [U, a] for x on the items [I, a]."""
        return product(self.matrix, items)

    def to_items(self, users: Tensor) -> Tensor:
        """Return R̂ᵀ x [I, a] for x on the users [U, a]."""
        return product(transposed(self.matrix), users)

    def propagate(self, users: Tensor, items: Tensor, layers: int) -> Propagated:
        """Return the mean of x, Âx, …, Â^L x for x = [users; items] (LightGCN, arXiv 2002.02126, eq. 7).

        The graph is bipartite: a signal on users moves to items in one layer and back in two. The signals that start on
        users and on items therefore stay separate, each costs half a product per layer, and several item inputs can
        share one user input.

        Args:
            users: [U, a].
            items: [I, b].
            layers: L ≥ 0.
        """
        share = 1 / (layers + 1)
        users_at_users, users_at_items = _alternate(users, self.to_items, self.to_users, layers)
        items_at_items, items_at_users = _alternate(items, self.to_users, self.to_items, layers)
        if users_at_items is None or items_at_users is None:
            users_at_items = users.new_zeros(items.shape[0], users.shape[1])
            items_at_users = items.new_zeros(users.shape[0], items.shape[1])
        return Propagated(
            users_at_users * share, items_at_users * share, users_at_items * share, items_at_items * share
        )

    def smooth(self, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
        """Return the user part [U, d] and item part [I, d] of the mean of x, Âx, …, Â^L x, for inputs of width d."""
        mean = self.propagate(users, items, layers)
        return mean.users_from_users + mean.users_from_items, mean.items_from_items + mean.items_from_users


def normalised(
    users: Tensor, items: Tensor, shape: tuple[int, int], *, offset: float, dtype: torch.dtype | None = None
) -> Bipartite:
    """Return D_u^-1/2 R D_i^-1/2 of distinct edges, the off-diagonal block of the symmetrically normalized adjacency.

    Args:
        users: int64 [E].
        items: int64 [E].
        shape: (U, I).
        offset: added to every degree before the square root.
        dtype: dtype of the weights; torch's default dtype if None.
    """
    # In float64, so that no degree's root is rounded twice.
    user_scale = (torch.bincount(users, minlength=shape[0]).double() + offset).rsqrt()
    item_scale = (torch.bincount(items, minlength=shape[1]).double() + offset).rsqrt()
    weights = (user_scale[users] * item_scale[items]).to(dtype or torch.get_default_dtype())
    return Bipartite(sparse_of(users, items, weights, shape))


def drawn_edges(whole: Bipartite, share: float, generator: torch.Generator, *, offset: float) -> Bipartite:
    """Return the graph of ⌊share · |E|⌋ edges, normalised by their own degrees.

    Edges are drawn without replacement, each with a probability proportional to 1/√(d_u d_i) (Zhou and Shen, arXiv
    2211.06924, section 3.2).

    Args:
        whole: the normalised graph of all edges; its weights are the probabilities.
        share: in [0, 1]; 1 returns the graph of all edges.
        generator: on the device of the graph.
        offset: added to every degree before the square root.
    """
    pattern, weights = whole.matrix.pattern, whole.matrix.values
    # Rounded: 0.2 · 10 edges are two although 1 - 0.8 is a little below 0.2.
    n_kept = int(round(pattern.n_entries * share, 6))
    if n_kept == pattern.n_entries:
        return whole
    # Exponential race: arrivals at rates w; the first n are such a draw.
    arrivals = torch.empty_like(weights).exponential_(generator=generator) / weights
    kept = arrivals.topk(n_kept, largest=False).indices
    users, items = pattern.rows()[kept], pattern.columns.long()[kept]
    return normalised(users, items, pattern.shape, offset=offset, dtype=weights.dtype)


class UserItemGraph(SparseBuffer):
    """R̂ = D_u^-1/2 R D_i^-1/2, the off-diagonal block of the symmetrically normalised adjacency, and R̂ᵀ.

    Args:
        n_users: U.
        n_items: I.
        edges: int64 [2, E], distinct pairs (user, item).
        offset: added to every degree before the square root, as in the published code.
    """

    def __init__(self, n_users: int, n_items: int, edges: Tensor, *, offset: float) -> None:
        users, items = edges.detach().cpu()
        super().__init__(normalised(users, items, (n_users, n_items), offset=offset).matrix)

    def bipartite(self) -> Bipartite:
        """Return the graph on the device of the module."""
        return Bipartite(self.matrix())

    def propagate(self, users: Tensor, items: Tensor, layers: int) -> Propagated:
        """Return `Bipartite.propagate` of the graph."""
        return self.bipartite().propagate(users, items, layers)

    def smooth(self, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
        """Return `Bipartite.smooth` of the graph."""
        return self.bipartite().smooth(users, items, layers)


def _alternate(
    start: Tensor, across: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor], layers: int
) -> tuple[Tensor, Tensor | None]:
    """Return the sums over layers 0, 2, … (same side as the input) and 1, 3, … (other side)."""
    here, there = start, None
    signal = start
    for layer in range(1, layers + 1):
        if layer % 2:
            signal = across(signal)
            there = signal if there is None else there + signal
        else:
            signal = back(signal)
            here = here + signal
    return here, there
