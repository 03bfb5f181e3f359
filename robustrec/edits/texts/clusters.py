"""User-perceived characters: what a typing error or a length limit never divides."""

from __future__ import annotations

import unicodedata

from robustrec.edits.texts.markup import spans

_JOINER = "\u200d"
_VIRAMA = 9  # canonical combining class; the letter after it belongs to the same conjunct
_AM = "\u0e33\u0eb3"  # Thai and Lao vowels that are written as letters


def clusters(text: str) -> list[str]:
    """Return the user-perceived characters of a text; joined, they are the text.

    Rules of UAX #29 for combining marks, conjuncts of Indic scripts, emoji sequences, flags and Hangul syllables.
    """
    if text.isascii():
        return list(text)
    found: list[str] = []
    for letter in text:
        if found and _continues(found[-1], letter):
            found[-1] += letter
        else:
            found.append(letter)
    return found


def cut(text: str, length: int) -> str:
    """Return the first characters of a text, at most `length`, without a part of a character, tag or reference."""
    if length >= len(text):
        return text
    end = 0
    for each in clusters(text[: length + 64]):
        if end + len(each) > length:
            break
        end += len(each)
    opened = next((start for start, stop in spans(text) if start < end < stop), end)
    return text[:opened]


def _continues(before: str, letter: str) -> bool:
    last, kind = before[-1], unicodedata.category(letter)
    if unicodedata.category(last) in ("Cc", "Zl", "Zp"):
        return False
    if kind[0] == "M" or letter in (_JOINER, "\u200c") or letter in _AM or _modifies(letter):
        return True
    if last == _JOINER and kind == "So":
        return True
    if kind == "Lo" and _indic(before, letter):
        return True
    if _flag(letter) and _flag(last):
        return sum(map(_flag, before)) % 2 == 1
    # Leading consonants, vowels and trailing consonants of Hangul.
    return "\u1100" <= letter <= "\u11ff" and "\u1100" <= last <= "\u11ff" and (letter > "\u115f" or last < "\u1160")


def _indic(before: str, letter: str) -> bool:
    """Return whether a letter is joined to the one before by a virama, perhaps with a joiner after it."""
    marks = before.rstrip(_JOINER)[1:]
    return bool(marks) and unicodedata.combining(marks[-1]) == _VIRAMA and letter.isalpha()


def _modifies(letter: str) -> bool:
    """Return whether a character is the skin tone of an emoji, or a tag of a flag."""
    return "\U0001f3fb" <= letter <= "\U0001f3ff" or "\U000e0020" <= letter <= "\U000e007f"


def _flag(letter: str) -> bool:
    return "\U0001f1e6" <= letter <= "\U0001f1ff"
