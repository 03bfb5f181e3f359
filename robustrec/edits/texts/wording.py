"""Helpers of text edits: finding and replacing words in the texts of an item."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from robustrec.edits.content import Content

WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
"""Letters of any script, with hyphens and apostrophes inside."""


class Word(NamedTuple):
    """A word and its position.

    Attributes:
        field: 0 the title, 1 to C the categories, C + 1 the description.
        start: position of its first character.
        end: position after its last character.
        text: the word.
    """

    field: int
    start: int
    end: int
    text: str


def words_of(content: Content, known: Container[str], *, categories: bool = False) -> list[Word]:
    """Return the words whose lower-case form is known, those of the title first.

    Args:
        content: the item.
        known: lower-case words.
        categories: look in the categories too, after the title.
    """
    fields = _fields(content)
    looked_in = range(len(fields)) if categories else (0, len(fields) - 1)
    return [
        Word(field, match.start(), match.end(), match[0])
        for field in looked_in
        for match in WORD.finditer(fields[field])
        if match[0].lower().replace("’", "'") in known
    ]


def key(word: Word) -> str:
    """Return the lower-case key of a word."""
    return word.text.lower().replace("’", "'")


def swapped(content: Content, swaps: Iterable[tuple[Word, str]]) -> Content:
    """Return the content with words replaced in their case; the same object if there are no replacements."""
    fields = _fields(content)
    by_field: dict[int, list[tuple[Word, str]]] = {}
    for word, other in swaps:
        by_field.setdefault(word.field, []).append((word, other))
    if not by_field:
        return content
    for field, pairs in by_field.items():
        text, parts, place = fields[field], [], 0
        for word, other in sorted(pairs):
            parts += [text[place : word.start], in_case_of(word.text, other)]
            place = word.end
        fields[field] = "".join([*parts, text[place:]])
    return replace(content, title=fields[0], categories=tuple(fields[1:-1]), description=fields[-1])


def in_case_of(model: str, word: str) -> str:
    """Return a word in capitals, with a capital first letter, or as it is, as the model is written."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def share_of(words: Sequence[Word], severity: int, generator: np.random.Generator) -> list[Word]:
    """Draw a fifth of the words per severity, at least one; a higher severity includes those of a lower one."""
    order = generator.permutation(len(words))
    return [words[place] for place in order[: -(-len(words) * severity // 5)]]


def drawn(choices: Sequence[str], n: int, generator: np.random.Generator) -> list[str]:
    """Draw up to n different choices; fewer are the first of more."""
    return [choices[place] for place in generator.permutation(len(choices))[:n]]


def spaced(*parts: str) -> str:
    """Return the parts that are not empty, a space between each two."""
    return " ".join(part for part in parts if part)


def _fields(content: Content) -> list[str]:
    return [content.title, *content.categories, content.description]
