"""Run the sharpness audit: the same triples for every subject, one subject after the other."""

from __future__ import annotations

from typing import Literal

from robustrec.audits.flatness import relations
from robustrec.audits.ledger import Audited, Work
from robustrec.audits.measure import Clean
from robustrec.audits.noise_runner import TRAINING_ONLY
from robustrec.audits.sharpness_audit import measure_inputs, sitting_of
from robustrec.audits.sharpness_config import SharpnessAudit
from robustrec.audits.sharpness_parameters import measure_parameters
from robustrec.audits.sharpness_rows import AUDIT, PARAMETERS, Whose
from robustrec.curvature.products import derivatives
from robustrec.curvature.triples import Pairs, Triples, draw_triples, pairs_of
from robustrec.errors import RobustrecError, one_line
from robustrec.models.own import blamed
from robustrec.reporting.findings import AuditStatus
from robustrec.runs.trained import TrainedSubject

SCORES_ONLY = "only a function scores: it has no derivatives"


def run_sharpness(audit: SharpnessAudit, subjects: Audited, work: Work) -> None:
    """Run the sharpness audit over its subjects; each ends with a status for its features, and for its parameters.

    Costs are counted as work is done; what a subject had measured when it failed stays, with the error beside it. At
    the end flatness is held against every drift that this audit and the earlier ones of the suite have measured.
    """
    if not subjects:
        return
    prepared, seed = work.bench.prepared, work.bench.seed
    problem, device = prepared.problem, prepared.device
    triples = draw_triples(problem.edges, problem.n_items, audit.triples, seed)
    pairs = pairs_of(triples, problem.n_users, problem.n_items).to(device)
    count = audit.parameters.training_triples if audit.parameters else 0
    batch = Triples(*(ids[:count].to(device) for ids in triples))
    for pair in subjects:
        work.ledger.statuses += _audited(audit, pair, pairs, batch, work)
    work.ledger.relations += relations(work.ledger.findings, seed=seed)


def _audited(
    audit: SharpnessAudit, pair: tuple[TrainedSubject, Clean], pairs: Pairs, batch: Triples, work: Work
) -> list[AuditStatus]:
    subject, own = pair[0], audit.parameters
    names = (AUDIT, PARAMETERS) if own else (AUDIT,)
    if subject.model is None:
        message = f"{subject.spec.model}: {SCORES_ONLY}"
        return [_status(name, subject, "not_applicable", message) for name in names]
    whose = Whose(subject.subject, work.intervals)
    try:
        with blamed(subject.spec.model, "represent"), derivatives("second"):
            sitting = sitting_of(audit, pair, pairs, whose, work.bench, work.ledger)
    except RobustrecError as error:
        return [_status(name, subject, "error", one_line(error)) for name in names]
    statuses = []
    try:
        message = f"{subject.spec.model}: {TRAINING_ONLY}"
        if subject.scored_tables:
            with blamed(subject.spec.model, "represent"), derivatives("second"):
                message = measure_inputs(sitting)
        statuses.append(_status(AUDIT, subject, "not_applicable" if message else "ok", message))
    except RobustrecError as error:
        statuses.append(_status(AUDIT, subject, "error", one_line(error)))
    if own:
        try:
            with blamed(subject.spec.model, "represent"), derivatives("second"):
                measure_parameters(sitting, own, batch)
            statuses.append(_status(PARAMETERS, subject, "ok", ""))
        except RobustrecError as error:
            statuses.append(_status(PARAMETERS, subject, "error", one_line(error)))
    return statuses


def _status(
    name: str, subject: TrainedSubject, status: Literal["ok", "error", "not_applicable"], message: str
) -> AuditStatus:
    return AuditStatus(audit=name, subject=subject.subject, status=status, message=message)
