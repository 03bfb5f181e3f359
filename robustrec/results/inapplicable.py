"""Optional gates that do not apply to a data set or its features."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.evaluation.kinds import BEYOND, kind_of
from robustrec.results.findings import AuditStatus, Finding, stratum_of
from robustrec.results.gates import Gate, selects
from robustrec.results.selection import matches

TOUCHED = "touched"
"""Metric of a value row: share of the chosen items that an edit changed."""


STRATUM_WORDS = {
    "cold_items": "two test users with a test item without training interactions",
    "warm_items": "test items without training interactions, so that all of them are warm",
    "cold_users": "users without training interactions",
}


def inapplicable(gate: Gate, findings: Sequence[Finding], statuses: Sequence[AuditStatus]) -> str:
    """Return why an optional gate without findings is skipped, or an empty text if it must be judged.

    A gate is skipped if its audit is not applicable to any subject, or if all selected edits changed no item (for
    example, an edit of brands in a catalogue without brands). An unknown name stays an error.
    """
    if not gate.optional or any(selects(gate, finding) for finding in findings):
        return ""
    select = gate.select
    kind = BEYOND.get(kind_of(select.metric))
    if kind and kind.features and not any(finding.metric == select.metric for finding in findings):
        return f"gate {gate.name!r} was skipped: {select.metric} requires a model that reads item features"
    stratum = stratum_of(select.metric_name)
    if stratum and not any(finding.group == stratum for finding in findings):
        return f"gate {gate.name!r} was skipped: the data set has no {STRATUM_WORDS[stratum]}"
    ended = [status.status for status in statuses if matches(status.audit, select.audit) and status.audit != "reach"]
    if ended and all(status == "not_applicable" for status in ended):
        return f"gate {gate.name!r} was skipped: audit {select.audit} is not applicable"
    edits = [
        finding
        for finding in findings
        if finding.metric == TOUCHED and matches(finding.audit, select.audit) and select.wants(finding.condition)
    ]
    if edits and all(finding.clean == 0 for finding in edits):
        return f"gate {gate.name!r} was skipped: no item has what the selected edits change ({select.words})"
    return ""
