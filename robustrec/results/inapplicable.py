"""Optional gates that do not apply to a data set or its features, and subjects that a gate says nothing of."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.evaluation.kinds import BEYOND, kind_of
from robustrec.results.conditions import ALL
from robustrec.results.findings import CLEAN, AuditStatus, Finding, stratum_of
from robustrec.results.gates import Gate, selects
from robustrec.results.selection import keys_of_label, matches
from robustrec.subject import Subject

TOUCHED = "touched"
"""Metric of a value row: share of the chosen items that an edit changed."""


STRATUM_WORDS = {
    "cold_items": "two test users with a test item without training interactions",
    "warm_items": "test items without training interactions, so that all of them are warm",
    "cold_users": "users without training interactions",
}


def inapplicable(gate: Gate, findings: Sequence[Finding], statuses: Sequence[AuditStatus]) -> str:
    """Return why an optional gate without findings is skipped, or an empty text if it must be judged.

    A gate is skipped if its audit is not applicable to any subject, if no measured model has the modality that it
    selects, or if all selected edits changed no item (for example, an edit of brands in a catalogue without brands).
    An unknown name stays an error.
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
    return "" if "error" in ended else _without_modality(gate, findings)


def _without_modality(gate: Gate, findings: Sequence[Finding]) -> str:
    """Return that no measured model has the modality that a gate selects; empty if one has it, or nothing was measured.

    What a suite perturbs is known before the run, so that a modality of the suite without a finding is one that the
    features lack.
    """
    select = gate.select
    modality = (select.fields or keys_of_label(select.condition) or {}).get("modality")
    measured = [finding for finding in findings if matches(finding.audit, select.audit)]
    there = {each for finding in measured for each in (finding.condition.modality, finding.modality) if each}
    if modality in (None, ALL) or not measured or any(matches(each, modality) for each in there):
        return ""
    known = ", ".join(sorted(there - {ALL})) or "none"
    return (
        f"gate {gate.name!r} was skipped: no measured model has features of modality {modality!r} (modalities: {known})"
    )


def not_judged(
    gate: Gate, findings: Sequence[Finding], statuses: Sequence[AuditStatus], subjects: Sequence[Subject]
) -> str:
    """Return which subjects a gate says nothing of although its audit measured them; empty if there are none.

    For example, a gate on noise on images judges nothing of a model that reads texts only, so that its PASS is a
    statement about the other models. A gate without any finding is an error of its own, and the status of an audit
    that failed or is not applicable says so itself.

    Args:
        gate: compares with the clean state; what a gate against another strategy or a baseline cannot compare is said
            elsewhere.
        findings: of the run.
        statuses: of its audits.
        subjects: of the run.
    """
    judged = {finding.subject for finding in findings if selects(gate, finding)}
    if not judged or gate.reference != CLEAN:
        return ""
    audits = {finding.audit for finding in findings if finding.subject in judged and selects(gate, finding)}
    measured = {finding.subject for finding in findings if finding.audit in audits}
    measured -= {status.subject for status in statuses if status.audit in audits and status.status != "ok"}
    select = gate.select
    without = [
        each
        for each in subjects
        if each in measured - judged
        and matches(each.model, select.model)
        and matches(each.strategy, select.strategy)
        and matches(each.features, select.features)
    ]
    if not without:
        return ""
    names = dict.fromkeys(f"{each.model}/{each.strategy}/{each.features}" for each in without)
    wanted = ", ".join(part for part in (select.words, f"metric {select.metric_name!r}") if part)
    audit = " or ".join(sorted(audits))
    return f"gate {gate.name!r} does not judge {', '.join(names)}: no finding of audit {audit} has {wanted}"
