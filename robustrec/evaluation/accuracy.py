"""Accuracy of lists at k, per user, in float64 and unrounded.

Symbols: n users, K length of the lists, hit_i 1 where place i of a list is relevant, n_u the number of relevant items
of user u, at least 1. A list with fewer than k items has no hit in its empty places. Recall, precision, DCG and average
precision are those of Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20,
and Manning, Raghavan and Schütze 2008, "Introduction to information retrieval", chapter 8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def recall(hits: Bools, n_relevant: Ints, k: int) -> Floats:
    """Return the share of a user's relevant items that are in the list: Σ_{i<=k} hit_i / n_u, [n]."""
    found: Ints = hits[:, :k].sum(axis=1)
    return found / n_relevant


def precision(hits: Bools, n_relevant: Ints, k: int) -> Floats:  # noqa: ARG001
    """Return the share of k places that are relevant: Σ_{i<=k} hit_i / k, [n]; k also where a list is shorter."""
    found: Ints = hits[:, :k].sum(axis=1)
    return found / np.float64(k)


def ndcg(hits: Bools, n_relevant: Ints, k: int) -> Floats:
    """Return Σ_{i<=k} hit_i / log2(i+1) over the same of a perfect list, Σ_{i<=min(k, n_u)} 1 / log2(i+1)."""
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal: Floats = np.cumsum(discount)[np.minimum(n_relevant, k) - 1]
    # A cumulative sum adds in the same order as `ideal` does, so that a perfect list gives exactly 1.
    gained: Floats = np.cumsum(hits[:, :k] * discount, axis=1)[:, -1]
    return gained / ideal


def average_precision(hits: Bools, n_relevant: Ints, k: int) -> Floats:
    """Return (1 / min(k, n_u)) Σ_{i<=k} hit_i · Precision@i, [n]; its mean over users is MAP@k."""
    at_place = np.cumsum(hits[:, :k], axis=1) / np.arange(1, k + 1)
    gained: Floats = (hits[:, :k] * at_place).sum(axis=1)
    return gained / np.minimum(n_relevant, k)


def hit_rate(hits: Bools, n_relevant: Ints, k: int) -> Floats:  # noqa: ARG001
    """Return 1 where any of the first k places is relevant, else 0, [n]; its mean is the hit rate (success@k)."""
    return np.asarray(hits[:, :k].any(axis=1), dtype=np.float64)


def reciprocal_rank(hits: Bools, n_relevant: Ints, k: int) -> Floats:  # noqa: ARG001
    """Return 1 / i for the first relevant place i <= k, 0 if there is none, [n]; its mean is MRR@k.

    Voorhees 1999, "The TREC-8 question answering track report", cut off after k places.
    """
    shown = hits[:, :k]
    return np.where(shown.any(axis=1), np.reciprocal(shown.argmax(axis=1) + 1.0), 0.0)
