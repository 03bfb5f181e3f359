"""Helpers of text edits: finding and replacing words in the texts of an item."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.texts.markup import escaped_for, inside, spans

if TYPE_CHECKING:
    from robustrec.edits.vocabulary import Vocabulary

WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
"""Letters of any script, with hyphens and apostrophes inside."""

_LONGEST = 12  # characters of a word that is looked for in a run of Han characters


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


def is_han(letter: str) -> bool:
    """Return whether a character is a Han character."""
    return "\u3400" <= letter <= "\u9fff" or "\uf900" <= letter <= "\ufaff" or "\U00020000" <= letter <= "\U000323af"


def is_kana_or_hangul(letter: str) -> bool:
    """Return whether a character tells that a text with Han characters is Japanese or Korean."""
    return "\u3040" <= letter <= "\u30ff" or "\uac00" <= letter <= "\ud7a3" or "\u1100" <= letter <= "\u11ff"


def words_of(content: Content, known: Container[str], *, categories: bool = False) -> list[Word]:
    """Return the words whose lower-case form is known, those of the title first; none within a tag or reference.

    In a run of Han characters, which no spaces divide, the longest known word at each place is one.

    Args:
        content: the item.
        known: lower-case words.
        categories: look in the categories too, after the title.
    """
    fields = _fields(content)
    looked_in = range(len(fields)) if categories else (0, len(fields) - 1)
    return [word for field in looked_in for word in _known(field, fields[field], known)]


def _known(field: int, text: str, known: Container[str]) -> Iterator[Word]:
    marked = spans(text)
    for match in WORD.finditer(text):
        if marked and inside(match.start(), marked):
            continue
        whole = Word(field, match.start(), match.end(), match[0])
        if key(whole) in known:
            yield whole
        elif any(map(is_han, match[0])):
            yield from _within(whole, known)


def _within(run: Word, known: Container[str]) -> Iterator[Word]:
    place = 0
    while place < len(run.text):
        ends = range(min(len(run.text), place + _LONGEST), place, -1)
        found = next((run.text[place:end] for end in ends if run.text[place:end].lower() in known), "")
        if found:
            yield Word(run.field, run.start + place, run.start + place + len(found), found)
        place += len(found) or 1


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
            parts += [text[place : word.start], *escaped_for(text, in_case_of(word.text, other))]
            if is_han(word.text[0]) and _latin(parts[-1][:1]) and _latin("".join(parts[:-1])[-1:]):
                parts.insert(-1, " ")  # a Latin word for each of two Han words
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


def titled(title: str, before: Sequence[str] = (), after: Sequence[str] = ()) -> str:
    """Return a title with texts before and after it; they are escaped if it is HTML."""
    return spaced(*escaped_for(title, *before), title, *escaped_for(title, *after))


def described(description: str, words: Vocabulary, before: Sequence[str] = (), after: Sequence[str] = ()) -> str:
    """Return a description with sentences before and after it, spaced as its language is; escaped if it is HTML."""
    parts = (*escaped_for(description, *before), description, *escaped_for(description, *after))
    if words.spaces:
        return spaced(*parts)
    text = ""
    for part in parts:
        text += f" {part}" if text[-1:].isascii() and text and part[:1].isascii() else part
    return text


def _latin(letter: str) -> bool:
    return letter.isascii() and letter.isalnum()


def _fields(content: Content) -> list[str]:
    return [content.title, *content.categories, content.description]
