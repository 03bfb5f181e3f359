"""Edit `language_mix`: two languages in one text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import SEVERITIES, changes
from robustrec.edits.texts.wording import described, drawn, key, share_of, swapped, titled, words_of
from robustrec.edits.view import CatalogueView

PHRASES = (1, 1, 2, 2, 3)
SENTENCES = (0, 0, 1, 2, 3)


@changes(
    "text",
    scale="share of known words translated + phrases in the title + sentences in the description, in another language",
    steps=(f"{20 * n} % + {a} + {b}" for n, a, b in zip(SEVERITIES, PHRASES, SENTENCES, strict=True)),
)
def language_mix(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Mix two languages: translate some words and add phrases in another language."""
    pack = view.words(content)
    languages = pack.languages
    language = languages[drawn(sorted(languages), 1, generator)[0]]
    words = words_of(content, language.words)
    after = swapped(content, ((word, language.words[key(word)]) for word in share_of(words, severity, generator)))
    phrases = drawn(language.phrases, PHRASES[severity - 1], generator)
    sentences = drawn(language.sentences, SENTENCES[severity - 1], generator)
    return replace(
        after,
        title=titled(after.title, after=[pack.phrases.after.format(phrase=phrase) for phrase in phrases]),
        description=described(after.description, pack, after=sentences),
    )
