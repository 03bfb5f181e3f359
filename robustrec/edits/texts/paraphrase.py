"""Edit `paraphrase`: the same said with other sentences."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.texts.markup import escaped_for, is_html, without_markup
from robustrec.edits.texts.synonym_swap import synonym_swap
from robustrec.edits.texts.wording import described, drawn
from robustrec.edits.view import CatalogueView

_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*")


@changes(
    "text",
    scale="what is said in other words",
    steps=(
        "the title",
        "and an opening sentence",
        "and 60 % of the words with a synonym",
        "and a closing sentence",
        "and all words with a synonym, the sentences in reverse order",
    ),
)
def paraphrase(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Say the same with templates: another title, opening and closing sentences, synonyms, another order."""
    words = view.words(content)
    frame, opening, closing = (
        drawn(choices, 1, generator)[0] for choices in (words.title_frames, words.openings, words.closings)
    )
    if not content.title:
        return content
    plain = without_markup(content.title)
    first = [opening.replace("{title}", plain)] if severity >= 2 else []
    last = [closing] if severity >= 4 else []
    after = content
    if severity >= 3:
        after = synonym_swap(content, 5 if severity == 5 else 3, generator, view)
    description = after.description
    if severity == 5 and not is_html(description):
        sentences = [each for each in _SENTENCE.split(description) if each]
        description = (" " if words.spaces else "").join(reversed(sentences))
    before, end = escaped_for(after.title, *frame.split("{title}", 1))
    return replace(after, title=f"{before}{after.title}{end}", description=described(description, words, first, last))
