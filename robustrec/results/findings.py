"""The tidy table of findings: one row per number that an audit measured, and how each audit ended.

Console, JSON, gates and comparisons read this table and nothing else. Values are unrounded float64;
rounding is a matter of display. A number that could not be measured is None with a note, never NaN.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from robustrec.subject import Record, Subject

CLEAN = "clean"
"""The reference of a row that compares a subject with itself on unperturbed input."""

BASELINE = "baseline"
"""The reference of a row that compares a subject with itself in an accepted earlier report."""

TRAINED = "trained "
"""How the condition of a row begins that was measured by training once more."""

# Means over users taken in different orders are equal up to float64 summation, not to the bit.
_SUMMATION_TOLERANCE = 1e-6


class Finding(Record):
    """One row: one metric of one subject under one condition.

    quantity "drift": `clean` and `perturbed` are means over the same users and draws, `drift` is perturbed
    - clean, and the interval is the drift's. quantity "value": `clean` holds the value, and the interval is
    the value's. A row whose reference is another strategy holds that strategy's number in `clean`, this
    subject's in `perturbed` and their difference in `drift`; under audit "clean" the numbers are qualities,
    else drifts.

    A value known only to lie beyond the searched range (a break point that was not reached) has `clean` None
    and exactly one bound: `ci_low` alone says "at least", `ci_high` alone "at most".
    """

    subject: Subject
    audit: str = Field(min_length=1, description="audit that measured it, e.g. noise; clean for plain quality")
    condition: str = Field(min_length=1, description="what was done, e.g. sigma2=1e-06")
    metric: str = Field(min_length=1, description="e.g. ndcg@20, rbo@20, snr_db_image")
    reference: str = Field(default=CLEAN, min_length=1, description='"clean", or the strategy compared with')
    quantity: Literal["drift", "value"] = Field(description="what ci_low and ci_high are the interval of")
    clean: float | None = None
    perturbed: float | None = None
    drift: float | None = None
    relative_drift: float | None = Field(default=None, description="share of clean; None where clean is 0")
    ci_low: float | None = None
    ci_high: float | None = None
    relative_ci_low: float | None = None
    relative_ci_high: float | None = None
    degrees: float | None = Field(
        default=None, ge=1, description="effective degrees of freedom of the intervals; None where they are unknown"
    )
    interval: Literal["confidence", "bracket"] = Field(
        default="confidence", description="bracket: two values of a search that the number lies between for certain"
    )
    n_users: int = Field(ge=0, description="users averaged over; 0 where no user is involved")
    n_changed: int | None = Field(
        default=None, ge=0, description="users whose value differs in any draw; None where they were not counted"
    )
    n_draws: int = Field(ge=0, description="random perturbations averaged over; 0 where nothing is random")
    unit: str = Field(description="unit of clean, perturbed and drift, e.g. share, dB, variance")
    note: str = ""

    @property
    def censored(self) -> bool:
        """Whether only one bound of the value is known: it lies beyond the range that was searched."""
        one_bound = (self.ci_low is None) != (self.ci_high is None)
        return self.quantity == "value" and self.clean is None and one_bound

    @model_validator(mode="after")
    def _consistent(self) -> Finding:
        _check_bounds("ci_low", self.ci_low, "ci_high", self.ci_high, one_allowed=self.censored)
        _check_bounds("relative_ci_low", self.relative_ci_low, "relative_ci_high", self.relative_ci_high)
        if self.quantity == "value" and (self.drift, self.relative_drift, self.perturbed) != (
            None,
            None,
            None,
        ):
            raise ValueError("a value row holds its value in clean and has no perturbed, drift or relative_drift")
        if self.clean is not None and self.perturbed is not None and self.drift is not None:
            scale = max(abs(self.clean), abs(self.perturbed))
            if abs(self.drift - (self.perturbed - self.clean)) > _SUMMATION_TOLERANCE * scale:
                raise ValueError(f"drift {self.drift} is not perturbed {self.perturbed} - clean {self.clean}")
        return self


class AuditStatus(Record):
    """How one audit of one subject ended: measured, failed to measure, or has nothing to measure there."""

    audit: str = Field(min_length=1)
    subject: Subject
    status: Literal["ok", "error", "not_applicable"]
    message: str = Field(default="", description="why, unless ok")


def _check_bounds(
    low_name: str, low: float | None, high_name: str, high: float | None, *, one_allowed: bool = False
) -> None:
    if (low is None) != (high is None) and not one_allowed:
        raise ValueError(f"{low_name} and {high_name} come together or not at all")
    if low is not None and high is not None and low > high:
        raise ValueError(f"{low_name} {low} lies above {high_name} {high}")
