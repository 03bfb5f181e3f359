"""Run the sharpness audit: the same triples for every subject, one subject after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from robustrec.audits.noise.measure import TRAINING_ONLY
from robustrec.audits.plan import Plan
from robustrec.audits.quality import Clean
from robustrec.audits.results import Audited, AuditResults, Work
from robustrec.audits.sharpness.along_edits import edit_shifts, measure_edits
from robustrec.audits.sharpness.audit import SharpnessTask, measure_inputs, task_of
from robustrec.audits.sharpness.config import EditLandscapes, SharpnessAudit
from robustrec.audits.sharpness.parameters import measure_parameters
from robustrec.audits.sharpness.relation import relations
from robustrec.audits.sharpness.rows import AUDIT, EDITS, PARAMETERS, RowLabels
from robustrec.audits.tasks import Task, TaskOutput
from robustrec.curvature.products import derivatives
from robustrec.curvature.triples import ScoredPairs, Triples, draw_triples, pairs_of
from robustrec.errors import RobustrecError, one_line
from robustrec.models.own import attributed_to
from robustrec.results.findings import AuditStatus
from robustrec.runs.editable import not_editable
from robustrec.runs.trained import TrainedSubject
from robustrec.runs.treatments import has_user_edits

SCORES_ONLY = "a scoring function has no derivatives"


def tasks_of(audit: SharpnessAudit, plan: Plan) -> list[Task]:
    """Return a task for each subject."""
    stored = audit.edits is None or not has_user_edits(audit.edits.edits)
    return [
        Task(AUDIT, spec.label, {"subject": place}, stored=stored, here=audit.edits is not None)
        for place, spec in enumerate(plan.specs)
    ]


def run_task(audit: SharpnessAudit, task: Task, subjects: Audited, work: Work, output: TaskOutput) -> None:
    """Measure one subject, on the same triples as every other; a status for its features and for its parameters.

    If it fails, its earlier findings stay, with the error.
    """
    pair = next((each for each in subjects if each[0].spec == work.plan.specs[task.block["subject"]]), None)
    if pair is None:
        return
    prepared, seed = work.context.prepared, work.context.seed
    problem, device = prepared.problem, prepared.device
    triples = draw_triples(problem.edges, problem.n_items, audit.triples, seed)
    pairs = pairs_of(triples, problem.n_users, problem.n_items).to(device)
    count = audit.parameters.training_triples if audit.parameters else 0
    batch = Triples(*(ids[:count].to(device) for ids in triples))
    measured, statuses = _audited(audit, pair, pairs, batch, work)
    work.results.statuses += statuses
    output.state["exhibits"] = len(work.results.exhibits)
    if audit.edits and measured and pair[0].scored_tables:
        work.results.statuses += _edited(audit.edits, measured, work)


def finish(audit: SharpnessAudit, done: Iterable[tuple[Task, TaskOutput]], subjects: Audited, work: Work) -> None:
    """Put the findings together; with parameters, sharpness is correlated with every drift of the run so far."""
    results, edited = work.results, AuditResults()
    for _, output in done:
        own, count = output.results, output.state.get("exhibits", 0)
        # Edits come after all subjects.
        edited.exhibits += own.exhibits[count:]
        edited.statuses += [each for each in own.statuses if each.audit == EDITS]
        own.exhibits[count:] = []
        own.statuses[:] = [each for each in own.statuses if each.audit != EDITS]
        results.add(own)
        work.context.costs.add(output.costs)
    results.add(edited)
    if audit.parameters:
        results.relations += relations(results.findings, seed=work.context.seed)


def _audited(
    audit: SharpnessAudit, pair: tuple[TrainedSubject, Clean], pairs: ScoredPairs, batch: Triples, work: Work
) -> tuple[SharpnessTask | None, list[AuditStatus]]:
    subject, own = pair[0], audit.parameters
    names = (AUDIT, PARAMETERS) if own else (AUDIT,)
    if subject.model is None:
        message = f"{subject.spec.model}: {SCORES_ONLY}"
        return None, [_status(name, subject, "not_applicable", message) for name in names]
    labels = RowLabels(subject.subject, work.intervals)
    try:
        with attributed_to(subject.spec.model, "represent"), derivatives("second"):
            task = task_of(audit, pair, pairs, labels, work.context, work.results)
    except RobustrecError as error:
        return None, [_status(name, subject, "error", one_line(error)) for name in names]
    statuses = []
    try:
        message = f"{subject.spec.model}: {TRAINING_ONLY}"
        if subject.scored_tables:
            with attributed_to(subject.spec.model, "represent"), derivatives("second"):
                message = measure_inputs(task)
        statuses.append(_status(AUDIT, subject, "not_applicable" if message else "ok", message))
    except RobustrecError as error:
        statuses.append(_status(AUDIT, subject, "error", one_line(error)))
    if own:
        try:
            with attributed_to(subject.spec.model, "represent"), derivatives("second"):
                measure_parameters(task, own, batch)
            statuses.append(_status(PARAMETERS, subject, "ok", ""))
        except RobustrecError as error:
            statuses.append(_status(PARAMETERS, subject, "error", one_line(error)))
    return task, statuses


def _edited(asked: EditLandscapes, task: SharpnessTask, work: Work) -> list[AuditStatus]:
    """Measure the loss along merchant edits, which are encoded once for all subjects."""
    reason = not_editable(work.plan.dataset, work.plan.encoder, work.plan.settings.encoder)
    status: Literal["ok", "error", "not_applicable"] = "not_applicable" if reason else "ok"
    if not reason:
        try:
            measure_edits(task, asked, work.once("edits of sharpness", lambda: edit_shifts(asked, work)))
        except RobustrecError as error:
            status, reason = "error", one_line(error)
    return [_status(EDITS, task.subject, status, reason)]


def _status(
    name: str, subject: TrainedSubject, status: Literal["ok", "error", "not_applicable"], message: str
) -> AuditStatus:
    return AuditStatus(audit=name, subject=subject.subject, status=status, message=message)
