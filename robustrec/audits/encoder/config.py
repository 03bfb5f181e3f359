"""What a suite can ask of the encoder audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from robustrec.audits.merchant.config import ALL, EditName
from robustrec.audits.values import distinct
from robustrec.subject import Record

Severity = Annotated[int, Field(ge=0, le=5)]


class EncoderAudit(Record):
    """How much of an edit the encoder lets through, and whether it brings an item nearer to its clean content."""

    kind: Literal["encoder"]
    edits: Annotated[tuple[EditName, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(ALL,),
        description='names of edits, "package.module:function", combinations of them ("promo_phrase+promo_badge"), or '
        '"all" for those that come with robustrec',
    )
    severities: Annotated[tuple[Severity, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(1, 3, 5), description="from 1 to 5; 0 is an A/A audit and must find exactly nothing"
    )
    items: int = Field(default=64, ge=8, le=10_000, description="items that are edited, a seeded choice")
    denoise: bool = Field(
        default=True,
        description="where the clean content is known and the encoder has a captioner: distance to it with and without "
        "capfilt",
    )
