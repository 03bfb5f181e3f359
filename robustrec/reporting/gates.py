"""Gates: limits on findings, and how each is judged.

A gate selects findings, names the number it looks at and says between which limits it must lie. The worst
selected finding decides. By default the whole interval must lie within the limits: wholly outside on one
side is a fail, anything between is inconclusive. What cannot be judged (nothing selected, a number missing,
no users) is an error.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from robustrec.reporting.findings import CLEAN, EXTERNAL, TRAINED, Finding, Record, Subject
from robustrec.reporting.wording import gate_message, nothing_selected

GateStatus = Literal["pass", "fail", "inconclusive", "error"]
Quantity = Literal["value", "drift", "relative_drift"]

_SEVEREST_FIRST: tuple[GateStatus, ...] = ("error", "fail", "inconclusive", "pass")
_NUMBER = re.compile(r"(?<==)[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?=\s|$)")


class Select(Record):
    """Which findings a gate looks at; a key left out selects any, and * and ? are wildcards."""

    audit: str = Field(default="*", min_length=1)
    condition: str = Field(default="*", min_length=1, description="sigma2=1e-6 and sigma2=1e-06 are the same condition")
    metric: str = Field(min_length=1)
    strategy: str = Field(default="*", min_length=1)
    model: str = Field(default="*", min_length=1)
    reference: str = Field(default=CLEAN, min_length=1, description='"clean", or the strategy compared with')


class Gate(Record):
    """A limit on findings.

    quantity "value" looks at the value of value rows, "drift" and "relative_drift" at those of drift rows
    (a drift is signed: a loss is negative). `optional` leaves the gate out, and says so, where the run has
    no subject that it speaks about; a gate that is not optional makes such a run an error.
    """

    name: str = Field(min_length=1)
    select: Select
    quantity: Quantity
    min: float | None = Field(default=None, description="smallest number tolerated")
    max: float | None = Field(default=None, description="largest number tolerated")
    bound: Literal["interval", "estimate"] = "interval"
    severity: Literal["error", "warn"] = "error"
    optional: bool = False

    @model_validator(mode="after")
    def _has_limits(self) -> Gate:
        if self.min is None and self.max is None:
            raise ValueError(f"gate {self.name!r} has neither min nor max and could never fail")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"gate {self.name!r} has min {self.min} above max {self.max} and could never pass")
        return self


class GateResult(Record):
    """How a gate was judged, with the finding that decided."""

    gate: str
    severity: Literal["error", "warn"]
    status: GateStatus
    message: str = Field(description="in plain words, with the number and the limit")
    selected: int = Field(ge=0, description="findings the gate looked at")
    quantity: Quantity
    min: float | None
    max: float | None
    subject: Subject | None = Field(default=None, description="of the finding that decided")
    audit: str | None = None
    condition: str | None = None
    metric: str | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def where(self) -> str:
        """The subject and condition of the finding that decided, in one line; empty where there is none."""
        return f"{self.subject.label}, {self.condition}" if self.subject else ""


class _Judged(NamedTuple):
    status: GateStatus
    margin: float  # distance from the nearest limit, negative outside
    finding: Finding
    problem: str


class Numbers(NamedTuple):
    """The number a gate looks at in a finding, with its interval; None where the finding has none."""

    estimate: float | None
    low: float | None
    high: float | None


def judge(gates: Iterable[Gate], findings: Sequence[Finding], *, level: float = 0.95) -> tuple[GateResult, ...]:
    """Judge every gate on unrounded values; the worst selected finding decides.

    Args:
        gates: the limits.
        findings: all findings of the run.
        level: confidence level of the findings' intervals, for the messages.
    """
    return tuple(_judge_one(gate, findings, level) for gate in gates)


def _judge_one(gate: Gate, findings: Sequence[Finding], level: float) -> GateResult:
    chosen = [finding for finding in findings if selects(gate, finding)]
    result = GateResult(
        gate=gate.name,
        severity=gate.severity,
        status="error",
        message="",
        selected=len(chosen),
        quantity=gate.quantity,
        min=gate.min,
        max=gate.max,
    )
    if not chosen:
        return result.model_copy(update={"message": nothing_selected(gate, findings)})
    worst = min(
        (_judge_finding(gate, finding) for finding in chosen),
        key=lambda judged: (_SEVEREST_FIRST.index(judged.status), judged.margin),
    )
    finding = worst.finding
    finite = Numbers(*(each if _is_number(each) else None for each in numbers_of(finding, gate.quantity)))
    decided = {
        "status": worst.status,
        "message": worst.problem or gate_message(gate, finding, finite, level),
        "subject": finding.subject,
        "audit": finding.audit,
        "condition": finding.condition,
        "metric": finding.metric,
        "estimate": finite.estimate,
        "low": finite.low,
        "high": finite.high,
    }
    return result.model_copy(update=decided)


def selects(gate: Gate, finding: Finding) -> bool:
    """Whether a gate looks at a finding."""
    wanted_rows = "value" if gate.quantity == "value" else "drift"
    select = gate.select
    return (
        finding.quantity == wanted_rows
        and finding.reference == select.reference
        and matches(finding.audit, select.audit)
        and matches(plain_condition(finding.condition), plain_condition(select.condition))
        and matches(finding.metric, select.metric)
        and matches(finding.subject.strategy, select.strategy)
        and matches(finding.subject.model, select.model)
    )


def matches(text: str, pattern: str) -> bool:
    """Whether a text equals a pattern, in which * stands for anything and ? for one character."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def plain_condition(condition: str) -> str:
    """Return a condition with its numbers in one spelling, so that 1e-6, 1e-06 and 0.000001 are the same."""
    return _NUMBER.sub(lambda match: repr(float(match[0])), condition)


