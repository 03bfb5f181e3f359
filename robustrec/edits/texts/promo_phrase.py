"""Edit `promo_phrase`: promotion phrases around the title."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.texts.wording import described, drawn, titled
from robustrec.edits.view import CatalogueView

PHRASES = (1, 2, 3, 4, 6)
SENTENCES = (0, 0, 1, 2, 4)


@changes(
    "text",
    scale="number of phrases around the title + sentences before the description",
    steps=(f"{phrases} + {sentences}" for phrases, sentences in zip(PHRASES, SENTENCES, strict=True)),
)
def promo_phrase(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Add promotion phrases to the title: "Free Shipping! ... - Best Seller"."""
    words = view.words(content)
    phrases = drawn(words.promotions, PHRASES[severity - 1], generator)
    sentences = drawn(words.promotion_sentences, SENTENCES[severity - 1], generator)
    before = [words.phrases.before.format(phrase=phrase) for phrase in phrases[1::2]]
    after = [words.phrases.after.format(phrase=phrase) for phrase in phrases[::2]]
    return replace(
        content,
        title=titled(content.title, before, after),
        description=described(content.description, words, before=sentences),
    )
