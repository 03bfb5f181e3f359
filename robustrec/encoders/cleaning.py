"""How texts are cleaned before BLIP reads them (spec 6.1)."""

from __future__ import annotations

import re

_SPACED = re.compile(r"""[.!"()*#:;~]""")


def clean_text(text: str, max_words: int) -> str:
    """Return a text as BLIP was trained on them: lower case, some punctuation as spaces, cut to a number of words."""
    return " ".join(clean_words(text)[:max_words])


def clean_words(text: str) -> list[str]:
    """Return all the words of a text, cleaned."""
    return _SPACED.sub(" ", sound(text).lower()).split()


def sound(text: str) -> str:
    """Return a text that UTF-8 can hold: a lone surrogate, which JSON can spell, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
