"""Configuration of the missing audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from robustrec.audits.kind import AuditConfig
from robustrec.audits.noise.config import Scope
from robustrec.audits.values import Draws, Share, distinct

MissingFill = Literal["mean", "zero", "other", "removed"]


class MissingAudit(AuditConfig):
    """Replace the features of a modality for a share of the items, as if their content were missing or wrong."""

    kind: Literal["missing"]
    fills: Annotated[tuple[MissingFill, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("mean", "zero", "other"),
        description="what replaces the features of an item: mean of all items, zeros, those of another item, or what "
        "the encoder makes of the item without this content (removed), which encodes the chosen items again",
    )
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("image", "text"),
        description="modalities that are missing: image, text or any other of the data set by its name, one at a time, "
        "or all together",
    )
    shares: Annotated[tuple[Share, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(0.1, 0.3, 1.0),
        description="share of the items, the same in each popularity stratum; 1 is the whole modality, and 0 is an A/A "
        "audit, which must measure no change",
    )
    graphs: Annotated[tuple[Literal["rebuilt", "frozen"], ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("rebuilt",),
        description="rebuilt: build item graphs from the changed features; frozen: keep the clean item graphs, for "
        "models that have any",
    )
    draws: Draws = Field(default=6, description="random choices of the items, and of the other item whose row is used")
