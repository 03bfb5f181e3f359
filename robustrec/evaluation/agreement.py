"""How much two lists of a user agree, from the items that their first places have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robustrec.errors import RobustrecError

Floats = NDArray[np.float64]
RBO_PERSISTENCE = 0.9


def overlap(shared: NDArray[np.int64], k: int, lengths: NDArray[np.int64] | None = None) -> Floats:
    """Return |A ∩ B| / k of the first k places, [n], from X [n, K].

    Where the lists hold fewer than k items, it is divided by their length; two empty lists overlap fully.

    Args:
        shared: X [n, K] of `stability.shared_items`.
        k: places compared.
        lengths: [n] items in the longer of the two lists; None: at least k in all.
    """
    sizes = _sizes(shared, k, lengths)
    return np.where(sizes > 0, shared[:, k - 1] / np.maximum(sizes, 1).astype(np.float64), 1.0)


def changed(shared: NDArray[np.int64], k: int, lengths: NDArray[np.int64] | None = None) -> Floats:
    """Return 1 where the set of the first k items changed, else 0, [n]; its mean is a share of users.

    Args:
        shared: X [n, K] of `stability.shared_items`.
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
        shared: X [n, K] of `stability.shared_items`.
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
