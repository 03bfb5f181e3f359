"""Edit `multipack_title`: a pack of several in the title."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.texts.markup import escaped_for, without_markup
from robustrec.edits.texts.wording import described, drawn
from robustrec.edits.view import CatalogueView

PIECES = (2, 3, 6, 12, 24)


@changes(
    "text",
    scale="number of pieces in the title + sentences on them in the description",
    steps=(f"{pieces} + {number}" for number, pieces in enumerate(PIECES)),
    meaning="changed",
)
def multipack_title(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Sell the item as a pack of several: "Red Cup, Pack of 6"."""
    words, pieces = view.words(content), PIECES[severity - 1]
    templates = drawn(words.multipacks, len(words.multipacks), generator)
    title = content.title
    if not title:
        return content
    told = [
        templates[place % len(templates)].replace("{n}", str(pieces)).replace("{title}", without_markup(title))
        for place in range(1, severity)
    ]
    stop = "." if words.spaces else "。"
    before, _, after = templates[0].replace("{n}", str(pieces)).partition("{title}")
    sentences = [f"{each}{stop}" for each in told]
    return replace(
        content,
        title="".join([*escaped_for(title, before), title, *escaped_for(title, after)]),
        description=described(content.description, words, after=sentences),
    )
