"""The edits of an audit; see `robustrec.runs.treatments`."""

from __future__ import annotations

from robustrec.runs.treatments import (
    COMBINATIONS,
    EditApplier,
    Row,
    Shown,
    Treatment,
    applier_of,
    has_user_edits,
    picture_bytes,
    row_of,
    treatments_of,
)

__all__ = [
    "COMBINATIONS",
    "EditApplier",
    "Row",
    "Shown",
    "Treatment",
    "applier_of",
    "has_user_edits",
    "picture_bytes",
    "row_of",
    "treatments_of",
]
