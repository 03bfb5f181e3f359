"""The words that edits insert, from vocabulary.toml."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from robustrec.untrusted import read_toml


@dataclass(frozen=True)
class Language:
    """Words and phrases of another language."""

    words: dict[str, str]
    """English word -> translation."""
    phrases: tuple[str, ...]
    """Selling phrases for the title."""
    sentences: tuple[str, ...]
    """Sentences for the description."""


@dataclass(frozen=True)
class EditVocabulary:
    """All words that edits insert; replacements are lower case."""

    promotions: tuple[str, ...]
    promotion_sentences: tuple[str, ...]
    stuffing: tuple[str, ...]
    emoji: tuple[str, ...]
    badges: tuple[str, ...]
    banners: tuple[str, ...]
    watermarks: tuple[str, ...]
    season_sentences: tuple[str, ...]
    seasons: dict[str, tuple[str, ...]]
    """Season -> words for it; words at the same position replace each other."""
    synonyms: dict[str, tuple[str, ...]]
    """Word -> synonyms."""
    contradictions: dict[str, dict[str, tuple[str, ...]]]
    """Attribute -> word -> contradicting words."""
    languages: dict[str, Language]


@cache
def vocabulary() -> EditVocabulary:
    """Return the words; read once in a process."""
    table = read_toml(Path(__file__).parent / "vocabulary.toml")
    lists = {key: tuple(value) for key, value in table.items() if isinstance(value, list) and key != "synonyms"}
    return EditVocabulary(
        **lists,
        seasons={name: tuple(words) for name, words in table["seasons"].items()},
        synonyms={word: tuple(o for o in group if o != word) for group in table["synonyms"] for word in group},
        contradictions={name: _contradictions(groups) for name, groups in table["attributes"].items()},
        languages={
            name: Language(dict(entry["words"]), tuple(entry["phrases"]), tuple(entry["sentences"]))
            for name, entry in table["languages"].items()
        },
    )


def _contradictions(groups: list[list[str]]) -> dict[str, tuple[str, ...]]:
    """Return for each word one word of each other group, that at the same place where there is one."""
    table: dict[str, tuple[str, ...]] = {}
    for group in groups:
        for place, word in enumerate(group):
            table[word] = tuple(other[place] if place < len(other) else other[0] for other in groups if other != group)
    return table
