"""Run the noise audit and put what it measured into the ledger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from robustrec.audits.ledger import Audited, Work, array_name, references
from robustrec.audits.measure import Clean
from robustrec.audits.noise import NoiseCondition, add_noise, standard_noise
from robustrec.audits.noise_audit import (
    Bench,
    Measured,
    break_point_row,
    conditions_of,
    measure_condition,
    measure_trained,
    snr_rows,
    touched,
    training_conditions_of,
)
from robustrec.audits.noise_config import NoiseAudit
from robustrec.audits.plan import Plan
from robustrec.audits.rows import difference_rows, drift_rows
from robustrec.reporting.findings import AuditStatus
from robustrec.runs.store import run_key, stored_run
from robustrec.runs.subjects import obtain_subject
from robustrec.runs.trained import TrainedSubject

TRAINING_ONLY = "features shape its training only, its scores do not follow them: noise at inference changes nothing"
NOT_RETRAINED = "noise in training: not applicable, the subject is not trained here"


def run_noise(audit: NoiseAudit, subjects: Audited, work: Work) -> None:
    """Run the noise audit over its subjects: at inference, in training, and the search of the break point."""
    plan, bench, ledger = work.plan, work.bench, work.ledger
    for condition in conditions_of(audit):
        chosen = [pair for pair in subjects if touched(pair[0], condition)]
        measured = measure_condition(chosen, condition, audit.draws, bench) if chosen else []
        _record(chosen, measured, condition, work)
    for condition in training_conditions_of(audit):
        draws = audit.training.draws if audit.training else 0
        trainable = [pair for pair in subjects if pair[0].spec.can_train]
        measured = [
            measure_trained(subject, clean, _Retrain(subject, plan, bench), condition, draws, bench)
            for subject, clean in trainable
        ]
        _record(trainable, measured, condition, work)
    if audit.break_point:
        served = [pair for pair in subjects if pair[0].scored_tables]
        ledger.findings += [break_point_row(subject, clean, audit.break_point, bench) for subject, clean in served]
    ledger.statuses += [_noise_status(audit, subject) for subject, _ in subjects]


def _noise_status(audit: NoiseAudit, subject: TrainedSubject) -> AuditStatus:
    """Return how the noise audit of a subject ended, and what of it had nothing to measure there."""
    retrained = audit.training is not None and subject.spec.can_train
    left_out = [] if subject.scored_tables else [f"{subject.spec.model}: {TRAINING_ONLY}"]
    if audit.training is not None and not retrained:
        left_out.append(NOT_RETRAINED)
    measured = bool(subject.scored_tables) or retrained
    status: Literal["ok", "not_applicable"] = "ok" if measured else "not_applicable"
    return AuditStatus(audit="noise", subject=subject.subject, status=status, message="; ".join(left_out))


@dataclass(frozen=True)
class _Retrain:
    """Train a subject once more, on features with one draw of a condition's noise."""

    subject: TrainedSubject
    plan: Plan
    bench: Bench

    def __call__(self, condition: NoiseCondition, draw: int) -> TrainedSubject:
        tables = self.bench.prepared.tables
        noise = standard_noise(tables, seed=self.bench.seed, draw=draw)
        name = f"{condition.label} seed {self.bench.seed} draw {draw}"
        spec = replace(self.subject.spec, training_noise=name, checkpoint=None)
        if not stored_run(self.plan.home, run_key(spec, self.bench.prepared)):
            self.bench.costs.trainings += 1
        return obtain_subject(
            spec,
            self.bench.prepared,
            home=self.plan.home,
            tables=add_noise(tables, noise, condition),
            progress=self.bench.progress,
        )


def _record(
    subjects: list[tuple[TrainedSubject, Clean]],
    measured: list[Measured],
    condition: NoiseCondition,
    work: Work,
) -> None:
    plan, intervals, ledger = work.plan, work.intervals, work.ledger
    for (subject, _), each in zip(subjects, measured, strict=True):
        ledger.findings += snr_rows(subject, condition)
        ledger.findings += drift_rows(subject.subject, "noise", condition.label, each.clean, each.perturbed, intervals)
        for metric, values in each.perturbed.items():
            ledger.keep(array_name(subject, "noise", condition.label, metric), values)
    for place, other in references(plan, subjects):
        ledger.findings += difference_rows(
            subjects[place][0].subject,
            str(plan.suite.compare_with),
            "noise",
            condition.label,
            (measured[place].clean, measured[place].perturbed),
            (measured[other].clean, measured[other].perturbed),
            intervals,
        )
