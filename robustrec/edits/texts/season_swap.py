"""Edit `season_swap`: another season."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.texts.wording import described, drawn, key, swapped, titled, words_of
from robustrec.edits.view import CatalogueView

SENTENCES = (0, 0, 0, 1, 3)


@changes(
    "text",
    scale="season words in the text are swapped, and the title has",
    steps=(
        "the new season",
        "the new season and a collection",
        "the same, first and last",
        "the same, the description once more",
        "the same, the description three times",
    ),
    meaning="changed",
)
def season_swap(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Swap the season named in the text, e.g. a summer dress becomes part of the winter collection."""
    words = view.words(content)
    season_of = {word: name for name, said in words.seasons.items() for word in said}
    named = words_of(content, season_of, categories=True)
    old = season_of[key(named[0])] if named else None
    new = drawn([name for name in words.seasons if name != old], 1, generator)[0]
    sentences = drawn(words.season_sentences, SENTENCES[severity - 1], generator)
    after = swapped(content, ((word, _swap(words.seasons, season_of[key(word)], new, key(word))) for word in named))
    label = new[:1].upper() + new[1:]
    before = [words.phrases.season_before.format(season=label)] if severity >= 3 else []
    title = titled(after.title, before, [words.phrases.season_after.format(season=label) if severity >= 2 else label])
    added = [sentence.format(season=new) for sentence in sentences]
    return replace(after, title=title, description=described(after.description, words, before=added))


def _swap(seasons: Mapping[str, tuple[str, ...]], old: str, new: str, word: str) -> str:
    return seasons[new][seasons[old].index(word)]
