"""Read a report and judge its findings again, to check the recorded verdict.

A report is a file that anyone can edit. Reading already checks the digests of its sections (`results.section_digests`).
This module also derives gates and verdict again from findings and suite, so that no unchecked verdict is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from robustrec.audits.judged import judged_again
from robustrec.audits.suites import recorded_suite
from robustrec.errors import RobustrecError
from robustrec.reading.recommendation import with_recommendation
from robustrec.results.arrays import USERS, Arrays, array_key, arrays_beside
from robustrec.results.findings import CLEAN
from robustrec.results.gates import GateResult
from robustrec.results.report import JUDGEMENT_RULES, RULES_WITH_DIGESTS, Report, read_report
from robustrec.results.waivers import Waiver

_FIX = "run the audit again, or use the original file that the audit wrote"
NO_DIGESTS = "the report has no digests, so an edit of it would not be noticed: run the audit again to rely on it"
_BY_USERS = (CLEAN, "noise")
_DECIDED = ("gate", "severity", "status", "selected", "quantity", "min", "max", "subject", "condition", "metric")
_NUMBERS = ("estimate", "low", "high")


def checked_report(path: Path) -> Report:
    """Return the report in a file, judged again from its findings and suite.

    Gates, waivers and verdict are judged as of the date of the recorded judgement. A report of older judging rules is
    judged with the current rules, with a warning if the results differ.

    Raises:
        RobustrecError: not a report, edited, or with a verdict that does not match its findings.
    """
    report = read_report(path)
    check_means(report, arrays_beside(report, path), source=str(path))
    record = report.judgement
    content = record.content if record and record.content is not None else report.suite.content
    if record and record.content is None and record.digest != report.suite.digest:
        raise RobustrecError(
            f"the verdict cannot be checked: the report does not contain the suite {record.suite!r} of its judgement",
            where=f"{path}, key judgement",
            fix=f"robustrec gate {path} --suite SUITE",
        )
    suite = recorded_suite(content, source=str(path))
    named = [Waiver(**each.model_dump(exclude={"state"})) for each in report.waivers]
    again = judged_again(
        report,
        suite,
        waivers=[each for each in named if each not in suite.waivers],
        now=record.judged if record else report.created,
    )
    differing = list(_differences(report, again))
    if record is None or record.rules < JUDGEMENT_RULES:
        warnings = [each for each in again.warnings if each != NO_DIGESTS]
        warnings += [NO_DIGESTS] if record is None or record.rules < RULES_WITH_DIGESTS else []
        if differing:
            warnings.append(
                f"judged again with the rules of this version; the report records the verdict {report.verdict}"
            )
        return with_recommendation(again.model_copy(update={"warnings": tuple(warnings)}))
    if not differing:
        return again
    more = f" (and {len(differing) - 3} more)" if len(differing) > 3 else ""
    raise RobustrecError(
        f"the report does not match its findings: {'; '.join(differing[:3])}{more}", where=str(path), fix=_FIX
    )


def check_means(report: Report, arrays: Arrays | None, *, source: str) -> None:
    """Check that findings equal the means of their per-user arrays, if both are of all users.

    Raises:
        RobustrecError: a finding and its array have different means.
    """
    users = None if arrays is None else arrays.get(USERS)
    if arrays is None or users is None:
        return
    for row in report.findings:
        values = arrays.get(array_key(row.subject, row.audit, row.condition, row.metric))
        if row.reference != CLEAN or row.audit not in _BY_USERS or row.n_users != len(users) or values is None:
            continue
        recorded = row.clean if row.quantity == "value" else row.perturbed
        if recorded is not None and not np.isclose(float(values.mean()), recorded, rtol=1e-9, atol=1e-12):
            raise RobustrecError(
                f"{row.metric} of {row.subject.label} at {row.condition.label} is {recorded:g} in the report, but"
                f" {float(values.mean()):g} in the per-user arrays beside it",
                where=f"{source}, key findings",
                fix=_FIX,
            )


def _differences(report: Report, again: Report) -> Iterator[str]:
    """Yield the differences between a recorded and a new judgement."""
    if report.verdict != again.verdict:
        yield f"the recorded verdict is {report.verdict}, but the findings give {again.verdict}"
    ours, theirs = ({each.gate: each for each in side.gates} for side in (again, report))
    for name in dict.fromkeys((*ours, *theirs)):
        if name not in ours or name not in theirs:
            where = "recorded, but not in the suite" if name in theirs else "in the suite, but not recorded"
            yield f"gate {name!r} is {where}"
        elif not _same(ours[name], theirs[name]):
            yield (
                f"gate {name!r}: the recorded status is {theirs[name].status}, but the findings "
                f"give {ours[name].status}"
            )
    states = [
        {(each.gate, each.subject, each.expires): each.state for each in side.waivers} for side in (again, report)
    ]
    if states[0] != states[1]:
        yield "the recorded waivers differ from those that apply"
    chosen = [side.recommendation.chosen if side.recommendation else "" for side in (again, report)]
    if chosen[0] != chosen[1]:
        yield f"the recorded recommendation is {chosen[1] or 'none'}, but the findings give {chosen[0] or 'none'}"


def _same(one: GateResult, two: GateResult) -> bool:
    if any(getattr(one, field) != getattr(two, field) for field in _DECIDED) or one.effective != two.effective:
        return False
    pairs = [(getattr(one, field), getattr(two, field)) for field in _NUMBERS]
    return all(a == b or (a is not None and b is not None and np.isclose(a, b, rtol=1e-9)) for a, b in pairs)
