"""Rank the users of a subject and compute the metrics of their lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.item_groups import ItemGroups
from robustrec.audits.strata import Stratum, strata_of
from robustrec.evaluation.beyond import Catalogue
from robustrec.evaluation.kinds import BEYOND, STABILITY, VALUE, kind_of, parse_metric
from robustrec.evaluation.metrics import per_user_metrics
from robustrec.evaluation.ranking import Ranking, rank
from robustrec.evaluation.stability import per_user_stability
from robustrec.models.contract import Representation, Scored
from robustrec.runs.prepared import Prepared, Split

PerUser = dict[str, NDArray[np.float64]]
"""Metric name -> float64 [n], one value an evaluated user."""


@dataclass(frozen=True)
class MetricSuite:
    """Metrics of every list.

    Attributes:
        metrics: quality metrics, "ndcg@20".
        stability: measures of two lists of one user, "rbo@20".
        catalogue: what metrics other than those of relevant items require.
        strata: test items by their training interactions; each adds its own metrics of relevant items.
        groups: groups of items whose exposure is measured.
    """

    metrics: tuple[str, ...]
    stability: tuple[str, ...]
    catalogue: Catalogue | None = None
    strata: tuple[Stratum, ...] = ()
    groups: ItemGroups | None = None

    @property
    def length(self) -> int:
        """Longest list length of the metrics."""
        return max(parse_metric(name).k for name in (*self.metrics, *self.stability))

    def values(self, ranking: Ranking, split: Split, clean: Ranking | None = None) -> PerUser:
        """Return the metrics of lists, and with clean lists of the same users also how much both agree."""
        found = per_user_metrics(ranking, split.wanted, self.metrics, self.catalogue)
        for stratum in self.strata:
            found |= stratum.values(ranking, self.metrics)
        if self.groups is not None:
            found |= self.groups.values(ranking.items)
        return found if clean is None else found | per_user_stability(clean, ranking, self.stability)


def metric_suite_of(
    metrics: Sequence[str],
    stability: Sequence[str],
    prepared: Prepared,
    values: NDArray[np.float64] | None = None,
) -> MetricSuite:
    """Return the metrics of a suite that can be measured on prepared data.

    Metrics of item features are left out where no model of the run reads any. What belongs to all lists together
    also needs to know how many lists changed: its interval is that of a rare change where they are few.
    """
    kinds = {name: BEYOND.get(kind_of(name)) for name in metrics}
    of_values = any(kind_of(name) in VALUE for name in metrics)
    chosen = [name for name, kind in kinds.items() if not (kind and kind.features and not prepared.tables)]
    changed = [changed_lists(name) for name, kind in kinds.items() if kind and kind.of_all]
    catalogue = catalogue_of(prepared, values) if of_values or any(kinds[name] for name in chosen) else None
    return MetricSuite(tuple(chosen), tuple(dict.fromkeys([*stability, *changed])), catalogue, strata_of(prepared))


def changed_lists(metric: str) -> str:
    """Return the metric of how many lists changed that goes with a metric of all lists: "changed@20"."""
    return f"changed@{parse_metric(metric).k}"


def catalogue_of(prepared: Prepared, values: NDArray[np.float64] | None = None) -> Catalogue:
    """Return the training popularity of the items, the clean features that models of the run read, and the values."""
    positives = prepared.positives
    users, items = (each.cpu().numpy() for each in (positives.users, positives.items))
    trained = np.bincount(items, minlength=prepared.problem.n_items)
    tables = {name: table.cpu().numpy() for name, table in prepared.tables.items()}
    return Catalogue(trained, len(np.unique(users)), tables, values)


@dataclass(frozen=True)
class Clean:
    """A subject's unperturbed lists and their per-user metrics."""

    ranking: Ranking
    per_user: PerUser


def measure_clean(representation: Representation | Scored, split: Split, metric_suite: MetricSuite) -> Clean:
    """Rank the users of a split and compute the metrics."""
    ranking = rank(representation, split.users, split.mask, k=metric_suite.length)
    return Clean(ranking, metric_suite.values(ranking, split))


def measure_perturbed(
    representation: Representation | Scored, split: Split, metric_suite: MetricSuite, clean: Clean
) -> PerUser:
    """Rank the same users again, compute the metrics and compare the lists with the clean ones."""
    ranking = rank(representation, split.users, split.mask, k=metric_suite.length)
    return metric_suite.values(ranking, split, clean.ranking)


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
    """Return the stability metrics of identical lists."""
    return {name: np.full(n_users, STABILITY[kind_of(name)].equal) for name in names}


def stack(draws: list[PerUser]) -> dict[str, NDArray[np.float64]]:
    """Stack per-user metrics of several draws into metric -> float64 [n_draws, n]."""
    return {name: np.stack([draw[name] for draw in draws]) for name in draws[0]}
