"""Configuration of the guarantee audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from robustrec.audits.kind import AuditConfig
from robustrec.audits.merchant.config import EditName, Severity
from robustrec.audits.values import distinct
from robustrec.evaluation.kinds import LONGEST_LIST


class GuaranteeAudit(AuditConfig):
    """Edit a random sample of items, each alone, and bound the share of all items that lose places in the top k."""

    kind: Literal["guarantee"]
    edits: Annotated[tuple[EditName, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("promo_phrase+promo_badge",),
        description='names of edits, "package.module:function", combinations of them ("promo_phrase+promo_badge"), or '
        '"all" for all built-in edits; each has a statement of its own',
    )
    severities: Annotated[tuple[Severity, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(3,), description="severities from 1 to 5; 0 is an A/A audit, in which no item may lose a place"
    )
    items: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="number of items to sample at random (seeded, without replacement) among those that hold a place "
        "and that the edit changes; each is edited alone, and costs an encoding and a representation",
    )
    k: int = Field(default=20, ge=1, le=LONGEST_LIST, description="list length: a place is one in the top k of a user")
    max_loss: float = Field(
        default=0.25, ge=0, lt=1, description="share of its places above which the loss of an item counts"
    )
    claim: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="share of items that the statement should bound: a report says how many items that takes",
    )
    graphs: Annotated[tuple[Literal["rebuilt", "frozen"], ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("rebuilt",),
        description="rebuilt: build item graphs from the edited features; frozen: keep the clean item graphs",
    )

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """Metrics of the findings, see `robustrec.audits.guarantee.rows`."""
        names = ("losing", "loss_bound", "places_kept", "places_certified", "certified_radius", "without_place")
        return (*(f"{name}@{self.k}" for name in names), "displacement")
