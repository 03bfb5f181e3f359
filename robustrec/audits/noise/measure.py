"""The tasks of the noise audit, and its results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from robustrec.audits.context import AuditContext
from robustrec.audits.frozen_graphs import FROZEN_ALONE, frozen_alone
from robustrec.audits.noise.audit import (
    Measured,
    break_point_row,
    measure_condition,
    measure_trained,
    snr_rows,
    touched,
)
from robustrec.audits.noise.condition import (
    NoiseCondition,
    add_noise,
    conditions_of,
    refuse_lost_noise,
    share_lost,
    training_conditions_of,
)
from robustrec.audits.noise.config import NoiseAudit
from robustrec.audits.plan import Plan
from robustrec.audits.quality import Clean
from robustrec.audits.results import Audited, Work, references
from robustrec.audits.rows import difference_rows, drift_rows
from robustrec.audits.tasks import Task, TaskOutput, merged
from robustrec.results.arrays import array_key
from robustrec.results.findings import AuditStatus
from robustrec.runs.store import run_key, stored_run
from robustrec.runs.subjects import obtain_subject
from robustrec.runs.trained import TrainedSubject

AUDIT, BREAK = "noise", "break point"
TRAINING_ONLY = "the features affect training only and have no effect on scores, so noise at inference changes nothing"
NOT_REACHED = "no noise of the audit changes an input of the model"
# Share of unchanged entries from which on a reader is warned.
PARTLY_LOST = 0.01
NOT_RETRAINED = "noise in training: not applicable, because robustrec did not train the subject"


def tasks_of(audit: NoiseAudit, plan: Plan) -> list[Task]:
    """Return a task for each condition at inference and in training, and for the break point of each subject."""
    parts = (("condition", conditions_of(audit)), ("training", training_conditions_of(audit)))
    return [
        *(
            Task(AUDIT, each.label, {"part": part, "place": place})
            for part, found in parts
            for place, each in enumerate(found)
        ),
        *(
            Task(AUDIT, f"break point of {spec.label}", {"part": BREAK, "subject": place})
            for place, spec in enumerate(plan.specs)
            if audit.break_point
        ),
    ]


def run_task(audit: NoiseAudit, task: Task, subjects: Audited, work: Work, output: TaskOutput) -> None:
    """Measure one condition on all subjects under the same draws, or the break point of one subject."""
    plan, context = work.plan, work.context
    if task.block["part"] == "condition":
        condition = conditions_of(audit)[task.block["place"]]
        chosen = [pair for pair in subjects if touched(pair[0], condition)]
        measured = measure_condition(chosen, condition, audit.draws, context) if chosen else []
        _record(chosen, measured, condition, work)
        if condition.amount:
            output.state["moved"] = {
                subject.subject.label: each.moved for (subject, _), each in zip(chosen, measured, strict=True)
            }
    elif task.block["part"] == "training":
        assert audit.training is not None
        condition, draws = training_conditions_of(audit)[task.block["place"]], audit.training.draws
        trainable = [pair for pair in subjects if pair[0].spec.can_train]
        measured = [
            measure_trained(subject, clean, _Retrain(subject, plan, context), condition, draws, context)
            for subject, clean in trainable
        ]
        _record(trainable, measured, condition, work)
    elif audit.break_point:
        work.results.findings += [
            break_point_row(subject, clean, audit.break_point, context)
            for subject, clean in subjects
            if subject.scored_tables and subject.spec == plan.specs[task.block["subject"]]
        ]


def finish(audit: NoiseAudit, done: Iterable[tuple[Task, TaskOutput]], subjects: Audited, work: Work) -> None:
    """Put the findings together, and record a status for each subject."""
    results, error = work.results, ""
    before, place = len(results.findings), len(results.warnings)
    moved: dict[str, bool] = {}
    for task, output in merged(done, work):
        error = output.error
        for label, each in output.state.get("moved", {}).items():
            moved[label] = moved.get(label, False) or each
        if task.block["part"] == "condition":
            place = len(results.warnings)
    if error:
        del results.findings[before:]  # a part of the table must not pass for the whole
        results.statuses += [
            AuditStatus(audit=AUDIT, subject=subject.subject, status="error", message=error) for subject, _ in subjects
        ]
        return
    vacuous = {subject.subject for subject, _ in subjects if _vacuous(audit, subject)}
    kept = [row for row in results.findings[before:] if row.subject not in vacuous]
    results.findings[before:] = kept
    for subject in vacuous:
        moved.pop(subject.label, None)
    results.warnings[place:place] = [
        f"{label}: no noise of the audit changed any list; a drift of exactly 0 shows only that this noise is too small"
        " to reorder two items"
        for label, each in moved.items()
        if not each
    ]
    results.statuses += [
        AuditStatus(
            audit=AUDIT,
            subject=subject.subject,
            status="not_applicable",
            message=f"{subject.spec.model}: {FROZEN_ALONE}",
        )
        if subject.subject in vacuous
        else _noise_status(audit, subject)
        for subject, _ in subjects
    ]


def _vacuous(audit: NoiseAudit, subject: TrainedSubject) -> bool:
    """Return whether every condition of the audit keeps the only way by which features reach the scores."""
    graphs = {"frozen" if each.frozen else "rebuilt" for each in conditions_of(audit) if each.amount}
    return audit.training is None and not audit.break_point and frozen_alone(graphs, subject)


def _noise_status(audit: NoiseAudit, subject: TrainedSubject) -> AuditStatus:
    """Return the status of the noise audit of a subject."""
    retrained = audit.training is not None and subject.spec.can_train
    left_out = [] if subject.scored_tables else [f"{subject.spec.model}: {TRAINING_ONLY}"]
    if audit.training is not None and not retrained:
        left_out.append(NOT_RETRAINED)
    reached = any(touched(subject, condition) for condition in conditions_of(audit))
    if subject.scored_tables and conditions_of(audit) and not reached:
        left_out.append(f"{subject.spec.model}: {NOT_REACHED}")
    measured = reached or bool(subject.scored_tables and audit.break_point) or retrained
    status: Literal["ok", "not_applicable"] = "ok" if measured else "not_applicable"
    return AuditStatus(audit="noise", subject=subject.subject, status=status, message="; ".join(left_out))


@dataclass(frozen=True)
class _Retrain:
    """Train a subject again, on features with one draw of the noise."""

    subject: TrainedSubject
    plan: Plan
    context: AuditContext

    def __call__(self, condition: NoiseCondition, draw: int) -> TrainedSubject:
        tables = self.context.prepared.tables
        noise = self.context.noise.of(tables, seed=self.context.seed, draw=draw)
        noisy = add_noise(tables, noise, condition)
        refuse_lost_noise(share_lost(tables, noisy, condition, self.subject.tables), condition)
        name = f"{condition.label} seed {self.context.seed} draw {draw}"
        spec = replace(self.subject.spec, training_noise=name, checkpoint=None)
        if not stored_run(self.plan.home, run_key(spec, self.context.prepared)):
            self.context.costs.trainings += 1
        return obtain_subject(
            spec,
            self.context.prepared,
            home=self.plan.home,
            tables=noisy,
            progress=self.context.progress,
        )


def _record(
    subjects: list[tuple[TrainedSubject, Clean]],
    measured: list[Measured],
    condition: NoiseCondition,
    work: Work,
) -> None:
    plan, intervals, results, where = work.plan, work.intervals, work.results, condition.condition
    lost = max((each.lost for each in measured), default=0.0)
    if lost >= PARTLY_LOST:
        results.warnings.append(
            f"noise {condition.label}: float32 rounding leaves up to {lost:.0%} of a modality's feature entries"
            " unchanged; use noise relative to the features"
        )
    for (subject, _), each in zip(subjects, measured, strict=True):
        results.findings += snr_rows(subject, condition)
        results.findings += drift_rows(
            subject.subject, "noise", where, each.clean, each.perturbed, intervals, idle=condition.idle
        )
        for metric, values in each.perturbed.items():
            results.keep(array_key(subject.subject, "noise", where, metric), values)
    for place, other in references(plan, subjects):
        results.findings += difference_rows(
            subjects[place][0].subject,
            str(plan.suite.compare_with),
            "noise",
            where,
            (measured[place].clean, measured[place].perturbed),
            (measured[other].clean, measured[other].perturbed),
            intervals,
            idle=condition.idle,
        )
