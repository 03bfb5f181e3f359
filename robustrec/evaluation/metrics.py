"""Metrics of rankings: each metric of `kinds` for every ranked user, and the users who are evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.interactions import TRAIN, Interactions
from robustrec.errors import RobustrecError
from robustrec.evaluation.beyond import Catalogue
from robustrec.evaluation.kinds import ACCURACY, BEYOND, QUALITY, check_depth, parse_metric, row_blocks

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from robustrec.evaluation.ranking import Ranking

Floats = NDArray[np.float64]


def per_user_metrics(
    ranking: Ranking, relevant: csr_array, names: Sequence[str], catalogue: Catalogue | None = None
) -> dict[str, Floats]:
    """Return each named metric for every ranked user, unrounded.

    Args:
        ranking: top lists of n users, [n, K].
        relevant: the relevant pairs [U, I]; every stored value other than 0 counts.
        names: for example "ndcg@20", "recall@5", "hit_rate@10", "coverage@50".
        catalogue: what metrics other than those of relevant items require.

    Returns:
        name -> float64 [n], in the order of `ranking.users`.

    Raises:
        RobustrecError: an unknown name, a k beyond K, a user without relevant items, or a metric that requires a
            catalogue or item features where there are none.
    """
    metrics = {name: parse_metric(name, kinds=QUALITY) for name in names}
    depth = ranking.items.shape[1]
    for name, metric in metrics.items():
        check_depth(name, metric.k, depth)
    found = {name: np.empty(len(ranking.users)) for name in names}
    for rows in row_blocks(len(ranking.users), depth):
        hits, n_relevant = hits_of(ranking._replace(users=ranking.users[rows], items=ranking.items[rows]), relevant)
        for name, metric in metrics.items():
            if metric.kind in ACCURACY:
                found[name][rows] = ACCURACY[metric.kind].function(hits, n_relevant, metric.k)
    for name, metric in metrics.items():
        if metric.kind in BEYOND:
            found[name] = BEYOND[metric.kind].function(ranking.items, _needed(catalogue, name), metric.k)
    return found


def _needed(catalogue: Catalogue | None, name: str) -> Catalogue:
    if catalogue is None:
        raise RobustrecError(
            f"{name} is not a metric of relevant items",
            where="evaluation",
            fix=f"use one of {', '.join(f'{kind}@20' for kind in ACCURACY)}",
        )
    return catalogue


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


def evaluated_users(interactions: Interactions, label: int) -> NDArray[np.int64]:
    """Return the ids of users with at least one row of `label` and one training row, ascending.

    The published loop takes them in order of first appearance; means do not depend on it, and ascending ids
    stay the same when the rows of a file are reordered.
    """
    trained = np.unique(interactions.users[interactions.labels == TRAIN])
    return np.intersect1d(interactions.users[interactions.labels == label], trained).astype(np.int64)
