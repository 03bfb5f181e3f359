"""Judge findings by a suite, in a run or for an existing report."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from robustrec.audits.against_baseline import MeasuredState, compare_with_baseline, measured_differently
from robustrec.audits.suites import Suite
from robustrec.errors import RobustrecError
from robustrec.files import digest_json
from robustrec.reading.recommendation import with_recommendation
from robustrec.results.arrays import Arrays
from robustrec.results.baseline import Baseline
from robustrec.results.findings import BASELINE, AuditStatus, Finding
from robustrec.results.gates import (
    NO_BASELINE_FIX,
    GateResult,
    GateStatus,
    applicable_gates,
    label_warnings,
    selects,
)
from robustrec.results.inapplicable import inapplicable, not_judged
from robustrec.results.judging import judge_all
from robustrec.results.report import JUDGEMENT_RULES, JudgementRecord, Report
from robustrec.results.selection import BY_LABEL
from robustrec.results.verdict import verdict_with_reason
from robustrec.results.waivers import Waiver, warnings_of
from robustrec.runs.user_sample import ranked_users, sample_words
from robustrec.subject import Subject


def judgement(
    suite: Suite,
    findings: Sequence[Finding],
    statuses: Sequence[AuditStatus],
    side: MeasuredState,
    *,
    over_seeds: Sequence[Finding] = (),
    segments: Sequence[Finding] = (),
    arrays: Arrays | None = None,
    baseline: Baseline | None = None,
    compared: Sequence[Subject] | None = None,
    waivers: Sequence[Waiver] = (),
    now: datetime.datetime,
) -> dict[str, Any]:
    """Return the fields of a report that follow from its findings: baseline comparison, gates, verdict.

    Args:
        suite: its gates, correction and waivers.
        findings: of the run; without rows against a baseline if one is given.
        statuses: statuses of its audits.
        side: its measurement settings.
        over_seeds: means of findings over training seeds.
        segments: findings of segments of the users.
        arrays: per-user arrays of the findings, or None.
        baseline: the baseline, or None.
        compared: subjects whose findings hold rows against a baseline already.
        waivers: waivers in addition to those of the suite.
        now: time of the judgement, for the expiry of waivers.

    Raises:
        RobustrecError: the baseline is not comparable.
    """
    findings, record = tuple(findings), None
    if baseline is not None:
        rows, record = compare_with_baseline(findings, arrays, side, baseline)
        findings = (*findings, *rows)
    gates = applicable_gates(suite.gates, list(side.parameters), baseline.subjects if baseline else compared)
    rows, subjects = (*findings, *segments), list(side.parameters)
    reasons = {gate.name: inapplicable(gate, rows, statuses) for gate in gates.gates}
    found = judge_all(
        # A gate that matches no subject is an error here too.
        [gate for gate in suite.gates if (gate in gates.gates or not gate.optional) and not reasons.get(gate.name)],
        rows,
        level=suite.bootstrap.level,
        correction=suite.correction,
        over_seeds=over_seeds,
        waivers=(*suite.waivers, *waivers),
        today=now.date(),
    )
    silent = [not_judged(gate, rows, statuses, subjects) for gate in gates.gates]
    word, reason = verdict_with_reason(found.gates, statuses, found.waivers)
    if record is not None and baseline is not None and not over_seeds:
        notes = (*_gone(suite, baseline), *record.notes)
        record = record.model_copy(update={"gates": _on_baseline(suite, baseline, side, now), "notes": notes})
    return {
        "findings": findings,
        "gates": tuple(_of_sample(gate, side) for gate in found.gates),
        "waivers": found.waivers,
        "judgement": JudgementRecord(
            suite=suite.name,
            digest=suite.digest,
            judged=now,
            correction=suite.correction,
            level=suite.bootstrap.level,
            findings_judged={each.severity: each.family for each in found.gates if each.family},
            rules=JUDGEMENT_RULES,
            content=None if suite.digest == digest_json(side.suite) else suite.model_dump(mode="json"),
        ),
        "baseline": record,
        "verdict": word,
        "verdict_reason": reason,
        "warnings": (*gates.left_out, *filter(None, (*reasons.values(), *silent)), *warnings_of(found.waivers)),
    }


def _gone(suite: Suite, baseline: Baseline) -> list[str]:
    """Return a note if the suite of the baseline has gates that are not judged any more."""
    judged = {gate.name for gate in suite.gates}
    theirs = baseline.record.suite.content.get("gates") or []
    names = [str(each.get("name")) for each in theirs if isinstance(each, dict) and each.get("name") not in judged]
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    listed = ", ".join(repr(name) for name in names[:3])
    return [f"not judged any more: {'gate' if len(names) == 1 else 'gates'} {listed}{more} of the baseline"]


def _on_baseline(
    suite: Suite, baseline: Baseline, side: MeasuredState, now: datetime.datetime
) -> dict[str, GateStatus]:
    """Return the status that each gate has on the numbers of the baseline, of the subjects that the report has too."""
    rows = [row for row in baseline.record.findings if row.subject in side.parameters]
    gates = [gate for gate in suite.gates if any(selects(gate, row) for row in rows)]
    found = judge_all(gates, rows, level=suite.bootstrap.level, correction=suite.correction, today=now.date())
    return {each.gate: each.status for each in found.gates}


def _of_sample(gate: GateResult, side: MeasuredState) -> GateResult:
    """Return the result of a gate, whose message says which users were ranked if these are not all test users."""
    n_test_users = side.dataset.n_test_users
    n = ranked_users(side.suite, n_test_users)
    if n is None or n_test_users is None or not gate.selected:
        return gate
    return gate.model_copy(update={"message": f"{gate.message}, on {sample_words(n, n_test_users)}"})


def side_of_report(report: Report) -> MeasuredState:
    """Return the measurement settings of a report."""
    return MeasuredState(
        report.dataset,
        report.suite.content,
        report.seeds.get("audit"),
        {each.subject: each.parameters_digest for each in report.subjects},
        {each.subject: each.features_digest for each in report.subjects},
    )


def judged_again(
    report: Report,
    suite: Suite,
    *,
    arrays: Arrays | None = None,
    baseline: Baseline | None = None,
    waivers: Sequence[Waiver] = (),
    now: datetime.datetime,
) -> Report:
    """Return a report judged again by a suite; nothing is measured.

    Where the report was compared with a baseline and none is given now, those rows are judged as they are.

    Raises:
        RobustrecError: the suite needs findings that the report does not have.
    """
    where = f"suite {suite.name!r}"
    if suite.require_edition == "full" and report.dataset.synthetic:
        raise RobustrecError(
            f"{where} requires the full edition, but the report is of the sample edition",
            where=f"{where}, require_edition",
            fix="audit the full edition, or judge with another suite",
        )
    if suite.bootstrap.level != report.suite.level:
        raise RobustrecError(
            f"the report has intervals of level {report.suite.level:g}, but the suite requires "
            f"{suite.bootstrap.level:g}",
            where=f"{where}, bootstrap.level",
            fix=f"set level = {report.suite.level:g} in the suite, or audit again with --suite",
        )
    kept = [row for row in report.findings if baseline is None or row.reference != BASELINE]
    subjects = [each.subject for each in report.subjects]
    compared = list({row.subject: None for row in kept if row.reference == BASELINE}) if report.baseline else None
    known = baseline.subjects if baseline else compared
    applicable = applicable_gates(suite.gates, subjects, known)
    if applicable.unmet:
        fix = "audit the subject of the gate, or set optional = true for the gate"
        raise RobustrecError(
            applicable.unmet[0],
            where=f"{where}, gates",
            fix=NO_BASELINE_FIX if applicable.needs_baseline else fix,
        )
    fields = judgement(
        suite,
        kept,
        report.statuses,
        side_of_report(report),
        over_seeds=(*report.over_seeds, *report.segments_over_seeds),
        segments=report.segments,
        arrays=arrays,
        baseline=baseline,
        compared=compared,
        waivers=waivers,
        now=now,
    )
    if baseline is None:
        fields["baseline"] = report.baseline
    # A suite may look at fewer conditions or metrics than were measured; what it would have measured otherwise is said.
    other = measured_differently(suite.model_dump(mode="json"), report.suite.content)
    warnings = [
        f"measured with other settings than in {where}: {each}"
        for each in other
        if not isinstance(each.ours, list | dict | None) and not isinstance(each.theirs, list | dict | None)
    ]
    own = suite.model_dump(mode="json")["gates"] == report.suite.content.get("gates")
    # What the earlier judgement warned of is judged anew.
    lasting = [
        each
        for each in report.warnings
        if not each.startswith(("gate ", "waiver of ", "measured with other settings", "measured otherwise"))
        and (own or not each.startswith(BY_LABEL))
    ]
    labelled = () if own else label_warnings(suite.gates)
    fields["warnings"] = (*lasting, *fields["warnings"], *labelled, *warnings)
    return with_recommendation(Report(**{**dict(report), **fields}))
