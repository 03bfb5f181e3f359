"""Run the reach check of a subject before and after its audits, and record its status and warnings."""

from __future__ import annotations

from torch import Tensor

from robustrec.audits.context import AuditContext
from robustrec.audits.reach.check import Ranked, Reach, ReachCheck
from robustrec.audits.reach.graphs import check_item_graphs
from robustrec.audits.results import Work
from robustrec.errors import RobustrecError, one_line
from robustrec.results.findings import CLEAN, AuditStatus
from robustrec.runs.trained import TrainedSubject

REACH = "reach"
# Shares of users from which on a reader is warned: of tied last places, and of lists that heavy noise leaves alone.
TIED = 0.01
UNMOVED = 0.5


def reach_first(subject: TrainedSubject, work: Work, fault: str = "") -> ReachCheck | None:
    """Run the check before the audits; return it, or None if the audits cannot count.

    Args:
        subject: with its features.
        work: its results get the status of the check, and of all audits if they cannot count.
        fault: a fault that is already known.
    """
    results, spec = work.results, subject.spec
    if not subject.tables and not fault:
        reason = f"{spec.model} reads no item features, so there is nothing to perturb"
        results.statuses += [_status(audit, subject, "not_applicable", reason) for audit in _everything(work)]
        return None
    check = None
    if not fault:
        try:
            check, fault = _checked(subject, work.context)
        except RobustrecError as error:
            fault = one_line(error)
    if fault:
        results.statuses += [_status(audit, subject, "error", fault) for audit in _everything(work)]
        return None
    without_effect = [modality for modality in subject.tables if modality not in subject.scored_tables]
    message = f"modality without effect on scores: {', '.join(without_effect)}" if without_effect else ""
    results.statuses.append(_status(REACH, subject, "ok", message))
    if check:
        results.warnings += _warnings(subject, check)
    return check


def reach_again(subject: TrainedSubject, check: ReachCheck, work: Work, fault: str = "") -> None:
    """Run the check after the audits; if it fails, every audit of the subject is an error without findings.

    Args:
        subject: the subject.
        check: the check that ran before the audits.
        work: its results lose the findings of a subject that fails.
        fault: a fault that is already known.
    """
    results = work.results
    try:
        fault = check.after() or fault
    except RobustrecError as error:
        fault = one_line(error)
    if not fault:
        return
    results.statuses[:] = [each for each in results.statuses if each.subject != subject.subject]
    results.statuses += [_status(audit, subject, "error", fault) for audit in _everything(work)]
    # What was measured of it is not to be read, nor what was compared with it.
    own = subject.subject
    results.findings[:] = [
        each
        for each in results.findings
        if each.audit == CLEAN
        or not (
            each.subject == own
            or (each.subject.model, each.subject.seed, each.reference) == (own.model, own.seed, own.strategy)
        )
    ]


def require_reach(subject: TrainedSubject, context: AuditContext) -> ReachCheck:
    """Run the check before a subject is measured, and raise if it fails; the caller runs its `after` at the end.

    Raises:
        RobustrecError: a perturbation has no effect; the subject is named.
    """
    check, fault = _checked(subject, context)
    if fault:
        raise unreached(subject, fault)
    return check


def unreached(subject: TrainedSubject, fault: str) -> RobustrecError:
    """Return the error for a subject without effect of perturbations."""
    return RobustrecError(
        f"{subject.subject.label}: {fault}",
        where="the reach check",
        fix=f"check the model: robustrec doctor --model {subject.spec.model}",
    )


def _checked(subject: TrainedSubject, context: AuditContext) -> tuple[ReachCheck, str]:
    """Return the check and its fault."""
    ranked = Ranked(context.prepared.test.users, context.prepared.test.masked, context.metric_suite.length)
    check = ReachCheck(
        subject.represent, subject.tables, seed=context.seed, claimed=subject.scored_tables, ranked=ranked
    )
    reaches = check.before()
    wrong = [_fault(reach) for reach in reaches if reach.reached != reach.claimed]
    if not wrong:
        graphs = check_item_graphs(subject, seed=context.seed)
        wrong = [graphs] if graphs else []
    return check, "; ".join(wrong)


def _warnings(subject: TrainedSubject, check: ReachCheck) -> list[str]:
    """Return the warnings for a subject that passed."""
    warnings = []
    if check.ties.boundary >= TIED:
        warnings.append(
            f"the last item of the top {check.ranked.k} is tied with the next item for {check.ties.boundary:.0%} of"
            " the users; ties are broken by item id, so small noise can change these lists"
        )
    warnings += [
        f"noise as large as the {reach.modality} features changes the lists of only {reach.users:.1%} of the users;"
        " the mean drift over all users hides the drift of these users"
        for reach in check.reaches
        if reach.claimed and reach.users < UNMOVED
    ]
    return [f"{subject.subject.label}: {each}" for each in (*warnings, *_feature_notes(subject.tables))]


def _fault(reach: Reach) -> str:
    if reach.claimed:
        return f"perturbation did not reach the scores: {reach.fault}"
    return (
        f"the model declares that the {reach.modality} features have no effect on its scores, but "
        "added noise as large as"
        f" the {reach.modality} features changed the scores"
    )


def _feature_notes(tables: dict[str, Tensor]) -> list[str]:
    notes = []
    for modality, table in tables.items():
        zero = int((~table.any(dim=1)).sum())
        if zero:
            notes.append(
                f"{zero} of {len(table)} rows of the {modality} features are zero; noise gives them a random direction"
            )
        if len(table) > 1 and bool((table == table[0]).all()):
            notes.append(
                f"all {len(table)} rows of the {modality} features are equal, so they do not distinguish items"
            )
    return notes


def _everything(work: Work) -> tuple[str, ...]:
    return (REACH, *(each.kind for each in work.plan.suite.audits))


def _status(audit: str, subject: TrainedSubject, status: str, message: str) -> AuditStatus:
    return AuditStatus.model_validate(
        {"audit": audit, "subject": subject.subject, "status": status, "message": message}
    )
