"""Train every strategy at a budget over several seeds; measure quality, drift, list stability and sharpness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.context import AuditContext, clean_of
from robustrec.audits.noise.audit import measure_condition
from robustrec.audits.noise.condition import NoiseCondition
from robustrec.audits.quality import MetricSuite
from robustrec.audits.reach.run import require_reach, unreached
from robustrec.comparison.budget import Budget, at_budget, gradient_evaluations
from robustrec.comparison.content import measure_content
from robustrec.comparison.edits import EditedCatalog, measure_edits
from robustrec.comparison.measure import Measure
from robustrec.comparison.result import Training
from robustrec.feature_names import with_filter
from robustrec.progress import Progress, silent
from robustrec.runs.distinct import Identity, identity_of
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec, reads_features
from robustrec.runs.subjects import obtain_subject
from robustrec.runs.trained import TrainedSubject
from robustrec.training.config import FEWEST_PATIENCE

Floats = NDArray[np.float64]
SEED, DRAW, USER = "seed", "draw", "user"

FACTORS = {1: (SEED,), 2: (SEED, USER), 3: (SEED, DRAW, USER)}
"""Axes of a measure's table -> the random factors they stand for."""

PER_DRAW = (SEED, DRAW)
"""The factors of what is a mean over the edited items of a draw: other users are concerned in every draw."""

OVERLAP = "overlap@20"
STABILITY = (OVERLAP, "rbo@20")
"""List stability metrics."""


@dataclass(frozen=True)
class Measures:
    """Measures of every trained subject.

    Attributes:
        metric: quality, "ndcg@20".
        conditions: noise at inference, whose drift of the metric is measured.
        draws: of each condition; the same for every subject.
        flatness: subject -> named flatness measures, each a number.
        stability: measures of the lists with noise or edits against those without.
        edits: merchant edits, encoded.
    """

    metric: str
    conditions: tuple[NoiseCondition, ...]
    draws: int
    flatness: Callable[[TrainedSubject], Mapping[Measure, float]]
    stability: tuple[str, ...] = STABILITY
    edits: EditedCatalog = field(default_factory=EditedCatalog)


class StrategyMeasured(NamedTuple):
    """Measurements of one model and strategy at one budget, over its training seeds.

    Attributes:
        tables: measure -> [S], [S, U], [S, D, U], or [S, D].
        trainings: one a seed.
        identities: one a seed, what tells it from other subjects.
    """

    tables: dict[Measure, Floats]
    trainings: tuple[Training, ...]
    identities: tuple[Identity, ...]


def measure_strategy(
    specs: Sequence[SubjectSpec],
    budget: Budget,
    epochs: int,
    prepared: Prepared,
    measures: Measures,
    *,
    arm: str,
    home: Path,
    seed: int,
    progress: Progress = silent,
) -> StrategyMeasured:
    """Train missing runs, and measure one model and strategy at one budget.

    Args:
        specs: the subject at each training seed.
        budget: what is held equal.
        epochs: of plain training.
        prepared: data and features.
        measures: what is measured.
        arm: its name, see `arms_of`.
        home: the folder of the run store.
        seed: of the noise.
        progress: callback after each epoch.
    """
    found, trainings, identities = [], [], []
    for spec in specs:
        subject = obtain_subject(at_budget(spec, budget, epochs), prepared, home=home, progress=progress)
        trainings.append(training_of(subject, budget, spec, len(prepared.positives.users), arm))
        identities.append(identity_of(subject))
        found.append(measure_subject(subject, prepared, measures, seed))
    # An edit that leaves a subject's vectors alone is measured on none.
    shared = [name for name in found[0] if all(name in each for each in found)]
    tables = {name: np.stack([each[name] for each in found]) for name in shared}
    return StrategyMeasured(tables, tuple(trainings), tuple(identities))


def training_of(subject: TrainedSubject, budget: Budget, own: SubjectSpec, n_interactions: int, arm: str) -> Training:
    """Return the effort of a training, and whether it ended before early stopping.

    It was cut off if it ended before validation had not improved for `patience` evaluations, and for at least
    `FEWEST_PATIENCE`: a patience of 1 stops training at the first chance fall of validation. At equal budgets, training
    does not use patience, so it is counted afterwards.

    Args:
        subject: trained.
        budget: at which.
        own: the subject as its settings have it, with their patience.
        n_interactions: training interactions.
        arm: name of what is compared, see `arms_of`.
    """
    record, settings = subject.record, own.training
    epochs, best = int(record["epochs"]), int(record["best_epoch"])
    waited = (epochs - best) // settings.evaluate_every
    cut = ""
    if waited < max(settings.patience, FEWEST_PATIENCE):
        cut = f"best epoch {best} of {epochs}, patience {settings.patience}"
        cut += "" if settings.patience >= FEWEST_PATIENCE else f"; at least {FEWEST_PATIENCE} are needed"
    return Training(
        model=own.model,
        budget=budget,
        strategy=arm,
        seed=own.seed,
        epochs=epochs,
        best_epoch=max(best, 1),
        gradients=gradient_evaluations(subject.spec, n_interactions, epochs),
        cut_off=cut,
    )


def measure_subject(
    subject: TrainedSubject, prepared: Prepared, measures: Measures, seed: int
) -> dict[Measure, Floats]:
    """Return a subject's quality [U], drifts and list stability [D, U], and its flatness, each a scalar.

    Raises:
        RobustrecError: perturbations do not reach its lists, before or after it is measured.
    """
    metric = measures.metric
    context = AuditContext(prepared, MetricSuite((metric,), measures.stability), seed)
    clean = clean_of(subject, context)
    check = require_reach(subject, context) if subject.scored_tables else None
    tables = {Measure("quality", metric): clean.per_user[metric]}
    if subject.scored_tables:
        tables |= measure_content(subject, clean, metric, OVERLAP, prepared.test)
    for condition in measures.conditions if subject.scored_tables else ():
        (found,) = measure_condition([(subject, clean)], condition, measures.draws, context)
        where = condition.condition
        tables[Measure("drift", metric, where)] = found.perturbed[metric] - clean.per_user[metric]
        tables |= {Measure("stability", name, where): found.perturbed[name] for name in measures.stability}
    if subject.scored_tables:
        tables |= measure_edits(subject, clean, measures.edits, prepared.test, context.metric_suite)
    if check and (fault := check.after()):
        raise unreached(subject, fault)
    return tables | {each: np.asarray(value, np.float64) for each, value in measures.flatness(subject).items()}


def arms_of(specs: Sequence[SubjectSpec], features: str) -> list[str]:
    """Return the name of what each subject is compared as: its strategy, "sgbd".

    Where the subjects have different filters of their features, those with one are named with it: "sgbd on
    basic+shrink=.7".

    Args:
        specs: the subjects of a comparison.
        features: name of their features without a filter.
    """
    several = len({spec.shrink for spec in specs if reads_features(spec)}) > 1
    filters = [spec.shrink if several else None for spec in specs]
    return [
        f"{spec.strategy_name} on {with_filter(features, each)}" if each else spec.strategy_name
        for spec, each in zip(specs, filters, strict=True)
    ]


def by_arm(specs: Sequence[SubjectSpec], features: str) -> dict[str, dict[str, list[SubjectSpec]]]:
    """Return model -> arm -> the subjects of its seeds, in the order they were named."""
    found: dict[str, dict[str, list[SubjectSpec]]] = {}
    for spec, arm in zip(specs, arms_of(specs, features), strict=True):
        found.setdefault(spec.model, {}).setdefault(arm, []).append(spec)
    return found
