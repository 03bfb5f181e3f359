"""Edit `truncation`: truncated texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.texts.clusters import cut
from robustrec.edits.view import CatalogueView

KEPT = (80, 60, 45, 30, 15)


@changes("text", scale="share of characters kept in title and description", steps=(f"{percent} %" for percent in KEPT))
def truncation(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Truncate title and description at a length limit, also within a word but not within a character or tag."""
    percent = KEPT[severity - 1]
    return replace(content, title=_cut(content.title, percent), description=_cut(content.description, percent))


def _cut(text: str, percent: int) -> str:
    if len(text) < 2:
        return text
    return cut(text, min(-(-len(text) * percent // 100), len(text) - 1)).rstrip()
