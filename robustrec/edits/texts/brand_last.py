"""Edit `brand_last`: the brand at the end, or removed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import SEVERITIES, changes
from robustrec.edits.texts.branding import without_brand
from robustrec.edits.texts.clusters import clusters
from robustrec.edits.texts.wording import described, titled
from robustrec.edits.view import CatalogueView

if TYPE_CHECKING:
    from robustrec.edits.vocabulary import Vocabulary


@changes(
    "text",
    scale="position of the brand",
    steps=(
        "last in the title",
        'there, and the brand field says "Unbranded"',
        "last in the description only",
        "there as initials only",
        "nowhere",
    ),
)
def brand_last(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Move the brand to the end of the title, to the description, and finally remove it."""
    brand = content.brand.strip()
    if not brand:
        return content
    # Where the title ends with the brand already, a merchant of this kind takes the next step.
    for step in SEVERITIES[severity - 1 :]:
        after = _hidden(content, brand, step, view.words(content))
        if (after.title, after.brand) != (content.title, content.brand):
            return after
    return content


def _hidden(content: Content, brand: str, step: int, words: Vocabulary) -> Content:
    phrases, before = words.phrases, words.brand_prepositions
    title = without_brand(content.title, brand, before)
    if step <= 2:
        last = titled(title, after=[phrases.after.format(phrase=brand)])
        return replace(content, title=last, brand=brand if step == 1 else phrases.unbranded)
    initials = ".".join(clusters(word)[0] for word in brand.split())
    last = {3: f"({brand})", 4: phrases.no_name_initials.format(initials=initials), 5: phrases.no_name}[step]
    return replace(
        content,
        title=title,
        brand=phrases.unbranded,
        categories=tuple(without_brand(label, brand, before) for label in content.categories),
        description=described(without_brand(content.description, brand, before), words, after=[last]),
    )