def numbers_of(finding: Finding, quantity: Quantity) -> Numbers:
    """Return the number that a gate on `quantity` looks at, with its interval."""
    if quantity == "relative_drift":
        return Numbers(finding.relative_drift, finding.relative_ci_low, finding.relative_ci_high)
    estimate = finding.clean if quantity == "value" else finding.drift
    return Numbers(estimate, finding.ci_low, finding.ci_high)


def _judge_finding(gate: Gate, finding: Finding) -> _Judged:
    problem = _problem(gate, finding)
    estimate, low, high = numbers_of(finding, gate.quantity)
    if gate.bound == "estimate" and not finding.censored:
        low = high = estimate
    if problem:
        return _Judged("error", -math.inf, finding, problem)
    # A bound is None here only where the value lies beyond the searched range, and then it is open on that side.
    low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
    floor = -math.inf if gate.min is None else gate.min
    ceiling = math.inf if gate.max is None else gate.max
    if floor <= low and high <= ceiling:
        status: GateStatus = "pass"
    elif high < floor or low > ceiling:
        status = "fail"
    else:
        status = "inconclusive"
    return _Judged(status, min(low - floor, ceiling - high), finding, "")


def _problem(gate: Gate, finding: Finding) -> str:
    """Say why a finding cannot be judged; empty where it can."""
    what, quantity = finding.metric, gate.quantity.replace("_", " ")
    numbers = numbers_of(finding, gate.quantity)
    reason = f" ({finding.note})" if finding.note else ""
    if "@" in finding.metric and finding.n_users == 0:
        return f"{what} was measured on no users"
    if any(number is not None and not math.isfinite(number) for number in numbers):
        return f"{what} is not a finite number{reason}"
    if finding.censored:
        return ""
    if numbers.estimate is None:
        return f"{what} has no {quantity}{reason}"
    if gate.bound == "interval" and (numbers.low is None or numbers.high is None):
        return f'{what} has no interval{reason}; judge it with bound = "estimate"'
    return ""


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


class Applicable(NamedTuple):
    """The gates that a run can be judged by, and a line for each that was left out."""

    gates: tuple[Gate, ...]
    left_out: tuple[str, ...]
    unmet: tuple[str, ...]


def applicable_gates(gates: Iterable[Gate], subjects: Sequence[Subject]) -> Applicable:
    """Sort gates, before any work, by whether the planned subjects include one that they speak about.

    Returns:
        The gates to judge, the optional ones left out (warnings for the report), and those that are not
        optional and would end in an error: refuse the run, naming them.
    """
    kept: list[Gate] = []
    left_out: list[str] = []
    unmet: list[str] = []
    for gate in gates:
        if any(_speaks_of(gate, subject, subjects) for subject in subjects):
            kept.append(gate)
            continue
        select = gate.select
        needs = f"model {select.model}, strategy {select.strategy}"
        if select.reference != CLEAN:
            needs += f" to compare with strategy {select.reference}"
        line = f"gate {gate.name!r} speaks of no subject of this run (needs {needs})"
        (left_out if gate.optional else unmet).append(line)
    return Applicable(tuple(kept), tuple(left_out), tuple(unmet))


def _speaks_of(gate: Gate, subject: Subject, subjects: Sequence[Subject]) -> bool:
    select = gate.select
    named = matches(subject.strategy, select.strategy)
    named = named and matches(subject.model, select.model)
    if select.condition.startswith(TRAINED) and subject.strategy == EXTERNAL:
        return False  # what was trained elsewhere is not trained again
    if not named or select.reference == CLEAN:
        return named
    reference = subject.model_copy(update={"strategy": select.reference})
    return subject.strategy != select.reference and reference in subjects
