"""Edit `synonym_swap`: synonyms."""

from __future__ import annotations

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import SEVERITIES, changes
from robustrec.edits.texts.wording import key, share_of, swapped, words_of
from robustrec.edits.view import CatalogueView


@changes(
    "text",
    scale="share of words with a known synonym that are replaced in title and description (at least one)",
    steps=(f"{20 * severity} %" for severity in SEVERITIES),
)
def synonym_swap(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Replace words with synonyms, e.g. "sneaker" with "trainer"."""
    synonyms = view.words(content).synonyms
    words = words_of(content, synonyms)
    taken = generator.integers(0, 2**16, len(words))
    chosen = {
        word: synonyms[key(word)][int(pick) % len(synonyms[key(word)])] for word, pick in zip(words, taken, strict=True)
    }
    return swapped(content, ((word, chosen[word]) for word in share_of(words, severity, generator)))
