"""Edit `emoji_capitals`: emoji and capitals in the title."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.texts.markup import upper, words_of_text
from robustrec.edits.texts.wording import drawn, spaced
from robustrec.edits.view import CatalogueView

EMOJI = (1, 2, 4, 6, 8)
CAPITALS = (0, 30, 60, 100, 100)  # % of the words of the title


@changes(
    "text",
    scale="number of emoji, share of title words in capitals (at severity 5 also of the description)",
    steps=(f"{n}, {percent} %" for n, percent in zip(EMOJI, CAPITALS, strict=True)),
)
def emoji_capitals(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Add capitals, exclamation marks and emoji to the title."""
    pack = view.words(content)
    emoji = drawn(pack.emoji, EMOJI[severity - 1], generator)
    words = words_of_text(content.title)
    order = generator.permutation(len(words))
    loud = set(order[: -(-len(words) * CAPITALS[severity - 1] // 100)].tolist())
    shouted = [upper(word) if place in loud else word for place, word in enumerate(words)]
    mark = pack.phrases.exclamation
    marks = mark + mark.strip() * (severity - 3) if severity > 2 else ""
    title = spaced("".join(emoji[1::2]), spaced(*shouted) + marks, "".join(emoji[::2]))
    description = content.description
    if severity == 5 and description:
        description = spaced(upper(description).rstrip(".。") + marks, emoji[0])
    return replace(content, title=title, description=description)
