"""Edit `seo_bullets`: bullet points for search engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.texts.wording import described, drawn
from robustrec.edits.view import CatalogueView

BULLETS = (1, 2, 3, 5, 8)


@changes("text", scale="number of bullet points before the description", steps=map(str, BULLETS))
def seo_bullets(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Add bullet points of praise before the description, which fit any product."""
    words = view.words(content)
    bullets = [f"✔ {bullet}" for bullet in drawn(words.bullets, BULLETS[severity - 1], generator)]
    return replace(content, description=described(content.description, words, before=bullets))
