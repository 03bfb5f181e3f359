"""Configuration of the encoder audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from robustrec.audits.kind import AuditConfig
from robustrec.audits.merchant.config import EditName
from robustrec.audits.values import distinct
from robustrec.edits import ALL

Severity = Annotated[int, Field(ge=0, le=5)]


class EncoderAudit(AuditConfig):
    """Measure the movement of encoder vectors under edits, and the distance to the clean content."""

    kind: Literal["encoder"]
    edits: Annotated[tuple[EditName, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(ALL,),
        description='names of edits, "package.module:function", combinations of them ("promo_phrase+promo_badge"), or '
        '"all" for all built-in edits',
    )
    severities: Annotated[tuple[Severity, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(1, 3, 5), description="severities from 1 to 5; 0 is an A/A audit, which must measure exactly no change"
    )
    items: int = Field(default=64, ge=8, le=10_000, description="number of edited items, chosen at random (seeded)")
    denoise: bool = Field(
        default=True,
        description="measure the distance to the clean content with and without capfilt, if the clean content is known "
        "and the encoder has a captioner",
    )
