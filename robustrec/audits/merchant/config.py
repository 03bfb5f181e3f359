"""What a suite can ask of the merchant audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from robustrec.audits.values import LONGEST_LIST, Draws, QualityMetric, distinct
from robustrec.subject import Record

ALL = "all"
"""Stands for every edit that comes with robustrec."""

JOIN = "+"
"""Between the edits of a combination, which are made one after the other on the same item."""

Severity = Annotated[int, Field(ge=0, le=5)]
EditName = Annotated[str, Field(min_length=1)]
EditedShare = Annotated[float, Field(gt=0, le=1)]


class MerchantAudit(Record):
    """Merchants edit titles, descriptions and pictures of some items, which are encoded again."""

    kind: Literal["merchant"]
    edits: Annotated[tuple[EditName, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(ALL,),
        description='names of edits, "package.module:function", combinations of them ("promo_phrase+promo_badge"), or '
        '"all" for those that come with robustrec',
    )
    severities: Annotated[tuple[Severity, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(1, 3, 5), description="from 1 to 5; 0 is an A/A audit and must find nothing"
    )
    shares: Annotated[tuple[EditedShare, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(0.1,), description="share of the items that are edited, the same of each stratum of popularity"
    )
    draws: Draws = Field(default=3, description="choices of items, each with its own random numbers for the edits")
    strata: int = Field(default=3, ge=2, le=10, description="strata of popularity; the first is tail, the last head")
    graphs: Annotated[tuple[Literal["rebuilt", "frozen"], ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("rebuilt",),
        description="item graphs rebuilt from the edited features (the pipeline ran again), or kept as they were",
    )
    metric: QualityMetric = Field(default="ndcg@20", description="headline: measured for parts of the users too")
    exposure: int = Field(default=20, ge=1, le=LONGEST_LIST, description="length of the lists exposure is counted in")
    fragile: int = Field(default=5, ge=0, le=50, description="most fragile items kept with their before and after")

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """The metrics it measures beside the suite's, see `robustrec.audits.merchant.conditions`."""
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

    @model_validator(mode="after")
    def _one_of_each(self) -> MerchantAudit:
        for name in self.edits:
            parts = name.split(JOIN)
            if len(parts) > 1 and (ALL in parts or "" in parts or len(set(parts)) < len(parts)):
                raise ValueError(f"{name!r} is no combination of edits; for example promo_phrase{JOIN}promo_badge")
        return self
