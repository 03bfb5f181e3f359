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

OF_USERS = "user:"
"""Start of the segments by such a column of the users: user:country."""

_SEGMENT = re.compile(f"({OF_ITEMS}|{OF_USERS}){COLUMN_NAME}")


def _known(name: str) -> str:
    if name not in SEGMENTS and not _SEGMENT.fullmatch(name):
        raise ValueError(
            f"unknown segments {name!r}: use {', '.join(SEGMENTS)}, {OF_ITEMS}COLUMN for a column of the catalog "
            f"(robustrec data import --columns season=COLUMN) or {OF_USERS}COLUMN for one of the users (robustrec data "
            "import --user-table FILE --user-columns country=COLUMN)"
        )
    return name


SegmentKind = Annotated[
    str,
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "pattern": f"^({'|'.join(SEGMENTS)}|({OF_ITEMS}|{OF_USERS}){COLUMN_NAME})$"}),
]
"""What segments are of: training interactions or a column of users, or popularity, category, brand, price or a column
of items."""


def of_users(kind: str) -> bool:
    """Return whether segments of a kind are groups of users: by activity, or by a column of their own."""
    return kind == "activity" or kind.startswith(OF_USERS)
