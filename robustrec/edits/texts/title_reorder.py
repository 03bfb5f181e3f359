"""Edit `title_reorder`: the words of the title in another order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import SEVERITIES, changes
from robustrec.edits.texts.clusters import clusters
from robustrec.edits.texts.markup import words_of_text
from robustrec.edits.texts.wording import is_han
from robustrec.edits.view import CatalogueView

_CHUNK = 2  # Han characters that stay together, as most words of Chinese have two


@changes(
    "text",
    scale="share of the words of the title whose order is reversed (at least two words)",
    steps=(f"{20 * severity} %" for severity in SEVERITIES),
)
def title_reorder(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Put the words of the title in another order, as sellers do for search engines."""
    words, joint = _pieces(content.title)
    order = generator.permutation(len(words))
    moved = np.sort(order[: max(2, -(-len(words) * severity // 5))])
    after = list(words)
    for place, source in zip(moved.tolist(), moved[::-1].tolist(), strict=True):
        after[place] = words[source]
    return replace(content, title=joint.join(after)) if after != words else content


def _pieces(title: str) -> tuple[list[str], str]:
    """Return what moves as a whole, and what joins it: words, or of a title without spaces pairs of characters."""
    words = words_of_text(title)
    han = sum(map(is_han, title))
    if len(words) > 3 or 2 * han < len(title):
        return words, " "
    letters = clusters(title)
    return ["".join(letters[place : place + _CHUNK]) for place in range(0, len(letters), _CHUNK)], ""
