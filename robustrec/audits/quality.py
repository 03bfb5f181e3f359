"""Rank the users of a subject and compute the metrics of their lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustrec.evaluation.metrics import parse_metric, per_user_metrics
from robustrec.evaluation.ranking import Ranking, rank
from robustrec.evaluation.stability import per_user_stability
from robustrec.models.contract import Representation, Scored
from robustrec.runs.prepared import Split

PerUser = dict[str, NDArray[np.float64]]
"""Metric name -> float64 [n], one value an evaluated user."""


@dataclass(frozen=True)
class MetricSuite:
    """Metrics of every list.

    Attributes:
        metrics: quality metrics, "ndcg@20".
        stability: measures of two lists of one user, "rbo@20".
    """

    metrics: tuple[str, ...]
    stability: tuple[str, ...]

    @property
    def length(self) -> int:
        """Longest list length of the metrics."""
        length = max(parse_metric(name).k for name in self.metrics)
        return max([length, *(int(name.partition("@")[2]) for name in self.stability)])


@dataclass(frozen=True)
class Clean:
    """A subject's unperturbed lists and their per-user metrics."""

    ranking: Ranking
    per_user: PerUser


def measure_clean(representation: Representation | Scored, split: Split, metric_suite: MetricSuite) -> Clean:
    """Rank the users of a split and compute the metrics."""
    ranking = rank(representation, split.users, split.masked, k=metric_suite.length)
    return Clean(ranking, per_user_metrics(ranking, split.relevant, metric_suite.metrics))


def measure_perturbed(
    representation: Representation | Scored, split: Split, metric_suite: MetricSuite, clean: Clean
) -> PerUser:
    """Rank the same users again, compute the metrics and compare the lists with the clean ones."""
    ranking = rank(representation, split.users, split.masked, k=metric_suite.length)
    values = per_user_metrics(ranking, split.relevant, metric_suite.metrics)
    return values | per_user_stability(clean.ranking, ranking, metric_suite.stability)


def short_lists(clean: Clean) -> str | None:
    """Return a warning on users with fewer items than the list length, or None."""
    lengths, wanted = clean.ranking.lengths, clean.ranking.items.shape[1]
    short = int((lengths < wanted).sum())
    if not short:
        return None
    return (
        f"{short:,} of {len(lengths):,} users have fewer than {wanted} items left to recommend (at least"
        f" {lengths.min()}); their lists are shorter"
    )


def undisturbed(names: Sequence[str], n_users: int) -> PerUser:
    """Return the stability metrics of identical lists: 0 for "changed", 1 for the others."""
    return {name: np.zeros(n_users) if name.startswith("changed") else np.ones(n_users) for name in names}


def stack(draws: list[PerUser]) -> dict[str, NDArray[np.float64]]:
    """Stack per-user metrics of several draws into metric -> float64 [n_draws, n]."""
    return {name: np.stack([draw[name] for draw in draws]) for name in draws[0]}
