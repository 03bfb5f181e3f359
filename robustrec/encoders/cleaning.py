"""Cleaning of texts for BLIP (Li et al., arXiv 2201.12086)."""

from __future__ import annotations

import re

_SPACED = re.compile(r"""[.!"()*#:;~]""")


def clean_text(text: str, max_words: int) -> str:
    """Return a text as in the training of BLIP: lower case, some punctuation replaced by spaces, truncated to words."""
    return " ".join(clean_words(text)[:max_words])


def clean_words(text: str) -> list[str]:
    """Return all words of a text, cleaned."""
    return _SPACED.sub(" ", valid_unicode(text).lower()).split()


def valid_unicode(text: str) -> str:
    """Return a text that can be encoded as UTF-8; an unpaired surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
