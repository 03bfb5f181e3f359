"""Configuration of the merchant audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from robustrec.audits.kind import AuditConfig
from robustrec.audits.values import AccuracyMetric, Draws, distinct
from robustrec.edits import ALL, JOIN
from robustrec.evaluation.kinds import LONGEST_LIST
from robustrec.results.findings import VALUE_EXPOSURE

Severity = Annotated[int, Field(ge=0, le=5)]
EditName = Annotated[str, Field(min_length=1)]
EditedShare = Annotated[float, Field(gt=0, le=1)]


class MerchantAudit(AuditConfig):
    """Edit titles, descriptions and pictures of some items, and encode these items again."""

    kind: Literal["merchant"]
    edits: Annotated[tuple[EditName, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(ALL,),
        description='names of edits, "package.module:function", combinations of them ("promo_phrase+promo_badge"), or '
        '"all" for all built-in edits',
    )
    severities: Annotated[tuple[Severity, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(1, 3, 5), description="severities from 1 to 5; 0 is an A/A audit, which must measure no change"
    )
    shares: Annotated[tuple[EditedShare, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(0.1,), description="share of items to edit, the same in each popularity stratum"
    )
    draws: Draws = Field(default=3, description="random choices of items, each with other random numbers for the edits")
    strata: int = Field(
        default=3, ge=2, le=10, description="number of popularity strata; the first is tail, the last is head"
    )
    graphs: Annotated[tuple[Literal["rebuilt", "frozen"], ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("rebuilt",),
        description="rebuilt: build item graphs from the edited features; frozen: keep the clean item graphs",
    )
    metric: AccuracyMetric = Field(
        default="ndcg@20", description="main metric, also measured for users with edited test items and for other users"
    )
    exposure: int = Field(default=20, ge=1, le=LONGEST_LIST, description="list length k for exposure")
    fragile: int = Field(
        default=5,
        ge=0,
        le=50,
        description="number of most fragile items to keep, with content before and after the edit",
    )

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """Metrics in addition to those of the suite, see `robustrec.audits.merchant.conditions`."""
        exposure = f"exposure@{self.exposure}"
        return (
            f"{exposure}_all",
            f"{exposure}_edited",
            f"{exposure}_head",
            f"{exposure}_tail",
            f"{self.metric}_edited",
            f"{self.metric}_untouched",
            "rank_edited",
            "rank_head",
            "rank_tail",
            "rank_untouched",
            "median_rank_shift_edited",
            "touched",
            "seen",
        )

    @property
    def value_metrics(self) -> tuple[str, ...]:
        """Metrics of a suite with values of items."""
        groups = ("all", "edited", "head", "tail", "untouched")
        return tuple(f"{VALUE_EXPOSURE}@{self.exposure}_{group}" for group in groups)

    @model_validator(mode="after")
    def _one_of_each(self) -> MerchantAudit:
        for name in self.edits:
            parts = name.split(JOIN)
            if len(parts) > 1 and (ALL in parts or "" in parts or len(set(parts)) < len(parts)):
                raise ValueError(
                    f"{name!r} is not a combination of edits; expected for example promo_phrase{JOIN}promo_badge"
                )
        return self
