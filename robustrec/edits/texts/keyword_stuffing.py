"""Edit `keyword_stuffing`: popular search words in the title."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.texts.wording import WORD, described, drawn, titled
from robustrec.edits.view import CatalogueView

WORDS = (2, 4, 7, 11, 16)
DESCRIBED_FROM = 3  # from this severity on the description carries them too
POOL = 40  # the most trending words that are not in the title


@changes(
    "text",
    scale=f"number of trending words after the title; from severity {DESCRIBED_FROM} also in the description",
    steps=map(str, WORDS),
)
def keyword_stuffing(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Add popular search words to the title, including false ones."""
    pack = view.words(content)
    own = {word.lower() for word in WORD.findall(content.title)}
    trending = dict.fromkeys((*view.trending_in(pack), *pack.stuffing))
    pool = [word for word in trending if word not in own and (pack.spaces or word not in content.title)][:POOL]
    keywords = drawn(pool, WORDS[severity - 1], generator)
    description = content.description
    if severity >= DESCRIBED_FROM:
        listed = pack.phrases.list_separator.join(keywords)
        description = described(description, pack, after=[pack.phrases.related.format(words=listed)])
    return replace(content, title=titled(content.title, after=keywords), description=description)
