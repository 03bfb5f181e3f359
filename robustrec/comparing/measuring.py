"""Train every strategy at a budget over several seeds, and measure quality, drift and flatness of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.measure import Yardstick
from robustrec.audits.noise import NoiseCondition
from robustrec.audits.noise_audit import Bench, clean_of, measure_condition
from robustrec.comparing.budget import Budget, at_budget
from robustrec.progress import Progress, silent
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.subjects import obtain_subject
from robustrec.runs.trained import TrainedSubject

Floats = NDArray[np.float64]
SEED, DRAW, USER = "seed", "draw", "user"

FACTORS = {1: (SEED,), 2: (SEED, USER), 3: (SEED, DRAW, USER)}
"""Axes of a measure's table -> the random factors they stand for."""


@dataclass(frozen=True)
class Measures:
    """What is measured on every trained subject.

    Attributes:
        metric: quality, "ndcg@20".
        conditions: noise at inference, whose drift of the metric is measured.
        draws: of each condition; the same for every subject.
        flatness: subject -> named flatness measures, each a number.
    """

    metric: str
    conditions: tuple[NoiseCondition, ...]
    draws: int
    flatness: Callable[[TrainedSubject], Mapping[str, float]]


def drift_name(metric: str, condition: NoiseCondition) -> str:
    """Return the name of a metric's drift under a condition."""
    return f"{metric} drift {condition.label}"


def measure_strategy(
    specs: Iterable[SubjectSpec],
    budget: Budget,
    epochs: int,
    prepared: Prepared,
    measures: Measures,
    *,
    home: Path,
    seed: int,
    progress: Progress = silent,
) -> dict[str, Floats]:
    """Return the tables of one model and strategy at one budget, over its training seeds.

    Args:
        specs: the subject at each training seed.
        budget: what is held equal.
        epochs: of plain training.
        prepared: data and features.
        measures: what is measured.
        home: the folder of the run store.
        seed: of the noise.
        progress: told after each epoch.

    Returns:
        Measure -> [S], [S, U] or [S, D, U].
    """
    found: list[dict[str, Floats]] = []
    for spec in specs:
        subject = obtain_subject(at_budget(spec, budget, epochs), prepared, home=home, progress=progress)
        found.append(measure_subject(subject, prepared, measures, seed))
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def measure_subject(subject: TrainedSubject, prepared: Prepared, measures: Measures, seed: int) -> dict[str, Floats]:
    """Return a subject's quality [U], its drifts [D, U] and its flatness, each a scalar."""
    metric = measures.metric
    bench = Bench(prepared, Yardstick((metric,), ()), seed)
    clean = clean_of(subject, bench)
    tables: dict[str, Floats] = {metric: clean.per_user[metric]}
    for condition in measures.conditions if subject.scored_tables else ():
        (found,) = measure_condition([(subject, clean)], condition, measures.draws, bench)
        tables[drift_name(metric, condition)] = found.perturbed[metric] - clean.per_user[metric]
    return tables | {name: np.asarray(value, np.float64) for name, value in measures.flatness(subject).items()}


def by_strategy(specs: Sequence[SubjectSpec]) -> dict[str, dict[str, list[SubjectSpec]]]:
    """Return model -> strategy -> the subjects of its seeds, in the order they were named."""
    found: dict[str, dict[str, list[SubjectSpec]]] = {}
    for spec in specs:
        found.setdefault(spec.model, {}).setdefault(spec.strategy_name, []).append(spec)
    return found
