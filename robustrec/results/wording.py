"""Sentences for gate results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from robustrec.evaluation.error_rates import POWER
from robustrec.evaluation.shares import members_needed
from robustrec.results.findings import BASELINE, CLEAN, Finding
from robustrec.results.hidden import HIDDEN, hidden_edits, hidden_note
from robustrec.results.numbers import as_given, percent, plain
from robustrec.results.selection import matches

if TYPE_CHECKING:
    from robustrec.evaluation.error_rates import Correction
    from robustrec.results.gates import Gate, GateResult, Numbers
    from robustrec.results.report import BaselineRecord, Report

_MOST_LISTED = 6


def gate_message(gate: Gate, finding: Finding, numbers: Numbers, level: float, n_seeds: int = 0) -> str:
    """Return the result, its interval and the limit, without the subject and the condition.

    Args:
        gate: the gate.
        finding: that decides.
        numbers: of the finding.
        level: confidence level of the interval.
        n_seeds: training seeds that the finding is a mean over; 0 for one training.
    """
    relative = gate.quantity == "relative_drift"
    show: Callable[..., str] = percent if relative else plain
    certainty = ""
    if gate.bound == "interval" and numbers.low is not None and numbers.high is not None:
        low, high = (show(end, signed=gate.quantity != "value") for end in (numbers.low, numbers.high))
        freedom = "" if finding.degrees is None else f", {finding.degrees:.1f} degrees of freedom"
        over = f" over {n_seeds} training seeds{freedom}" if n_seeds else ""
        certainty = f" ({100 * level:g} % interval {low.removesuffix(' %')} to {high}{over})"
        if finding.sampled:
            of = f"{finding.counted} of {finding.sampled} sampled items"
            certainty = f" ({of}; one-sided {100 * level:g} % bounds {low} and {high})"
    return f"{_what_happened(gate, finding, numbers, show)}{certainty}, {_limits(gate, relative=relative)}"


def _what_happened(gate: Gate, finding: Finding, numbers: Numbers, show: Callable[..., str]) -> str:
    metric, estimate = finding.metric, numbers.estimate
    if estimate is None:
        if numbers.low is not None:
            return f"{metric} is at least {show(numbers.low)}"
        return f"{metric} is at most {show(numbers.high)}" if numbers.high is not None else f"{metric} is unknown"
    if gate.quantity == "value":
        return f"{metric} is {show(estimate)}"
    size = show(abs(estimate))
    if finding.reference != CLEAN:
        labels = "the baseline's" if finding.reference == BASELINE else f"{finding.reference}'s"
        what = metric if finding.audit == CLEAN else f"the drift of {metric}"
        return (
            f"{what} is {size} {'below' if estimate < 0 else 'above'} {labels}"
            if estimate
            else f"{what} equals {labels}"
        )
    if estimate == 0:
        return f"{metric} did not change"
    span = ""
    if gate.quantity == "drift" and finding.clean is not None and finding.perturbed is not None:
        span = f" from {plain(finding.clean)} to {plain(finding.perturbed)}"
    return f"{metric} {'fell' if estimate < 0 else 'rose'} by {size}{span}"


def not_beyond_doubt(level: float, family: int, correction: Correction) -> str:
    """Return the note for a breach that is not significant after correction."""
    return f"; outside the limit at {100 * level:g} %, but not after correction for {family} findings ({correction})"


def too_few_differ(changed: int, n_users: int) -> str:
    """Return the note for a gate that is inconclusive because few users changed."""
    return f"; only {changed} of {n_users} users changed, too few to decide; use more test users"


def sample_needed(gate: Gate, finding: Finding, level: float) -> str:
    """Return how many sampled items a gate on a share needs to pass; empty for other findings."""
    if not finding.sampled or gate.max is None or gate.bound != "interval":
        return ""
    share = (finding.counted or 0) / finding.sampled
    if needed := members_needed(share, gate.max, level):
        return f"; needs {needed:,} sampled items to pass with the same share" if needed > finding.sampled else ""
    return "; no larger sample passes with the same share"


def power_sentence(result: GateResult) -> str:
    """Return what a gate detects: "a true fall of 2.61 % or more fails this gate in 80 % of runs"; empty if unknown."""
    low, high = result.detects_below, result.detects_above
    often = f"in {100 * POWER:g} % of runs"
    if result.quantity == "relative_drift" and low is not None and low <= -1:
        few = "too few training seeds or users" if result.seeds else "too few users"
        rise = "" if high is None else f"; a true {_beyond(result, high, below=False)} fails it"
        return f"{few}: not even a loss of 100 % fails this gate {often}{rise}"
    ends = [_beyond(result, end, below=below) for end, below in ((low, True), (high, False)) if end is not None]
    return f"a true {' or a true '.join(ends)} fails this gate {often}" if ends else ""


def _beyond(result: GateResult, end: float, *, below: bool) -> str:
    show: Callable[..., str] = percent if result.quantity == "relative_drift" else plain
    if result.quantity == "value":
        return f"{result.metric or 'value'} of {show(end)} or {'less' if below else 'more'}"
    if end and (end < 0) == below:
        return f"{'fall' if below else 'rise'} of {show(abs(end))} or more"
    return f"change of {show(end, signed=True)} or {'lower' if below else 'higher'}"


def baseline_sentence(record: BaselineRecord) -> str:
    """Return the baseline of a report and the method of comparison."""
    ways = [
        f"{record.by_users} rows compared user by user" if record.by_users else "",
        f"{record.by_intervals} by intervals" if record.by_intervals else "",
        f"{record.uncertain} without intervals" if record.uncertain else "",
    ]
    listed = ", ".join(way for way in ways if way) or "no common rows"
    notes = f"; {'; '.join(record.notes)}" if record.notes else ""
    return f"compared with the baseline {record.file} of {record.created:%Y-%m-%d}: {listed}{notes}"


def weights_lines(report: Report) -> list[str]:
    """Return a line for each network of the item features, with name and digest of its weights."""
    used = dict.fromkeys(
        f"{record.subject.features}, weights of {each.network}: {each.name}, digest {each.digest[:16]}"
        for record in report.subjects
        for each in record.weights
    )
    return list(used)


def _limits(gate: Gate, *, relative: bool) -> str:
    unit, scale = (" %", 100) if relative else ("", 1)
    low, high = (None if limit is None else as_given(scale * limit) for limit in (gate.min, gate.max))
    if low is not None and high is not None:
        return f"limits {low} to {high}{unit}"
    return f"limit: at most {high}{unit}" if low is None else f"limit: at least {low}{unit}"


def _if_hidden(gate: Gate, findings: Sequence[Finding]) -> str:
    """Return the note that the encoder sees none of the edits that a gate selects, which then change no vector."""
    of_gate = [row for row in findings if matches(row.audit, gate.select.audit) and gate.select.wants(row.condition)]
    shares = list(hidden_edits(of_gate).values())
    edits = [row for row in of_gate if row.metric == HIDDEN]
    return hidden_note(min(shares)) if shares and len(shares) == len(edits) else ""


def nothing_selected(gate: Gate, findings: Sequence[Finding]) -> str:
    """Return that a gate selected no finding, and the existing findings of its metric."""
    select = gate.select
    asked = {
        "audit": select.audit,
        **select.fields,
        "condition": select.condition,
        "metric": select.metric,
        "group": select.group or "*",
        "segment_by": select.segment_by or "*",
        "segment": select.segment or "*",
        "strategy": select.strategy,
        "model": select.model,
        "features": select.features,
        "reference": gate.reference,
    }
    wanted = ", ".join(f"{key} {value!r}" for key, value in asked.items() if value != "*")
    nothing = f"no finding matches {wanted} with a {gate.quantity.replace('_', ' ')}{_if_hidden(gate, findings)}"
    near = dict.fromkeys(
        f"{finding.audit} / {finding.condition.label} / {finding.quantity} / reference {finding.reference}"
        for finding in findings
        if finding.metric == select.metric_name
    )
    if not near:
        there = ", ".join(list(dict.fromkeys(finding.metric for finding in findings))[:_MOST_LISTED]) or "none"
        return f"{nothing}; metrics found: {there}"
    more = f" and {len(near) - _MOST_LISTED} more" if len(near) > _MOST_LISTED else ""
    listed = "; ".join(list(near)[:_MOST_LISTED])
    return f"{nothing}; for {select.metric_name} there are: {listed}{more}"
