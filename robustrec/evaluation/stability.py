"""How much two rankings of the same users agree: overlap, rank-biased overlap, lists that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustrec.errors import RobustrecError
from robustrec.evaluation.agreement import RBO_PERSISTENCE, rank_biased_overlap
from robustrec.evaluation.kinds import STABILITY, check_depth, parse_metric, row_blocks

if TYPE_CHECKING:
    from robustrec.evaluation.ranking import Ranking

Floats = NDArray[np.float64]


def shared_items(a: Ranking, b: Ranking) -> NDArray[np.int64]:
    """Return X [n, K]: X[u, d-1] is how many items the first d places of both lists of user u have in common.

    Raises:
        RobustrecError: the rankings are not of the same users in the same order.
    """
    if a.users.shape != b.users.shape or bool((a.users != b.users).any()):
        raise RobustrecError(
            f"the rankings are of different users ({len(a.users)} and {len(b.users)})",
            where="list stability",
            fix="rank the same users in the same order for both",
        )
    n, depth = len(a.users), min(a.items.shape[1], b.items.shape[1])
    # Sorted by item, an item that stands in both lists is next to itself, list a first; it counts from the
    # deeper of its two places on.
    both = np.concatenate([a.items[:, :depth], b.items[:, :depth]], axis=1).astype(np.int64)
    empty = both < 0
    if empty.any():  # each empty place becomes an item that stands nowhere else
        both = np.where(empty, both.max() + 1 + np.arange(2 * depth), both)
    ordered = np.sort(both * (2 * depth) + np.arange(2 * depth), axis=1)
    item, place = np.divmod(ordered, 2 * depth)
    row, column = np.nonzero(item[:, 1:] == item[:, :-1])
    deeper = np.maximum(place[row, column], place[row, column + 1] - depth)
    counts = np.bincount(row * depth + deeper, minlength=n * depth).reshape(n, depth)
    return np.cumsum(counts, axis=1)


def per_user_stability(a: Ranking, b: Ranking, names: Sequence[str]) -> dict[str, Floats]:
    """Return each named agreement between two rankings for every user.

    Args:
        a: top lists before, [n, K].
        b: top lists after, of the same users in the same order.
        names: for example "overlap@20", "rbo@20", "changed@20", "changed@1".

    Returns:
        name -> float64 [n], unrounded.

    Raises:
        RobustrecError: an unknown name, other users, or a k beyond the lists.
    """
    metrics = {name: parse_metric(name, kinds=STABILITY) for name in names}
    depth = min(a.items.shape[1], b.items.shape[1])
    for name, metric in metrics.items():
        check_depth(name, metric.k, depth)
    longest = max((metric.k for metric in metrics.values()), default=1)
    lengths = np.maximum(a.lengths, b.lengths)
    found = {name: np.empty(len(a.users)) for name in names}
    for rows in row_blocks(len(a.users), longest):
        shared = shared_items(
            *(each._replace(users=each.users[rows], items=each.items[rows, :longest]) for each in (a, b))
        )
        for name, metric in metrics.items():
            found[name][rows] = STABILITY[metric.kind].function(shared, metric.k, lengths[rows])
    return found


def overlap_at(a: Ranking, b: Ranking, k: int) -> Floats:
    """Return |A ∩ B| / k per user; see `overlap`."""
    return per_user_stability(a, b, [f"overlap@{k}"])[f"overlap@{k}"]


def rbo_at(a: Ranking, b: Ranking, k: int, *, persistence: float = RBO_PERSISTENCE) -> Floats:
    """Return the extrapolated rank-biased overlap per user; see `rank_biased_overlap`."""
    shared = shared_items(a, b)
    check_depth(f"rbo@{k}", k, shared.shape[1])
    return rank_biased_overlap(shared, k, np.maximum(a.lengths, b.lengths), persistence)


def changed_at(a: Ranking, b: Ranking, k: int) -> Floats:
    """Return per user 1 where the set of the first k items changed, else 0; see `changed`."""
    return per_user_stability(a, b, [f"changed@{k}"])[f"changed@{k}"]
