"""Edit `brand_first`: the brand at the start of the title."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import SEVERITIES, changes
from robustrec.edits.texts.branding import without_brand
from robustrec.edits.texts.wording import spaced
from robustrec.edits.view import CatalogueView


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
        after = _branded(content, brand, step)
        if after.title != content.title:
            return after
    return content


def _branded(content: Content, brand: str, step: int) -> Content:
    loud = brand if step == 1 else brand.upper()
    title = spaced(loud, "Official" if step >= 3 else "", without_brand(content.title, brand))
    description = content.description
    if step >= 4:
        description = spaced(f"{loud} - the original.", description)
    if step == 5:
        title, description = f"{title} | {loud}", f"{description} Only from {loud}. {loud}, nothing else!"
    return replace(content, title=title, description=description)
