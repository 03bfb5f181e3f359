"""Gates that speak of what a data set or its features cannot have done to them."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.results.findings import AuditStatus, Finding
from robustrec.results.gates import Gate, matches, plain_condition, selects

TOUCHED = "touched"
"""Metric of a value row: the share of the chosen items that an edit changed."""


def inapplicable(gate: Gate, findings: Sequence[Finding], statuses: Sequence[AuditStatus]) -> str:
    """Say why an optional gate that selects nothing is left out; empty where it must be judged all the same.

    It is left out where its audit was not applicable to any subject, or where all it speaks of are edits that touched
    no item here (a brand moved where there are no brands). A name that nothing bears stays an error.
    """
    if not gate.optional or any(selects(gate, finding) for finding in findings):
        return ""
    select = gate.select
    ended = [status.status for status in statuses if matches(status.audit, select.audit) and status.audit != "reach"]
    if ended and all(status == "not_applicable" for status in ended):
        return f"gate {gate.name!r} was left out: audit {select.audit} is not applicable here"
    wanted = plain_condition(select.condition)
    edits = [
        finding
        for finding in findings
        if finding.metric == TOUCHED
        and matches(finding.audit, select.audit)
        and matches(plain_condition(finding.condition), wanted)
    ]
    if edits and all(finding.clean == 0 for finding in edits):
        return f"gate {gate.name!r} was left out: no item has what {select.condition} changes"
    return ""
