"""Gates: limits on findings.

A gate selects findings, the number to check, and the limits of this number. `judging` judges gates; `error_rates`
controls the false alarm rate at the level of the suite.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from robustrec.evaluation.error_rates import POWER, Correction
from robustrec.results.conditions import Condition
from robustrec.results.findings import BASELINE, CLEAN, CONTENT_USE, Finding
from robustrec.results.possible_limits import possible_range, wrong_limits
from robustrec.results.selection import Select, label_warning, matches
from robustrec.results.waivers import Waived
from robustrec.subject import EXTERNAL, Record, Subject
from robustrec.training.strategy_names import canonical_strategy

GateStatus = Literal["pass", "fail", "inconclusive", "error"]
Quantity = Literal["value", "drift", "relative_drift"]

MOST_DETECTED = 2.0
"""A gate is underpowered if it does not detect this multiple of its limit with probability POWER."""


class Gate(Record):
    """A limit on findings.

    The quantity "value" is for value rows; "drift" and "relative_drift" are for drift rows (a loss is negative).
    `against` = "baseline" checks the change since the accepted baseline (of clean quality for audit "clean", else of
    the drift). `against` = a strategy checks the difference from this strategy; it is short for `select.reference`.
    The bound "interval" compares the whole interval with the limits; "estimate" has no error rate and is not part of
    the correction. An `optional` gate is skipped with a warning if it matches no subject of the run; any other gate
    that matches no subject is an error.
    """

    name: str = Field(min_length=1, description="name of the gate in verdicts and waivers")
    select: Select = Field(description="which findings the gate checks")
    quantity: Quantity = Field(description="which number of each finding the gate checks")
    min: float | None = Field(default=None, description="smallest allowed number")
    max: float | None = Field(default=None, description="largest allowed number")
    bound: Literal["interval", "estimate"] = Field(
        default="interval",
        description="interval: compare the whole confidence interval with the limit; estimate: "
        "compare only the estimate",
    )
    severity: Literal["error", "warn"] = Field(
        default="error",
        description="error: blocking gate; warn: warning gate, a breach is listed and does not change the verdict",
    )
    optional: bool = Field(
        default=False, description="skip the gate, with a warning, if it matches no subject of the run"
    )
    against: Annotated[str, AfterValidator(canonical_strategy)] | None = Field(
        default=None, min_length=1, description='"baseline", or the strategy to compare with'
    )

    @property
    def reference(self) -> str:
        """Reference of the findings that the gate checks."""
        return self.against or self.select.reference

    @model_validator(mode="after")
    def _has_limits(self) -> Gate:
        if self.min is None and self.max is None:
            raise ValueError(f"gate {self.name!r} has neither min nor max and can never fail")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"gate {self.name!r} has min {self.min} above max {self.max} and can never pass")
        if self.against and self.select.reference not in (CLEAN, self.against):
            raise ValueError(
                f"gate {self.name!r} is against {self.against!r}, but selects the reference {self.select.reference!r}"
            )
        if self.reference == BASELINE and self.quantity == "value":
            raise ValueError(
                f"gate {self.name!r} checks a value against the baseline, but a baseline comparison "
                "has only drift and relative_drift"
            )
        select = self.select
        if select.audit == CLEAN and self.quantity != "value" and self.reference == CLEAN:
            raise ValueError(
                f"gate {self.name!r} checks the drift of clean quality, which has no drift without a reference"
            )
        possible = possible_range(self.quantity, select.metric_name, reference=self.reference, audit=select.audit)
        what = f"the {self.quantity.replace('_', ' ')} of {select.metric_name}"
        if wrong := wrong_limits(self.min, self.max, possible, what=what):
            raise ValueError(f"gate {self.name!r}: {wrong}")
        return self


class GateResult(Record):
    """Result of a gate, with the deciding finding."""

    gate: str
    severity: Literal["error", "warn"]
    status: GateStatus
    message: str = Field(description="result in one sentence, with the number and the limit")
    selected: int = Field(ge=0, description="number of findings that the gate checked")
    quantity: Quantity
    min: float | None
    max: float | None
    subject: Subject | None = Field(
        default=None,
        description="subject of the finding that decided; that of the first seed if it is a mean over seeds",
    )
    seeds: tuple[int, ...] = Field(
        default=(), description="training seeds of the mean that decided; empty if it is of one training"
    )
    audit: str | None = None
    condition: Condition | None = None
    metric: str | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="p-value of the finding that decided: its interval of level 1 - p just lies outside a limit",
    )
    p_adjusted: float | None = Field(
        default=None, ge=0, le=1, description="p-value of the finding that decided, corrected for multiple testing"
    )
    family: int | None = Field(default=None, ge=1, description="number of findings in the multiple-testing correction")
    correction: Correction | None = None
    detects_below: float | None = Field(
        default=None,
        description=f"true values at or below this fail with a probability of {POWER:.0%}, in each "
        "finding: a loss of quality "
        "even if it affects only some users, who lose everything; any other change if all users change alike",
    )
    detects_above: float | None = Field(default=None, description="the same for true values at or above this")
    waived: Waived | None = Field(default=None, description="the waiver that changes how the status counts")
    note: str = Field(default="", description="limitations of this result")

    @property
    def effective(self) -> GateStatus:
        """Status that counts for the verdict, after waivers."""
        return self.waived.otherwise if self.waived else self.status

    @property
    def underpowered(self) -> bool | None:
        """Whether the gate misses a change of twice its limit, or the loss of everything, too often; None if unknown.

        The smallest change that the gate detects with probability POWER is more than twice its limit, or a relative
        drift below -1. This is not defined for a limit of zero.
        """
        if self.quantity == "relative_drift" and self.detects_below is not None and self.detects_below < -1:
            return True
        reach = [
            (limit, detects)
            for limit, detects in ((self.min, self.detects_below), (self.max, self.detects_above))
            if limit and detects is not None
        ]
        return any(abs(detects) > MOST_DETECTED * abs(limit) for limit, detects in reach) if reach else None

    @property
    def where(self) -> str:
        """Subject and condition of the deciding finding in one line; empty if there is none."""
        return f"{self.subject.label}, {self.condition.label}" if self.subject and self.condition else ""


class Numbers(NamedTuple):
    """The number of a finding that a gate checks, with its interval; None if the finding has none."""

    estimate: float | None
    low: float | None
    high: float | None


def selects(gate: Gate, finding: Finding) -> bool:
    """Return whether a gate selects a finding."""
    wanted_rows = "value" if gate.quantity == "value" else "drift"
    select = gate.select
    return (
        finding.quantity == wanted_rows
        and finding.reference == gate.reference
        and _of_audit(finding.audit, select.audit)
        and select.wants(finding.condition)
        and select.wants_metric(finding)
        and matches(finding.subject.strategy, select.strategy)
        and matches(finding.subject.model, select.model)
        and matches(finding.subject.features, select.features)
    )


def _of_audit(audit: str, wanted: str) -> bool:
    # Content use is no robustness: a gate asks for it by its name, never by a wildcard.
    return audit == wanted if audit == CONTENT_USE else matches(audit, wanted)


def label_warnings(gates: Iterable[Gate]) -> list[str]:
    """Return a warning for each gate that selects by the label of a condition, with the keys to write."""
    return [warning for gate in gates if (warning := label_warning(gate.name, gate.select))]


def numbers_of(finding: Finding, quantity: Quantity) -> Numbers:
    """Return the number that a gate on `quantity` checks, with its interval."""
    if quantity == "relative_drift":
        return Numbers(finding.relative_drift, finding.relative_ci_low, finding.relative_ci_high)
    estimate = finding.clean if quantity == "value" else finding.drift
    return Numbers(estimate, finding.ci_low, finding.ci_high)


NO_BASELINE_FIX = "pass --baseline FILE, or omit the gate (in a suite, optional = true skips it without a baseline)"


class Applicable(NamedTuple):
    """Gates that apply to a run, and a line for each gate that does not.

    `needs_baseline` is true if the first unmet gate needs a baseline and none was given.
    """

    gates: tuple[Gate, ...]
    left_out: tuple[str, ...]
    unmet: tuple[str, ...]
    needs_baseline: bool = False


def applicable_gates(
    gates: Iterable[Gate], subjects: Sequence[Subject], baseline: Sequence[Subject] | None = None
) -> Applicable:
    """Sort gates, before any work, by whether they match a planned subject.

    Args:
        gates: of the suite.
        subjects: of the run.
        baseline: subjects of the baseline; None where there is no baseline.

    Returns:
        The gates to judge, the skipped optional gates (warnings for the report), and the required gates that match
        no subject, for which the run is refused.
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
        line = f"gate {gate.name!r} matches no subject of this run (needs {needs})"
        missing = gate.reference == BASELINE and baseline is None
        if missing:
            line = f"gate {gate.name!r} compares with the baseline, but no baseline was given"
        (left_out if gate.optional else unmet).append(line)
        without += [] if gate.optional else [missing]
    return Applicable(tuple(kept), tuple(left_out), tuple(unmet), any(without[:1]))


def _speaks_of(gate: Gate, subject: Subject, subjects: Sequence[Subject], baseline: Sequence[Subject]) -> bool:
    select = gate.select
    named = matches(subject.strategy, select.strategy) and matches(subject.features, select.features)
    named = named and matches(subject.model, select.model)
    if select.of_training_noise and subject.strategy == EXTERNAL:
        return False  # what was trained elsewhere is not trained again
    if not named or gate.reference == CLEAN:
        return named
    if gate.reference == BASELINE:
        return subject in baseline
    reference = subject.model_copy(update={"strategy": gate.reference})
    return subject.strategy != gate.reference and reference in subjects
