"""Edit `empty_description`: a short or missing description."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.view import CatalogueView

KEPT = (50, 25, 10, 5, 0)


@changes(
    "text",
    scale="share of words kept in the description (rounded down)",
    steps=(f"{percent} %" for percent in KEPT),
)
def empty_description(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Shorten the description to its first words, or remove it."""
    words = content.description.split()
    return replace(content, description=" ".join(words[: len(words) * KEPT[severity - 1] // 100]))
