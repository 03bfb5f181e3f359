"""Metrics of rankings: each metric of `kinds` for every ranked user, and the users who are evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.interactions import TRAIN, Interactions
from robustrec.errors import RobustrecError
from robustrec.evaluation.beyond import Catalogue
from robustrec.evaluation.kinds import ACCURACY, BEYOND, QUALITY, VALUE, Metric, check_depth, parse_metric, row_blocks
from robustrec.evaluation.user_items import UserItems, user_items
from robustrec.evaluation.value import Relevant

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from robustrec.evaluation.ranking import Ranking

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def per_user_metrics(
    ranking: Ranking, relevant: csr_array | UserItems, names: Sequence[str], catalogue: Catalogue | None = None
) -> dict[str, Floats]:
    """Return each named metric for every ranked user, unrounded.

    Args:
        ranking: top lists of n users, [n, K].
        relevant: the relevant pairs: [U, I], of which every stored value other than 0 counts, or the items of these
            users.
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
    found = accuracy_of(hits_of(ranking, relevant), {n: each for n, each in metrics.items() if each.kind in ACCURACY})
    for name, metric in metrics.items():
        if metric.kind in BEYOND:
            found[name] = BEYOND[metric.kind].function(ranking.items, _needed(catalogue, name), metric.k)
        elif metric.kind in VALUE:
            found[name] = _of_values(ranking, user_items(ranking.users, relevant), catalogue, name, metric)
    return {name: found[name] for name in metrics}


class Hits(NamedTuple):
    """Relevant items in lists of n users.

    Attributes:
        rows: [H] positions of the users, ascending.
        places: [H] places in their lists, from 0.
        n_relevant: [n] each user's relevant items, in the list or not, at least 1.
    """

    rows: Ints
    places: Ints
    n_relevant: Ints


def accuracy_of(hits: Hits, metrics: Mapping[str, Metric]) -> dict[str, Floats]:
    """Return metrics of relevant items, each [n]: 0 for a user without a hit, whatever the metric."""
    found = {name: np.zeros(len(hits.n_relevant)) for name in metrics}
    depth = max((metric.k for metric in metrics.values()), default=1)
    users, own = np.unique(hits.rows, return_inverse=True)
    for block in row_blocks(len(users), depth):
        first, last = np.searchsorted(own, [block.start, block.stop])
        inside = slice(first, last)
        near = hits.places[inside] < depth
        table = np.zeros((len(users[block]), depth), dtype=bool)
        table[own[inside][near] - block.start, hits.places[inside][near]] = True
        n_relevant = hits.n_relevant[users[block]]
        for name, metric in metrics.items():
            found[name][users[block]] = ACCURACY[metric.kind].function(table, n_relevant, metric.k)
    return found


def _of_values(ranking: Ranking, relevant: UserItems, catalogue: Catalogue | None, name: str, metric: Metric) -> Floats:
    """Return a metric of the values of items, [n], by blocks of users.

    Raises:
        RobustrecError: the items have no values.
    """
    if catalogue is None or catalogue.values is None:
        raise RobustrecError(
            f"{name} needs a value of each item",
            where="evaluation",
            fix='name a numeric column of the catalog in the suite: value = "price"',
        )
    parts = []
    for block in row_blocks(len(ranking.users), ranking.items.shape[1]):
        counts = relevant.counts[block]
        inside = slice(relevant.starts[block.start], relevant.starts[block.start + len(counts)])
        own = Relevant(np.repeat(np.arange(len(counts)), counts), relevant.items[inside], counts)
        parts.append(VALUE[metric.kind].function(ranking.items[block], own, catalogue.values, metric.k))
    return np.concatenate(parts)


def _needed(catalogue: Catalogue | None, name: str) -> Catalogue:
    if catalogue is None:
        raise RobustrecError(
            f"{name} is not a metric of relevant items",
            where="evaluation",
            fix=f"use one of {', '.join(f'{kind}@20' for kind in ACCURACY)}",
        )
    return catalogue


def hits_of(ranking: Ranking, relevant: csr_array | UserItems) -> Hits:
    """Return which places of the lists hold relevant items.

    Raises:
        RobustrecError: a user without relevant items.
    """
    wanted = user_items(ranking.users, relevant)
    refuse_without_relevant(wanted)
    rows, places = [], []
    for block in row_blocks(len(wanted.items), ranking.items.shape[1]):
        pair, place = np.nonzero(ranking.items[wanted.rows[block]] == wanted.items[block, None])
        rows.append(wanted.rows[block][pair])
        places.append(place)
    return Hits(np.concatenate(rows), np.concatenate(places), wanted.counts)


def refuse_without_relevant(wanted: UserItems) -> None:
    """Refuse users without relevant items.

    Raises:
        RobustrecError: there are some, or no users at all.
    """
    n = len(wanted.users)
    if n == 0 or wanted.counts.min() == 0:
        raise RobustrecError(
            f"{int((wanted.counts == 0).sum())} of {n} users have no relevant item: metrics are undefined",
            where="evaluation",
            fix="evaluate users with rows of that split only (evaluated_users); see: robustrec data describe",
        )


def evaluated_users(interactions: Interactions, label: int) -> NDArray[np.int64]:
    """Return the ids of users with at least one row of `label` and one training row, ascending.

    The published loop takes them in order of first appearance; means do not depend on it, and ascending ids
    stay the same when the rows of a file are reordered.
    """
    trained, wanted = np.zeros((2, interactions.n_users), bool)
    trained[interactions.users[interactions.labels == TRAIN]] = True
    wanted[interactions.users[interactions.labels == label]] = True
    return np.flatnonzero(trained & wanted)
