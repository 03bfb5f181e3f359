"""The correspondence of two bipartite graphs that are equal up to the numbering of users and items.

Colour refinement (Weisfeiler and Leman 1968): users and items begin with their degrees as colours; each round, a colour
becomes a hash of itself and of the multiset of its neighbours' colours. Where several vertices keep one colour, one of
each graph is made different and the refinement goes on. The result is checked edge by edge, so that a collision of
hashes can only end in no result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Colours = NDArray[np.uint64]
MOST_CHOICES = 2_000


class Matched(NamedTuple):
    """The vertex of the first graph for each of the second.

    Attributes:
        users: [U] user of the first graph, by user 0 to U - 1 of the second.
        items: [I] the same of items.
        like_users: number of users that the structure alone does not tell apart.
        like_items: the same of items.
    """

    users: Ints
    items: Ints
    like_users: int
    like_items: int


class _Graph:
    """A bipartite graph with dense numbers and the colours of its vertices; users come first."""

    def __init__(self, users: Ints, items: Ints) -> None:
        self.user_ids, self.users = np.unique(users, return_inverse=True)
        self.item_ids, self.items = np.unique(items, return_inverse=True)
        self.n_users = len(self.user_ids)
        self.ends = self.items + self.n_users
        self.n = self.n_users + len(self.item_ids)
        degrees = np.bincount(self.users, minlength=self.n) + np.bincount(self.ends, minlength=self.n)
        side = np.arange(self.n) >= self.n_users
        self.colours = _mixed(degrees.astype(np.uint64) * np.uint64(2) + side.astype(np.uint64))

    def refine(self) -> None:
        """Refine the colours until no more of them become different."""
        before = 0
        while (now := len(np.unique(self.colours))) > before:
            before = now
            mixed = _mixed(self.colours)
            sums = np.zeros(self.n, dtype=np.uint64)
            np.add.at(sums, self.users, mixed[self.ends])
            np.add.at(sums, self.ends, mixed[self.users])
            self.colours = _mixed(self.colours * np.uint64(0x9E3779B97F4A7C15) + sums)

    def repeated(self) -> NDArray[np.bool_]:
        """Tell which vertices share their colour with others."""
        _, inverse, counts = np.unique(self.colours, return_inverse=True, return_counts=True)
        return np.asarray(counts[inverse] > 1)


def match_by_structure(users: Ints, items: Ints, other_users: Ints, other_items: Ints) -> Matched | None:
    """Return the user and item of one graph for each of another that is equal to it up to numbering, or None.

    Args:
        users: [E] user of each edge; edges are distinct.
        items: [E] item of each edge.
        other_users: [E] user of each edge of the other graph, 0 to U - 1.
        other_items: [E] item of each edge of the other graph, 0 to I - 1.
    """
    one, other = _Graph(users, items), _Graph(other_users, other_items)
    if (one.n, one.n_users, len(one.users)) != (other.n, other.n_users, len(other.users)):
        return None
    like = 0, 0
    for choice in range(MOST_CHOICES):
        one.refine()
        other.refine()
        if not np.array_equal(np.sort(one.colours), np.sort(other.colours)):
            return None
        repeated = one.repeated()
        if not choice:
            like = int(repeated[: one.n_users].sum()), int(repeated[one.n_users :].sum())
        if not repeated.any():
            break
        # The first vertex of the smallest shared colour, in both graphs.
        colour = one.colours[repeated].min()
        for graph in (one, other):
            graph.colours[np.flatnonzero(graph.colours == colour)[0]] = _mixed(np.array([choice], np.uint64))[0]
    else:
        return None
    to_one = np.empty(one.n, dtype=np.int64)
    to_one[np.argsort(other.colours)] = np.argsort(one.colours)
    if not np.array_equal(_edges(one, one.users, one.ends), _edges(one, to_one[other.users], to_one[other.ends])):
        return None
    users_of, items_of = to_one[: one.n_users], to_one[one.n_users :] - one.n_users
    return Matched(one.user_ids[users_of], one.item_ids[items_of], *like)


def _edges(graph: _Graph, users: Ints, ends: Ints) -> Ints:
    return np.sort(users * graph.n + ends)


def _mixed(values: Colours) -> Colours:
    """Return values under the finaliser of splitmix64, a bijection of 64-bit numbers (Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
