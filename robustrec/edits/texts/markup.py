"""HTML in texts: tags and character references that edits leave whole."""

from __future__ import annotations

import html
import re
import sys
from bisect import bisect_right

_MARKUP = re.compile(
    r"<!--.{0,2000}?-->|</?[A-Za-z][^<>]{0,2000}>|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});",
    re.DOTALL,
)

Span = tuple[int, int]


def spans(text: str) -> list[Span]:
    """Return (start, end) of every tag, comment and character reference, in order."""
    if "<" not in text and "&" not in text:
        return []
    return [match.span() for match in _MARKUP.finditer(text)]


def is_html(text: str) -> bool:
    """Return whether a text has a tag, a comment or a character reference."""
    return bool(spans(text))


def inside(place: int, ranges: list[Span]) -> bool:
    """Return whether a position is within one of the ranges, which are in order."""
    nearest = bisect_right(ranges, (place, sys.maxsize)) - 1
    return nearest >= 0 and place < ranges[nearest][1]


def escaped_for(text: str, *added: str) -> list[str]:
    """Return texts as they are added to another one: escaped if that is HTML."""
    return [html.escape(each, quote=False) for each in added] if is_html(text) else list(added)


def without_markup(text: str) -> str:
    """Return a text without tags, with the characters that references stand for."""
    if not spans(text):
        return text
    return html.unescape(re.sub(r"<!--.{0,2000}?-->|</?[A-Za-z][^<>]{0,2000}>", " ", text, flags=re.DOTALL))


def upper(text: str) -> str:
    """Return a text in capitals, without a change of its markup."""
    parts, place = [], 0
    for start, end in spans(text):
        parts += [text[place:start].upper(), text[start:end]]
        place = end
    return "".join([*parts, text[place:].upper()])


def words_of_text(text: str) -> list[str]:
    """Return the words of a text; spaces within a tag do not divide it."""
    marked = spans(text)
    if not marked:
        return text.split()
    plain = "".join("\0" if letter.isspace() and inside(place, marked) else letter for place, letter in enumerate(text))
    return [word.replace("\0", " ") for word in plain.split()]
