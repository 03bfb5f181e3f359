"""Configuration of the search for the worst and the best edits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from robustrec.audits.kind import AuditConfig
from robustrec.audits.merchant.config import EditName
from robustrec.audits.values import AccuracyMetric, distinct
from robustrec.evaluation.kinds import LONGEST_LIST
from robustrec.results.conditions import ALL

LOST = (25, 50)
"""Losses of exposure in %: `items_losing_25` counts the items that lose more than 25 %."""


class WorstAudit(AuditConfig):
    """Search for the edits of an item that cost or gain it the most exposure, each item edited alone."""

    kind: Literal["worst"]
    edits: Annotated[tuple[EditName, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(ALL,),
        description='names of edits, "package.module:function", or "all" for all built-in edits; the search '
        "combines them",
    )
    meaning: Literal["kept", "any"] = Field(
        default="kept",
        description="kept: only edits whose declaration says that the item stays the same product; any: also those "
        "that say or show another product, colour, season or number of pieces, and upload faults",
    )
    budget: int = Field(default=2, ge=1, le=4, description="largest number of edits of an item")
    severities: Annotated[
        tuple[Annotated[int, Field(ge=1, le=5)], ...], Field(min_length=1), AfterValidator(distinct)
    ] = Field(default=(1, 3), description="severities from 1 to 5 that are tried; the largest is that of the condition")
    draws: int = Field(default=2, ge=1, le=20, description="random numbers that are tried for each edit and severity")
    items: int = Field(
        default=12,
        ge=2,
        le=1000,
        description="number of items, chosen at random in three strata of popularity, the same for every subject as "
        "far as they have the exposure that `shown` asks for",
    )
    shown: int = Field(
        default=5, ge=1, description="smallest number of users of the search who see the item before the edit"
    )
    targets: Annotated[tuple[Annotated[int, Field(ge=0)], ...], AfterValidator(distinct)] = Field(
        default=(),
        description="numbers of further items to search edits for, whatever their exposure; no mean has them",
    )
    beam: int = Field(
        default=4,
        ge=1,
        le=64,
        description="number of edits that are ranked at each step of the search, for the worst and for the best each",
    )
    encodings: int = Field(
        default=4000, ge=50, description="largest number of encoded rows for all items of a subject together"
    )
    random: int = Field(default=6, ge=2, le=100, description="random combinations of edits of each item, for the mean")
    ascent: int = Field(
        default=10, ge=0, le=200, description="steps of the projected gradient attack on the features; 0 for none"
    )
    examples: int = Field(
        default=6, ge=0, le=100, description="number of drawn items that the report shows, with single edits of each"
    )
    tolerance: float = Field(
        default=0.1, ge=0, le=0.5, description="share of its exposure that an item may lose under an edit called safe"
    )
    metric: AccuracyMetric = Field(
        default="ndcg@20", description="also measured for users with the item as a test item"
    )
    exposure: int = Field(default=20, ge=1, le=LONGEST_LIST, description="list length k for exposure")

    @property
    def severity(self) -> int:
        """The largest severity."""
        return max(self.severities)

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """Metrics in addition to those of the suite."""
        return (f"exposure@{self.exposure}_edited", f"{self.metric}_edited", "items", *lost_metrics())


def lost_metrics() -> tuple[str, ...]:
    """Return the metrics of the share of items that lose more than a part of their exposure."""
    return tuple(f"items_losing_{percent}" for percent in LOST)
