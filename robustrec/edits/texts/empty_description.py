"""Edit `empty_description`: a short or missing description."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.texts.clusters import clusters, cut
from robustrec.edits.texts.markup import is_html
from robustrec.edits.view import CatalogueView

KEPT = (50, 25, 10, 5, 0)
_FEW_SPACES = 12  # characters a word; with more, the text is not divided by spaces


@changes(
    "text",
    scale="share of words kept in the description (rounded down)",
    steps=(f"{percent} %" for percent in KEPT),
)
def empty_description(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Shorten the description to its first words, or remove it."""
    words = content.description.split()
    if not view.words(content).spaces and len(words) < len(content.description) // _FEW_SPACES:
        letters = clusters(content.description)
        kept = "".join(letters[: len(letters) * KEPT[severity - 1] // 100])
    else:
        kept = " ".join(words[: len(words) * KEPT[severity - 1] // 100])
    return replace(content, description=cut(" ".join(words), len(kept)) if is_html(content.description) else kept)
