"""How much two rankings of the same users agree: overlap, rank-biased overlap, lists that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from robustrec.errors import RobustrecError
from robustrec.evaluation.metrics import check_depth, parse_metric
from robustrec.evaluation.ranking import Ranking

Floats = NDArray[np.float64]
RBO_PERSISTENCE = 0.9


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


def overlap(shared: NDArray[np.int64], k: int, lengths: NDArray[np.int64] | None = None) -> Floats:
    """Return |A ∩ B| / k of the first k places, [n], from X [n, K].

    Where the lists hold fewer than k items, it is divided by their length; two empty lists overlap fully.

    Args:
        shared: X [n, K] of `shared_items`.
        k: places compared.
        lengths: [n] items in the longer of the two lists; None: at least k in all.
    """
    sizes = _sizes(shared, k, lengths)
    return np.where(sizes > 0, shared[:, k - 1] / np.maximum(sizes, 1).astype(np.float64), 1.0)


def changed(shared: NDArray[np.int64], k: int, lengths: NDArray[np.int64] | None = None) -> Floats:
    """Return 1 where the set of the first k items changed, else 0, [n]; its mean is a share of users.

    Args:
        shared: X [n, K] of `shared_items`.
        k: places compared.
        lengths: [n] items in the longer of the two lists; None: at least k in all.
    """
    return (shared[:, k - 1] < _sizes(shared, k, lengths)).astype(np.float64)


def _sizes(shared: NDArray[np.int64], k: int, lengths: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return how many of k places are compared for each user, [n]."""
    return np.full(len(shared), k, dtype=np.int64) if lengths is None else np.minimum(lengths, k)


def rank_biased_overlap(
    shared: NDArray[np.int64],
    k: int,
    lengths: NDArray[np.int64] | None = None,
    persistence: float = RBO_PERSISTENCE,
) -> Floats:
    """Return the extrapolated rank-biased overlap RBO_ext of the first k places, [n].

    RBO_ext = A_k p^k + (1-p)/p Σ_{d=1..k} A_d p^d with agreement A_d = X_d / d, for lists of equal length k
    (Webber, Moffat and Zobel 2010, "A similarity measure for indefinite rankings", section 4.2); 1 for equal
    lists, 0 for disjoint ones. A reader with persistence p = 0.9 looks at 10 places on average. Lists of
    fewer than k items are compared to their end.

    Args:
        shared: X [n, K] of `shared_items`.
        k: places compared.
        lengths: [n] items in the longer of the two lists; None: at least k in all.
        persistence: p, strictly between 0 and 1.

    Raises:
        RobustrecError: p is out of range.
    """
    if not 0 < persistence < 1:
        raise RobustrecError(
            f"rank-biased overlap with p={persistence}",
            where="list stability",
            fix="use p between 0 and 1, e.g. 0.9",
        )
    sizes = _sizes(shared, k, lengths)
    result = np.ones(len(shared))
    for size in np.unique(sizes[sizes > 0]).tolist():
        d = np.arange(1, size + 1)
        weights = (1 - persistence) * persistence ** (d - 1.0)
        weights[-1] += persistence**size
        # The weights add up to 1, so 1 - Σ w (1 - A) is the same sum, and exactly 1 for equal lists.
        result[sizes == size] = 1.0 - ((d - shared[sizes == size, :size]) / d) @ weights
    # Rounding may leave a hair below 0 for disjoint lists.
    return np.maximum(result, 0.0)


STABILITY: dict[str, Callable[[NDArray[np.int64], int, NDArray[np.int64] | None], Floats]] = {
    "overlap": overlap,
    "rbo": rank_biased_overlap,
    "changed": changed,
}


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
    shared = shared_items(a, b)
    lengths = np.maximum(a.lengths, b.lengths)
    for name, metric in metrics.items():
        check_depth(name, metric.k, shared.shape[1])
    return {name: STABILITY[metric.kind](shared, metric.k, lengths) for name, metric in metrics.items()}


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
