"""The table of findings: one row for each measured number, and the status of each audit.

Console, JSON, gates and comparisons read only this table. Values are unrounded float64; only the display rounds.
A number that could not be measured is None with a note, never NaN.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from robustrec.columns import SegmentKind as SegmentKind
from robustrec.results.conditions import Condition
from robustrec.subject import Record, Subject

CLEAN = "clean"
"""Reference of a row that compares a subject with itself on clean input."""

CONTENT_USE = "content_use"
"""Audit of what every run measures beside clean quality: how much of it comes from the content of the items."""

USE = "content_use"
"""Metric of a value row: the share of the clean quality that is lost with other features, 1 - kept."""

AMONG_COLD = "among_cold_items"
"""End of the metric of lists of cold items alone: ndcg@20_among_cold_items."""

EXPOSURE = "exposure"
"""Kind of the metric of a group of items: share of the positions in the top k with an item of it."""

VALUE_EXPOSURE = "value_exposure"
"""Kind of the exposure of edited items that is weighted by their value (price, margin)."""

ENCODER = "encoder"
"""Name of the encoder audit."""

BASELINE = "baseline"
"""Reference of a row that compares a subject with itself in the baseline."""

TOGETHER = "the encoder reads text and picture together"
"""Note of a cause whose vectors an edit of the other modality changed."""

Group = Literal["all", "edited", "head", "tail", "untouched", "cold_items", "warm_items", "cold_users"]

STRATA: tuple[Group, ...] = ("cold_items", "warm_items", "cold_users")
"""Groups by training interactions. The metric of such a finding ends in the group: ndcg@20_cold_items."""

# Means over users taken in different orders are equal up to float64 summation, not to the bit.
_SUMMATION_TOLERANCE = 1e-6
# Two drifts that are 0 but for rounding have no scale of their own.
_ROUNDING = 1e-12


class Finding(Record):
    """One row: one metric of one subject under one condition.

    quantity "drift": `clean` and `perturbed` are means over the same users and draws, `drift` is perturbed
    - clean, and the interval is the drift's. quantity "value": `clean` holds the value, and the interval is
    the value's. A row whose reference is another strategy holds that strategy's number in `clean`, this
    subject's in `perturbed` and their difference in `drift`; under audit "clean" the numbers are qualities,
    else drifts.

    A value outside the searched range (a break point that was not reached) has `clean` None and exactly one bound:
    only `ci_low` means "at least", and only `ci_high` means "at most".
    """

    subject: Subject
    audit: str = Field(
        min_length=1, description="audit that measured the finding, for example noise; clean for clean quality"
    )
    condition: Condition
    metric: str = Field(min_length=1, description="metric, for example ndcg@20, rbo@20 or snr_db_image")
    group: Group | None = Field(
        default=None,
        description="whom the metric is of, if its name says it: users with an edited test item and these items "
        "(edited; head and tail: popular and rare ones), the other users and items (untouched), or all; users with a "
        "test item without training interactions, with these items alone as relevant (cold_items), the same for other "
        "test items (warm_items), and users without training interactions (cold_users), counted and not measured",
    )
    segment_by: SegmentKind | None = Field(
        default=None,
        description="of a segment of the users, what it is a segment of: their training interactions (activity), a "
        "column of their own (user:country), or the popularity, category, brand, price or a column (item:season) of "
        "their test items; exposure@k is of the items of the group in the lists of all test users",
    )
    segment: str | None = Field(default=None, min_length=1, description="name of the segment, for example a category")
    modality: str | None = Field(
        default=None,
        min_length=1,
        description="modality or vector that the metric is of, if its name says it; for touched, edit_size and "
        "hidden_share, what the edit changes: text, image or both",
    )
    reference: str = Field(default=CLEAN, min_length=1, description='"clean", or the strategy to compare with')
    quantity: Literal["drift", "value"] = Field(description="number that ci_low and ci_high bound")
    clean: float | None = None
    perturbed: float | None = None
    drift: float | None = None
    relative_drift: float | None = Field(default=None, description="drift as a share of clean; None if clean is 0")
    ci_low: float | None = None
    ci_high: float | None = None
    relative_ci_low: float | None = None
    relative_ci_high: float | None = None
    degrees: float | None = Field(
        default=None, ge=1, description="effective degrees of freedom of the intervals; None if unknown"
    )
    interval: Literal["confidence", "bracket"] = Field(
        default="confidence",
        description="confidence: confidence interval; bracket: search bounds that contain the value",
    )
    n_users: int = Field(ge=0, description="number of users in the mean; 0 if the metric does not depend on users")
    n_changed: int | None = Field(
        default=None, ge=0, description="number of users with a different value in any draw; None if not counted"
    )
    users_lose: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="of a drift of quality: share of the users with a lower value than the reference, mean over the "
        "draws; None if not counted, as in reports of earlier versions",
    )
    users_gain: float | None = Field(default=None, ge=0, le=1, description="the same with a higher value")
    sampled: int | None = Field(
        default=None,
        ge=1,
        description="of a share: members that were sampled at random. ci_low and ci_high are its one-sided "
        "Clopper-Pearson bounds then, each by itself of the confidence level",
    )
    counted: int | None = Field(default=None, ge=0, description="of a share: sampled members that have the property")
    n_draws: int = Field(ge=0, description="number of random draws in the mean; 0 if nothing is random")
    unit: str = Field(description="unit of clean, perturbed and drift, for example share, dB or variance")
    note: str = ""

    @property
    def measure(self) -> str:
        """The metric without its group or modality: rank for rank_edited, movement for movement_image."""
        return self.metric.removesuffix(f"_{self.group or self.modality}")

    @property
    def censored(self) -> bool:
        """Whether only one bound of the value is known, because it is outside the searched range."""
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
            raise ValueError(
                "a finding of quantity value must have its value in clean, and no perturbed, drift or relative_drift"
            )
        if (self.segment is None) != (self.segment_by is None):
            raise ValueError("a finding of a segment has both segment_by and segment")
        if (self.sampled is None) != (self.counted is None) or (self.counted or 0) > (self.sampled or 0):
            raise ValueError(f"{self.counted} of {self.sampled} sampled members is not a share")
        if self.clean is not None and self.perturbed is not None and self.drift is not None:
            scale = max(abs(self.clean), abs(self.perturbed))
            if abs(self.drift - (self.perturbed - self.clean)) > _SUMMATION_TOLERANCE * scale + _ROUNDING:
                raise ValueError(f"drift {self.drift} is not perturbed {self.perturbed} - clean {self.clean}")
        return self


def stratum_of(metric: str) -> Group | None:
    """Return the group by training interactions that the name of a metric ends in, or None."""
    return next((group for group in STRATA if metric.endswith(f"_{group}")), None)


class AuditStatus(Record):
    """Status of one audit of one subject: ok, error, or not applicable."""

    audit: str = Field(min_length=1)
    subject: Subject
    status: Literal["ok", "error", "not_applicable"]
    message: str = Field(default="", description="reason, unless the status is ok")


def _check_bounds(
    low_name: str, low: float | None, high_name: str, high: float | None, *, one_allowed: bool = False
) -> None:
    if (low is None) != (high is None) and not one_allowed:
        raise ValueError(f"{low_name} and {high_name} must both be set or both be None")
    if low is not None and high is not None and low > high:
        raise ValueError(f"{low_name} {low} must not be above {high_name} {high}")
