"""Make texts from data safe to display."""

from __future__ import annotations

import unicodedata

REPLACED = "\N{REPLACEMENT CHARACTER}"
_KEPT = "\n\t"
# Joiners and variation selectors belong to emoji and to several scripts; every other format character can deceive.
_JOINERS = "\u200c\u200d"
_HIDING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """Return a text with every control, direction, surrogate and unassigned character replaced by U+FFFD.

    Line breaks and tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if _shown(letter) else REPLACED for letter in text)


def one_line(text: str) -> str:
    """Return a visible text on one line, runs of white space as one space."""
    return " ".join(visible(text).split())


def shortened(text: str, longest: int) -> str:
    """Return a text of at most `longest` characters, with an ellipsis if it was shortened."""
    return text if len(text) <= longest else text[: max(longest - 1, 0)] + "…"


def title_of(text: str, longest: int = 60) -> str:
    """Return the first line of the content of an item, cut at the end of a word."""
    line = one_line(next((each for each in text.splitlines() if each.strip()), ""))
    if len(line) <= longest:
        return line
    cut = line[:longest].rsplit(" ", 1)[0]
    return f"{cut if len(cut) > longest // 2 else line[:longest]}…"


def _shown(letter: str) -> bool:
    return letter in _KEPT or letter in _JOINERS or unicodedata.category(letter) not in _HIDING
