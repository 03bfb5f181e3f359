"""Gates: limits on findings, and how each gate says so.

A gate selects findings, names the number it looks at and says between which limits it must lie. `judging` judges
them; `error_rates` keeps the chance of a false alarm within what the suite allows.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from robustrec.evaluation.error_rates import POWER, Correction
from robustrec.results.findings import BASELINE, CLEAN, TRAINED, Finding
from robustrec.results.possible_limits import possible_range, wrong_limits
from robustrec.results.waivers import Waived
from robustrec.subject import EXTERNAL, Record, Subject

GateStatus = Literal["pass", "fail", "inconclusive", "error"]
Quantity = Literal["value", "drift", "relative_drift"]

MOST_DETECTED = 2.0
"""A gate that does not detect this many times its limit with probability POWER is underpowered."""

_NUMBER = re.compile(r"(?<==)[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?=\s|$)")


class Select(Record):
    """Which findings a gate looks at; a key left out selects any, and * and ? are wildcards."""

    audit: str = Field(default="*", min_length=1, description="kind of audit; clean for plain quality")
    condition: str = Field(
        default="*",
        min_length=1,
        description="what was done, as reports name it; sigma2=1e-6 and sigma2=1e-06 are the same condition",
    )
    metric: str = Field(min_length=1, description="e.g. ndcg@20")
    strategy: str = Field(default="*", min_length=1, description="training strategy")
    model: str = Field(default="*", min_length=1, description="recommender")
    features: str = Field(default="*", min_length=1, description="encoder behind the item features")
    reference: str = Field(
        default=CLEAN, min_length=1, description='"clean", the strategy compared with, or "baseline"; see `against`'
    )


class Gate(Record):
    """A limit on findings.

    quantity "value" looks at the value of value rows, "drift" and "relative_drift" at those of drift rows
    (a drift is signed: a loss is negative). `against` = "baseline" looks at the change since the accepted baseline
    (of clean quality under audit "clean", else of the drift), `against` = a strategy at the difference from that
    strategy; it is `select.reference` in one word. bound "interval" counts the whole interval; "estimate" has no
    error rate and no part in the suite's correction. `optional` leaves the gate out, and says so, where the run
    has no subject that it speaks about; a gate that is not optional makes such a run an error.
    """

    name: str = Field(min_length=1, description="as verdicts and waivers call it")
    select: Select = Field(description="which findings it looks at")
    quantity: Quantity = Field(description="which number of a finding it looks at")
    min: float | None = Field(default=None, description="smallest number tolerated")
    max: float | None = Field(default=None, description="largest number tolerated")
    bound: Literal["interval", "estimate"] = Field(
        default="interval", description="interval: the whole interval counts; estimate: the number alone"
    )
    severity: Literal["error", "warn"] = Field(default="error", description="warn: a breach is listed and ends nothing")
    optional: bool = Field(default=False, description="leave it out where no subject of the run is spoken of")
    against: str | None = Field(default=None, min_length=1, description='"baseline", or a strategy to compare with')

    @property
    def reference(self) -> str:
        """What the findings it looks at compare with."""
        return self.against or self.select.reference

    @model_validator(mode="after")
    def _has_limits(self) -> Gate:
        if self.min is None and self.max is None:
            raise ValueError(f"gate {self.name!r} has neither min nor max and could never fail")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"gate {self.name!r} has min {self.min} above max {self.max} and could never pass")
        if self.against and self.select.reference not in (CLEAN, self.against):
            raise ValueError(
                f"gate {self.name!r} is against {self.against!r}, but selects the reference {self.select.reference!r}"
            )
        if self.reference == BASELINE and self.quantity == "value":
            raise ValueError(
                f"gate {self.name!r} looks at a value against the baseline, which has only a drift and a relative_drift"
            )
        select = self.select
        if select.audit == CLEAN and self.quantity != "value" and self.reference == CLEAN:
            raise ValueError(f"gate {self.name!r} looks at the drift of clean quality from itself, which nothing has")
        possible = possible_range(self.quantity, select.metric, reference=self.reference, audit=select.audit)
        what = f"the {self.quantity.replace('_', ' ')} of {select.metric}"
        if wrong := wrong_limits(self.min, self.max, possible, what=what):
            raise ValueError(f"gate {self.name!r}: {wrong}")
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
    p_value: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="smallest of its findings: the interval of level 1 - p just lies beyond a limit",
    )
    p_adjusted: float | None = Field(
        default=None, ge=0, le=1, description="smallest of its findings, corrected for all of the family"
    )
    family: int | None = Field(default=None, ge=1, description="findings of the suite that the correction is for")
    correction: Correction | None = None
    detects_below: float | None = Field(
        default=None,
        description=f"numbers at or below fail with a probability of {POWER:.0%}, in each finding: a loss of quality "
        "even where it falls on some users who lose all, any other where all users move alike",
    )
    detects_above: float | None = Field(default=None, description="likewise numbers at or above")
    waived: Waived | None = Field(default=None, description="why the status does not count as it stands")
    note: str = Field(default="", description="what a reader must know about the judgement")

    @property
    def effective(self) -> GateStatus:
        """The status that the verdict counts: what is left where breaches are waived."""
        return self.waived.otherwise if self.waived else self.status

    @property
    def underpowered(self) -> bool | None:
        """Whether a number twice as far out as the limit would pass unnoticed too often; None where that is unknown.

        What the gate detects with a probability of POWER lies farther from zero than twice its limit. A limit of zero
        has no such scale.
        """
        reach = [
            (limit, detects)
            for limit, detects in ((self.min, self.detects_below), (self.max, self.detects_above))
            if limit and detects is not None
        ]
        return any(abs(detects) > MOST_DETECTED * abs(limit) for limit, detects in reach) if reach else None

    @property
    def where(self) -> str:
        """The subject and condition of the finding that decided, in one line; empty where there is none."""
        return f"{self.subject.label}, {self.condition}" if self.subject else ""


class Numbers(NamedTuple):
    """The number a gate looks at in a finding, with its interval; None where the finding has none."""

    estimate: float | None
    low: float | None
    high: float | None


def selects(gate: Gate, finding: Finding) -> bool:
    """Whether a gate looks at a finding."""
    wanted_rows = "value" if gate.quantity == "value" else "drift"
    select = gate.select
    return (
        finding.quantity == wanted_rows
        and finding.reference == gate.reference
        and matches(finding.audit, select.audit)
        and matches(plain_condition(finding.condition), plain_condition(select.condition))
        and matches(finding.metric, select.metric)
        and matches(finding.subject.strategy, select.strategy)
        and matches(finding.subject.model, select.model)
        and matches(finding.subject.features, select.features)
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


NO_BASELINE_FIX = "name it with --baseline FILE, or mark the gate optional = true"


class Applicable(NamedTuple):
    """The gates that a run can be judged by, and a line for each that was left out.

    `needs_baseline` tells whether the first unmet one speaks of a baseline that was not given.
    """

    gates: tuple[Gate, ...]
    left_out: tuple[str, ...]
    unmet: tuple[str, ...]
    needs_baseline: bool = False


def applicable_gates(
    gates: Iterable[Gate], subjects: Sequence[Subject], baseline: Sequence[Subject] | None = None
) -> Applicable:
    """Sort gates, before any work, by whether the planned subjects include one that they speak about.

    Args:
        gates: of the suite.
        subjects: of the run.
        baseline: subjects of the baseline; None where there is no baseline.

    Returns:
        The gates to judge, the optional ones left out (warnings for the report), and those that are not
        optional and would end in an error: refuse the run, naming them.
    """
    kept: list[Gate] = []
    left_out: list[str] = []
    unmet: list[str] = []
    without: list[bool] = []
    for gate in gates:
        if any(_speaks_of(gate, subject, subjects, baseline or ()) for subject in subjects):
            kept.append(gate)
            continue
        select = gate.select
        needs = f"model {select.model}, strategy {select.strategy}"
        if select.features != "*":
            needs += f", features {select.features}"
        if gate.reference == BASELINE:
            needs += ", in the baseline too"
        elif gate.reference != CLEAN:
            needs += f" to compare with strategy {gate.reference}"
        line = f"gate {gate.name!r} speaks of no subject of this run (needs {needs})"
        missing = gate.reference == BASELINE and baseline is None
        if missing:
            line = f"gate {gate.name!r} compares with the baseline, and none was given"
        (left_out if gate.optional else unmet).append(line)
        without += [] if gate.optional else [missing]
    return Applicable(tuple(kept), tuple(left_out), tuple(unmet), any(without[:1]))


def _speaks_of(gate: Gate, subject: Subject, subjects: Sequence[Subject], baseline: Sequence[Subject]) -> bool:
    select = gate.select
    named = matches(subject.strategy, select.strategy) and matches(subject.features, select.features)
    named = named and matches(subject.model, select.model)
    if select.condition.startswith(TRAINED) and subject.strategy == EXTERNAL:
        return False  # what was trained elsewhere is not trained again
    if not named or gate.reference == CLEAN:
        return named
    if gate.reference == BASELINE:
        return subject in baseline
    reference = subject.model_copy(update={"strategy": gate.reference})
    return subject.strategy != gate.reference and reference in subjects
