"""Content use: how much of the quality of a subject comes from the content of the items.

A model that ignores the features withstands every edit of them. Every run therefore ranks each subject again with the
features of all items replaced by their mean, and with those of other items. Nothing distinguishes two items by their
content then, so what quality is left does not come from content. Cold items have no training interactions: among them,
only content can put the right one first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from robustrec.audits.fills import exchanged, filled
from robustrec.audits.quality import Clean, MetricSuite, PerUser
from robustrec.audits.results import Work
from robustrec.audits.rows import drift_rows, use_row, value_row, without_draws
from robustrec.audits.values import main_accuracy, overlap_of
from robustrec.datasets.cold_start import trained_items
from robustrec.errors import RobustrecError, one_line
from robustrec.evaluation.kinds import STABILITY, kind_of
from robustrec.evaluation.places import per_user_accuracy
from robustrec.evaluation.ranking import rank
from robustrec.models.contract import Representation, Scored
from robustrec.results.arrays import array_key
from robustrec.results.conditions import ALL, CLEAN_TEST, MEAN_FEATURES, OTHER_FEATURES, Condition, Graphs
from robustrec.results.findings import AMONG_COLD, CONTENT_USE, USE, Finding
from robustrec.runs.prepared import Prepared
from robustrec.runs.trained import TrainedSubject

READS_NONE = "reads no item features"
NO_SCORES = "its features affect training only and have no effect on its scores"
ONLY_SCORES = "robustrec has only its scores and no item features to replace"


def conditions_of(modalities: Sequence[str], *, item_graphs: bool) -> list[Condition]:
    """Return the conditions of a subject, of one evaluation each; the first decides.

    Args:
        modalities: those that its scores depend on.
        item_graphs: whether it has item graphs of the features.
    """

    def mean(modality: str, graphs: Graphs = "rebuilt") -> Condition:
        return Condition(kind="missing", fill="mean", modality=modality, share=1, graphs=graphs)

    found = [MEAN_FEATURES, *([mean(ALL, "frozen")] if item_graphs else [])]
    found += [mean(each) for each in modalities if len(modalities) > 1]
    return [*found, OTHER_FEATURES]


def measure_content_use(subject: TrainedSubject, clean: Clean, work: Work) -> None:
    """Add the findings of content use of a subject to the results, or why it was not measured."""
    reason, value = _unmeasurable(subject)
    metric = main_accuracy(work.plan.suite.metrics)
    if not reason and metric is None:
        reason = "the suite has no metric of relevant items"
    if reason or metric is None:
        # Under the same conditions as other subjects, so that a gate on content use judges these too.
        tables = list(work.context.prepared.tables)
        work.results.findings += [
            _without_numbers(subject, condition, reason, value)
            for condition in conditions_of(tables, item_graphs=False)
        ]
        return
    before = len(work.results.findings)
    try:
        _measured(subject, clean, work, metric)
    except RobustrecError as error:
        del work.results.findings[before:]
        work.results.findings.append(_without_numbers(subject, MEAN_FEATURES, one_line(error), None))


def _unmeasurable(subject: TrainedSubject) -> tuple[str, float | None]:
    """Return why there is nothing to replace, and the content use if it is known all the same; "" if there is."""
    if subject.scored_tables:
        return "", None
    if subject.tables:
        return NO_SCORES, 0.0
    return (READS_NONE, 0.0) if subject.model is not None else (ONLY_SCORES, None)


def _without_numbers(subject: TrainedSubject, condition: Condition, reason: str, value: float | None) -> Finding:
    row = value_row(subject.subject, CONTENT_USE, condition, USE, 0.0, "share", note=reason)
    return row.model_copy(update={"clean": value, "ci_low": value, "ci_high": value})


def _measured(subject: TrainedSubject, clean: Clean, work: Work, metric: str) -> None:
    context = work.context
    overlap, cold = overlap_of(metric), cold_of(context.prepared, context.metric_suite)
    metrics = replace(context.metric_suite, metrics=(metric,), stability=(overlap,), strata=(), groups=None)
    before: PerUser = {metric: clean.per_user[metric], overlap: np.full(len(clean.ranking.users), _equal(overlap))}
    representation: Representation | Scored | None = None
    if cold is not None:
        representation = subject.represent()
        before[f"{metric}_{AMONG_COLD}"] = values = cold.values(representation, metric)
        work.results.keep(array_key(subject.subject, "clean", CLEAN_TEST, f"{metric}_{AMONG_COLD}"), values)
    conditions = conditions_of(list(subject.scored_tables), item_graphs=subject.graphs is not None)
    for number, condition in enumerate(conditions, start=1):
        features = _features(subject, condition, context.seed)
        other = subject.represent(features, frozen=condition.graphs == "frozen")
        split = context.prepared.test
        ranking = rank(other, split.users, split.mask, k=clean.ranking.items.shape[1])
        after = metrics.values(ranking, split, clean.ranking)
        if cold is not None:
            after[f"{metric}_{AMONG_COLD}"] = cold.values(other, metric)
        context.costs.count_lists()
        context.progress("content use", number, len(conditions), subject.subject.label)
        idle = bool((ranking.items == clean.ranking.items).all()) and _equals(other, representation or subject)
        work.results.findings += _rows(subject, condition, before, after, work, metric, idle=idle)
        for name in before:
            work.results.keep(array_key(subject.subject, CONTENT_USE, condition, name), after[name][None, :])


def mean_filled(subject: TrainedSubject) -> dict[str, torch.Tensor]:
    """Return the features of a subject with the rows of all that its scores depend on replaced by their mean."""
    return filled(subject.tables, list(subject.scored_tables), "mean")


def _features(subject: TrainedSubject, condition: Condition, seed: int) -> dict[str, torch.Tensor]:
    assert condition.fill is not None
    chosen = list(subject.scored_tables) if condition.modality == ALL else [str(condition.modality)]
    others = None
    if condition.fill == "other":  # the same for every modality and subject: an item gets all content of another one
        others = exchanged(len(next(iter(subject.tables.values()))), CONTENT_USE, seed=seed)
    return filled(subject.tables, chosen, condition.fill, others=others)


def _rows(
    subject: TrainedSubject,
    condition: Condition,
    before: PerUser,
    after: PerUser,
    work: Work,
    metric: str,
    *,
    idle: bool,
) -> Iterator[Finding]:
    draws = {name: after[name][None, :] for name in before}
    rows = drift_rows(subject.subject, CONTENT_USE, condition, before, draws, work.intervals, idle=idle)
    rows = rows if condition.fill == "other" else [without_draws(row) for row in rows]
    (main,) = (row for row in rows if row.metric == metric)
    yield from rows
    yield use_row(main)


def _equals(other: Representation | Scored, clean: Representation | Scored | TrainedSubject) -> bool:
    """Return whether two representations are the same, so that no list of any user can differ."""
    first = clean.represent() if isinstance(clean, TrainedSubject) else clean
    if isinstance(first, Scored) or isinstance(other, Scored):
        return False
    return torch.equal(first.users, other.users) and torch.equal(first.items, other.items)


def _equal(stability: str) -> float:
    return STABILITY[kind_of(stability)].equal


@dataclass(frozen=True, eq=False)
class ColdItems:
    """Cold items, ranked among themselves for the users with a cold test item.

    Attributes:
        items: int64 [C].
        users: int64 [m].
        relevant: [U, C] their cold test items.
        masked: [U, C] pairs that are never recommended.
    """

    items: NDArray[np.int64]
    users: NDArray[np.int64]
    relevant: csr_array
    masked: csr_array

    def values(self, found: Representation | Scored, metric: str) -> NDArray[np.float64]:
        """Return a metric of the lists of cold items alone, [m]."""
        if isinstance(found, Scored):
            own: Representation | Scored = Scored(
                lambda users: found.score(users)[:, torch.from_numpy(self.items)], found.n_users, len(self.items)
            )
        else:
            own = Representation(found.users, found.items[torch.from_numpy(self.items).to(found.items.device)])
        return per_user_accuracy(own, self.users, self.masked, self.relevant, [metric])[metric]


def cold_of(prepared: Prepared, metric_suite: MetricSuite) -> ColdItems | None:
    """Return the cold items of the data; None where fewer than two test users have one."""
    stratum = next((each for each in metric_suite.strata if each.group == "cold_items"), None)
    if stratum is None:
        return None
    items = np.flatnonzero(~trained_items(prepared.dataset.interactions))
    users = prepared.test.users[stratum.rows]
    relevant = csr_array(csr_array(stratum.relevant)[:, items])
    return ColdItems(items, users, relevant, csr_array(csr_array(prepared.test.masked)[:, items]))
