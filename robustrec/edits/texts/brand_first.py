"""Edit `brand_first`: the brand at the start of the title."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import SEVERITIES, changes
from robustrec.edits.texts.branding import without_brand
from robustrec.edits.texts.wording import described, titled
from robustrec.edits.view import CatalogueView

if TYPE_CHECKING:
    from robustrec.edits.vocabulary import Vocabulary


@changes(
    "text",
    scale="the title",
    steps=(
        "begins with the brand",
        "in capitals",
        "called official",
        "which the description begins with too",
        "and both end with again",
    ),
)
def brand_first(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Move the brand to the start of the title, and repeat it in title and description."""
    brand = content.brand.strip()
    if not brand:
        return content
    # Where the title begins with the brand already, a merchant of this kind takes the next step.
    for step in SEVERITIES[severity - 1 :]:
        after = _branded(content, brand, step, view.words(content))
        if after.title != content.title:
            return after
    return content


def _branded(content: Content, brand: str, step: int, words: Vocabulary) -> Content:
    loud, phrases = brand if step == 1 else brand.upper(), words.phrases
    bare = without_brand(content.title, brand, words.brand_prepositions)
    before, after = [loud, *([phrases.official] if step >= 3 else [])], ["|", loud] if step == 5 else []
    original = [phrases.original.format(brand=loud)] if step >= 4 else []
    only = [phrases.only_from.format(brand=loud)] if step == 5 else []
    title, description = titled(bare, before, after), described(content.description, words, original, only)
    return replace(content, title=title, description=description)
