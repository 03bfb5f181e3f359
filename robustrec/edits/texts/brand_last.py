"""Edit `brand_last`: the brand at the end, or removed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import SEVERITIES, changes
from robustrec.edits.texts.branding import without_brand
from robustrec.edits.texts.wording import spaced
from robustrec.edits.view import CatalogueView

UNBRANDED = "Unbranded"


@changes(
    "text",
    scale="position of the brand",
    steps=(
        "last in the title",
        f'there, and the brand field says "{UNBRANDED}"',
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
        after = _hidden(content, brand, step)
        if (after.title, after.brand) != (content.title, content.brand):
            return after
    return content


def _hidden(content: Content, brand: str, step: int) -> Content:
    title = without_brand(content.title, brand)
    if step <= 2:
        return replace(content, title=spaced(title, f"- {brand}"), brand=brand if step == 1 else UNBRANDED)
    initials = ".".join(word[0] for word in brand.split())
    last = {
        3: f"({brand})",
        4: f"No-name quality at half the price ({initials}.)",
        5: "No-name quality at half the price, sold without a brand.",
    }[step]
    return replace(
        content,
        title=title,
        brand=UNBRANDED,
        categories=tuple(without_brand(label, brand) for label in content.categories),
        description=spaced(without_brand(content.description, brand), last),
    )
