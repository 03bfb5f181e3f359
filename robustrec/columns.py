"""Names of columns of the user's own, and of what segments can be of."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

SEGMENTS = ("activity", "popularity", "category", "brand", "price")

COLUMN_NAME = r"[a-z][a-z0-9_]{0,39}"
"""Name of a column that the user named at import."""

OF_ITEMS = "item:"
"""Start of the segments by such a column of the catalog: item:season."""

_SEGMENT = re.compile(f"{OF_ITEMS}{COLUMN_NAME}")


def _known(name: str) -> str:
    if name not in SEGMENTS and not _SEGMENT.fullmatch(name):
        raise ValueError(
            f"unknown segments {name!r}: use {', '.join(SEGMENTS)}, or {OF_ITEMS}COLUMN for a column of the catalog "
            "that was named at import (robustrec data import --columns season=COLUMN)"
        )
    return name


SegmentKind = Annotated[
    str,
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "pattern": f"^({'|'.join(SEGMENTS)}|{OF_ITEMS}{COLUMN_NAME})$"}),
]
"""What segments are of: training interactions of users, or popularity, category, brand, price or a column of items."""
