"""Recall, Precision, NDCG and MAP at k, per user, in float64 and unrounded.

Symbols: n users, K length of the lists, hit_i 1 where place i of a list is relevant, n_u the number of
relevant items of user u.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from robustrec.datasets.interactions import TRAIN, Interactions
from robustrec.errors import RobustrecError, unknown_name

if TYPE_CHECKING:
    from robustrec.evaluation.ranking import Ranking

Floats = NDArray[np.float64]
MetricFunction = Callable[[NDArray[np.bool_], NDArray[np.int64], int], Floats]

# Named here so that a name can be checked without importing what computes it (`stability.STABILITY`).
STABILITY_KINDS = ("overlap", "rbo", "changed")


class Metric(NamedTuple):
    """A metric's kind and the length of list it looks at: "ndcg@20" is ("ndcg", 20)."""

    kind: str
    k: int


def recall(hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> Floats:
    """Return the share of a user's relevant items that are in the list: Σ_{i<=k} hit_i / n_u, [n]."""
    found: NDArray[np.int64] = hits[:, :k].sum(axis=1)
    return found / n_relevant


def precision(hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> Floats:  # noqa: ARG001
    """Return the share of k places that are relevant: Σ_{i<=k} hit_i / k, [n]; k also where a list is shorter."""
    found: NDArray[np.int64] = hits[:, :k].sum(axis=1)
    return found / np.float64(k)


def ndcg(hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> Floats:
    """Return Σ_{i<=k} hit_i / log2(i+1) over the same of a perfect list, Σ_{i<=min(k, n_u)} 1 / log2(i+1)."""
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal: Floats = np.cumsum(discount)[np.minimum(n_relevant, k) - 1]
    # A cumulative sum adds in the same order as `ideal` does, so that a perfect list gives exactly 1.
    gained: Floats = np.cumsum(hits[:, :k] * discount, axis=1)[:, -1]
    return gained / ideal


def average_precision(hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> Floats:
    """Return (1 / min(k, n_u)) Σ_{i<=k} hit_i · Precision@i, [n]; its mean over users is MAP@k."""
    at_place = np.cumsum(hits[:, :k], axis=1) / np.arange(1, k + 1)
    gained: Floats = (hits[:, :k] * at_place).sum(axis=1)
    return gained / np.minimum(n_relevant, k)


METRICS: dict[str, MetricFunction] = {
    "recall": recall,
    "precision": precision,
    "ndcg": ndcg,
    "map": average_precision,
}


def parse_metric(name: str, *, kinds: Iterable[str] = (*METRICS, *STABILITY_KINDS), where: str = "metric") -> Metric:
    """Return the kind and k of a name such as "ndcg@20".

    Args:
        name: kind, "@", list length.
        kinds: the kinds accepted; by default those of `METRICS` and of list stability.
        where: the option or the file and key that held the name, for the message.

    Raises:
        RobustrecError: not of that form, or an unknown kind.
    """
    kind, at, depth = name.partition("@")
    if kind not in (known := tuple(kinds)):
        raise unknown_name("metric", kind, known, where=where)
    if not at or not re.fullmatch(r"[1-9][0-9]{0,6}", depth, flags=re.ASCII):
        raise RobustrecError(f"metric {name!r} has no list length", where=where, fix=f"write for example {kind}@20")
    return Metric(kind, int(depth))


def per_user_metrics(ranking: Ranking, relevant: csr_array, names: Sequence[str]) -> dict[str, Floats]:
    """Return each named metric for every ranked user, unrounded.

    Args:
        ranking: top lists of n users, [n, K].
        relevant: the relevant pairs [U, I]; every stored value other than 0 counts.
        names: for example "ndcg@20", "recall@5", "precision@10", "map@50".

    Returns:
        name -> float64 [n], in the order of `ranking.users`.

    Raises:
        RobustrecError: an unknown name, a k beyond K, or a user without relevant items.
    """
    metrics = {name: parse_metric(name, kinds=METRICS) for name in names}
    hits, n_relevant = hits_of(ranking, relevant)
    for name, metric in metrics.items():
        check_depth(name, metric.k, ranking.items.shape[1])
    return {name: METRICS[metric.kind](hits, n_relevant, metric.k) for name, metric in metrics.items()}


def hits_of(ranking: Ranking, relevant: csr_array) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which places of each list are relevant [n, K], and each user's number of relevant items [n].

    Raises:
        RobustrecError: a user without relevant items.
    """
    rows = relevant[ranking.users]
    rows.eliminate_zeros()
    rows.sum_duplicates()
    n, n_items = rows.shape
    n_relevant = np.diff(rows.indptr).astype(np.int64)
    if n == 0 or n_relevant.min() == 0:
        raise RobustrecError(
            f"{int((n_relevant == 0).sum())} of {n} users have no relevant item: metrics are undefined",
            where="evaluation",
            fix="evaluate users with rows of that split only (evaluated_users); see: robustrec data describe",
        )
    # One sorted array of row * I + item answers every membership question at once.
    keys = np.repeat(np.arange(n), n_relevant) * n_items + rows.indices
    asked = np.arange(n)[:, None] * n_items + ranking.items
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return (keys[place] == asked) & (ranking.items >= 0), n_relevant


def check_depth(name: str, k: int, available: int) -> None:
    """Refuse a metric that looks deeper than the lists are.

    Raises:
        RobustrecError: k is beyond the length of the lists.
    """
    if k > available:
        raise RobustrecError(
            f"{name} requires lists of {k} items, but these have {available}",
            where="evaluation",
            fix=f"ask for @{available} or less, or rank with k={k}",
        )


def evaluated_users(interactions: Interactions, label: int) -> NDArray[np.int64]:
    """Return the ids of users with at least one row of `label` and one training row, ascending.

    The published loop takes them in order of first appearance; means do not depend on it, and ascending ids
    stay the same when the rows of a file are reordered.
    """
    trained = np.unique(interactions.users[interactions.labels == TRAIN])
    return np.intersect1d(interactions.users[interactions.labels == label], trained).astype(np.int64)
