"""Configuration of the cause audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from robustrec.audits.kind import AuditConfig
from robustrec.audits.merchant.config import EditedShare, EditName, MerchantAudit, Severity
from robustrec.audits.values import AccuracyMetric, Draws, distinct
from robustrec.edits import ALL
from robustrec.evaluation.kinds import LONGEST_LIST
from robustrec.results.findings import Group

SHAPLEY, LEAVE_ONE_OUT = "shapley", "leave_one_out"
"""Ends of the metrics: a cause's share of the drift, and the drift that goes away if this cause alone is undone."""


class CauseAudit(AuditConfig):
    """Decompose the drift under merchant edits into its causes: text vectors, picture vectors and item graphs."""

    kind: Literal["cause"]
    edits: Annotated[tuple[EditName, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(ALL,),
        description='names of edits, "package.module:function", combinations of them ("promo_phrase+promo_badge"), or '
        '"all" for all built-in edits',
    )
    severities: Annotated[tuple[Severity, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(3,), description="severities from 1 to 5; 0 is an A/A audit, which must measure no change"
    )
    share: EditedShare = Field(default=0.1, description="share of items to edit, the same in each popularity stratum")
    draws: Draws = Field(default=3, description="random choices of items, each with other random numbers for the edits")
    strata: int = Field(default=3, ge=2, le=10, description="number of popularity strata")
    metric: AccuracyMetric = Field(default="ndcg@20", description="metric whose drift is decomposed")
    exposure: int = Field(
        default=20, ge=1, le=LONGEST_LIST, description="list length k for the exposure of edited items"
    )

    @property
    def merchant(self) -> MerchantAudit:
        """The merchant audit with the same edits of the same items."""
        return MerchantAudit(
            kind="merchant",
            edits=self.edits,
            severities=self.severities,
            shares=(self.share,),
            draws=self.draws,
            strata=self.strata,
            metric=self.metric,
            exposure=self.exposure,
            fragile=0,
        )

    @property
    def measures(self) -> tuple[tuple[str, Group | None], ...]:
        """What is decomposed: (metric, group)."""
        exposure = f"exposure@{self.exposure}"
        return (self.metric, None), (exposure, "all"), (exposure, "edited")

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """Metrics of the findings, for every measure its shares and what restoring one cause alone gives back."""
        return tuple(cause_metric(*each, end) for each in self.measures for end in (SHAPLEY, LEAVE_ONE_OUT))


def cause_metric(metric: str, group: Group | None, end: str) -> str:
    """Return the name of a metric in the findings: "exposure@20_shapley_edited"."""
    return f"{metric}_{end}" + (f"_{group}" if group else "")
