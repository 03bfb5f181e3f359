"""The noise audit: drift under the same noise draws for all subjects, noise tolerance, and noise in training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from robustrec.audits.context import AuditContext, with_stability
from robustrec.audits.noise.chunks import NoisyChunks, can_chunk
from robustrec.audits.noise.condition import (
    BreakPoint,
    NoiseCondition,
    add_noise,
    break_point_condition,
    find_break_point,
    refuse_lost_noise,
    share_lost,
    snr_db,
)
from robustrec.audits.noise.config import BreakPointSearch
from robustrec.audits.quality import (
    Clean,
    PerUser,
    measure_perturbed,
    stack,
)
from robustrec.audits.rows import Draws, value_row
from robustrec.evaluation.places import per_user_accuracy
from robustrec.models.contract import Representation, Scored
from robustrec.results.findings import Finding
from robustrec.runs.trained import TrainedSubject
from robustrec.seeds import derive_seed


@dataclass(frozen=True)
class Measured:
    """Per-user arrays of one subject under one condition.

    Attributes:
        clean: metric -> [n]; for stability metrics, the value of identical lists.
        perturbed: metric -> [n_draws, n].
        lost: largest share of a modality's entries that float32 rounding leaves unchanged.
    """

    clean: PerUser
    perturbed: Draws
    lost: float = 0.0

    @property
    def moved(self) -> bool:
        """Return whether any value of any user changed in any draw."""
        return any(bool((values != self.clean[name]).any()) for name, values in self.perturbed.items())


def touched(subject: TrainedSubject, condition: NoiseCondition) -> bool:
    """Return whether a condition changes an input of the subject and is not a duplicate."""
    if condition.frozen and subject.graphs is None:
        return False
    return any(condition.touches(modality) for modality in subject.scored_tables)


def measure_condition(
    subjects: Sequence[tuple[TrainedSubject, Clean]], condition: NoiseCondition, draws: int, context: AuditContext
) -> list[Measured]:
    """Measure several subjects under the same draws of one condition.

    Args:
        subjects: with their clean lists; the condition changes inputs of all of them.
        condition: the noise.
        draws: number of independent draws.
        context: data, metrics, seed.

    Raises:
        RobustrecError: float32 rounding removes the noise.
    """
    collected: list[list[PerUser]] = [[] for _ in subjects]
    lost = 0.0
    read = {name for subject, _ in subjects for name in subject.scored_tables}
    total = draws * len(subjects)
    tables = context.prepared.tables
    if all(subject.by_chunks for subject, _ in subjects) and can_chunk(tables):
        return _by_chunks(subjects, condition, draws, context)
    for draw in range(draws):
        noisy_tables = {name: table for name, table in context.prepared.tables.items() if condition.touches(name)}
        noise = context.noise.of(noisy_tables, seed=context.seed, draw=draw)
        noisy = add_noise(context.prepared.tables, noise, condition)
        if draw == 0:
            lost = refuse_lost_noise(share_lost(context.prepared.tables, noisy, condition, sorted(read)), condition)
        for place, (subject, clean) in enumerate(subjects):
            features = {modality: noisy[modality] for modality in subject.tables}
            representation = subject.represent(features, frozen=condition.frozen)
            collected[place].append(
                measure_perturbed(representation, context.prepared.test, context.metric_suite, clean)
            )
            context.costs.count_lists()
            context.progress(f"noise {condition.label}", draw * len(subjects) + place + 1, total, subject.subject.label)
    return [
        Measured(with_stability(clean, context.metric_suite), stack(each), lost)
        for (_, clean), each in zip(subjects, collected, strict=True)
    ]


def _by_chunks(
    subjects: Sequence[tuple[TrainedSubject, Clean]], condition: NoiseCondition, draws: int, context: AuditContext
) -> list[Measured]:
    """Measure as `measure_condition` does, with the same noise, for subjects that read features by chunks of rows."""
    found = []
    for subject, clean in subjects:
        lost, collected = 0.0, []
        for draw in range(draws):
            noisy = NoisyChunks(subject.tables, condition, context.seed, draw)
            representation = subject.represent_chunks(noisy)
            if draw == 0:
                lost = refuse_lost_noise(noisy.lost(subject.scored_tables), condition)
            collected.append(measure_perturbed(representation, context.prepared.test, context.metric_suite, clean))
            context.costs.count_lists()
            context.progress(f"noise {condition.label}", draw + 1, draws, subject.subject.label)
        found.append(Measured(with_stability(clean, context.metric_suite), stack(collected), lost))
    return found


def measure_trained(
    subject: TrainedSubject,
    clean: Clean,
    retrain: Callable[[NoiseCondition, int], TrainedSubject],
    condition: NoiseCondition,
    draws: int,
    context: AuditContext,
) -> Measured:
    """Compare a subject with its retraining on noisy features, with one training per draw."""
    collected = []
    for draw in range(draws):
        noisy = retrain(condition, draw)
        collected.append(measure_perturbed(noisy.represent(), context.prepared.test, context.metric_suite, clean))
        context.costs.count_lists()
        context.progress(f"noise {condition.label}", draw + 1, draws, subject.subject.label)
    return Measured(with_stability(clean, context.metric_suite), stack(collected))


def snr_rows(subject: TrainedSubject, condition: NoiseCondition) -> list[Finding]:
    """Return the signal-to-noise ratio of each modality with noise; none if it is infinite."""
    return [
        value_row(
            subject.subject,
            "noise",
            condition.condition,
            f"snr_db_{modality}",
            snr_db(table, condition),
            "dB",
            modality=modality,
        )
        for modality, table in subject.tables.items()
        if condition.touches(modality) and math.isfinite(snr_db(table, condition))
    ]


def break_point_row(subject: TrainedSubject, clean: Clean, config: BreakPointSearch, context: AuditContext) -> Finding:
    """Search for the smallest σ² on all modalities with more than the allowed loss.

    The draws are the same at every variance (only their scale changes), and their mean decides.
    """
    metric, split = config.metric, context.prepared.test
    before = float(clean.per_user[metric].mean())
    if before == 0.0:
        return _break_point_finding(subject, config, BreakPoint(None, None, 0), len(clean.ranking.users))
    seed = derive_seed(context.seed, "break point")
    trials = 0

    def breaches(sigma2: float) -> bool:
        nonlocal trials
        after = 0.0
        for draw in range(config.draws):
            representation, shares = _represented(subject, NoiseCondition(sigma2), seed, draw, context)
            if sigma2 == config.sigma2_max:
                refuse_lost_noise(shares(), NoiseCondition(sigma2))
            found = per_user_accuracy(representation, split.users, split.mask, split.wanted, [metric])
            after += float(found[metric].mean()) / config.draws
            context.costs.count_lists()
        trials += 1
        context.progress("break point", trials, trials + config.steps, f"{subject.subject.label} σ²={sigma2:.1e}")
        return (before - after) / before > config.max_relative_drop

    found = find_break_point(breaches, low=config.sigma2_min, high=config.sigma2_max, steps=config.steps)
    return _break_point_finding(subject, config, found, len(clean.ranking.users))


def _represented(
    subject: TrainedSubject, condition: NoiseCondition, seed: int, draw: int, context: AuditContext
) -> tuple[Representation | Scored, Callable[[], dict[str, float]]]:
    """Return a subject's representation of noisy features, and what gives the shares of entries left unchanged."""
    if subject.by_chunks and can_chunk(subject.tables):
        chunks = NoisyChunks(subject.tables, condition, seed, draw)
        return subject.represent_chunks(chunks), lambda: chunks.lost(subject.scored_tables)
    noise = context.noise.of(subject.tables, seed=seed, draw=draw)
    noisy = add_noise(subject.tables, noise, condition)
    return subject.represent(noisy), lambda: share_lost(subject.tables, noisy, condition, subject.scored_tables)


def _break_point_finding(subject: TrainedSubject, config: BreakPointSearch, found: BreakPoint, n_users: int) -> Finding:
    both = found.safe is not None and found.broken is not None
    if both:
        note = "bracket of the search, not a confidence interval"
    elif found.safe is not None:
        note = "not reached at the largest σ² of the search"
    elif found.broken is not None:
        note = "below the smallest σ² of the search"
    else:
        note = f"not defined, because the clean {config.metric} is 0"
    return Finding(
        subject=subject.subject,
        audit="noise",
        condition=break_point_condition(config),
        metric="sigma2",
        quantity="value",
        clean=found.broken if both else None,
        ci_low=found.safe,
        ci_high=found.broken,
        interval="bracket",
        n_users=n_users,
        n_draws=config.draws,
        unit="variance",
        note=note,
    )
