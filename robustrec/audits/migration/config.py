"""Configuration of the migration audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from robustrec.audits.kind import AuditConfig
from robustrec.audits.values import AccuracyMetric, Draws, Share, distinct
from robustrec.evaluation.kinds import LONGEST_LIST
from robustrec.results.conditions import Adapter

QUANTISED = ("float16", "int8")
"""New encoders that are the old vectors in fewer bits."""

SAME = "same"
"""New encoder of an A/A audit: the old vectors."""

BREAK_SHARE, MOVED = "break_share", "exposure_moved"
"""Metrics of value rows: smallest share that breaks the limit, and share of the list positions that move between items,
brands or categories."""
GROUPS = ("item", "brand", "category")


class MigrationAudit(AuditConfig):
    """Replace the encoder of the item features by another one, for a growing share of the items."""

    kind: Literal["migration"]
    new_encoders: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1), AfterValidator(distinct)
    ] = Field(
        default=("float16", "int8"),
        description="what replaces the features: an encoder as in --features, the old vectors in fewer bits (float16, "
        "or int8 with one scale for each vector), or same for an A/A audit, which must measure no change",
    )
    weights: tuple[str, ...] = Field(
        default=(), description="weights of the new encoders, as in --weights; for another version of the same encoder"
    )
    shares: Annotated[tuple[Share, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(0.0, 0.25, 0.5, 0.75, 1.0),
        description="share of the items with new vectors, the same in each popularity stratum; the others keep "
        "their old ones",
    )
    adapters: Annotated[tuple[Adapter, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("none", "procrustes"),
        description="none: new vectors as they are; procrustes: mapped to the old space by the shift, rotation and "
        "scale that fit a sample of items best; vectors in fewer bits have none",
    )
    training: Annotated[
        tuple[Literal["kept", "retrained", "other_seed"], ...], Field(min_length=1), AfterValidator(distinct)
    ] = Field(
        default=("kept", "retrained", "other_seed"),
        description="kept: the model trained on old vectors; retrained: the model trained on the new vectors of all "
        "items; other_seed: trained on old vectors from another seed, the reference for the churn of the others",
    )
    fit_items: int = Field(default=500, ge=2, description="items that fit the adapter, chosen at random")
    draws: Draws = Field(default=3, description="random choices of the items with new vectors; a larger share has more")
    metric: AccuracyMetric = Field(default="ndcg@20", description="metric of the break share")
    max_relative_drop: float = Field(default=0.05, gt=0, lt=1, description="relative loss at the break share")
    k: int = Field(default=20, ge=1, le=LONGEST_LIST, description="list length for churn and exposure")

    @property
    def variants(self) -> tuple[tuple[str, Adapter], ...]:
        """Pairs of new encoder and adapter; vectors in fewer bits are in the old space already."""
        return tuple(
            (name, adapter)
            for name in self.new_encoders
            for adapter in (("none",) if name in (*QUANTISED, SAME) else self.adapters)
        )

    @property
    def churn(self) -> tuple[str, ...]:
        """Metrics of how lists change."""
        return f"overlap@{self.k}", f"changed@{self.k}", f"rbo@{self.k}"

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """Metrics of churn, whether or not the suite lists them."""
        return self.churn
