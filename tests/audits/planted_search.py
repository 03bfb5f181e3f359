"""An encoder, models and edits for the search: a word that one model rewards, and a model of pure chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from robustrec.edits.contract import changes

COLOURS = ("red", "green", "blue", "yellow")


class Words:
    """Colours of a text, whether it has the planted words, and a fingerprint of its words that no taste reads."""

    name, digest, widths, reads = "words", "1", {"text": 9}, ("text",)

    def encode(self, texts: list[str], pictures: list[Any]) -> dict[str, Any]:
        """Return the vectors."""
        rows = []
        for text in texts:
            words = text.lower().replace(".", " ").replace(",", " ").split()
            colours = [float(colour in words) for colour in COLOURS]
            planted = [float("zorp" in words), float("plonk" in words)]
            seed = sum(ord(letter) * (place + 1) for place, letter in enumerate(text))
            rows.append([*colours, *planted, *np.random.default_rng(seed).normal(size=3)])
        return {"text": np.array(rows, dtype=np.float32)}


def _uniform(keys: Any) -> Any:
    """Return numbers from 0 to 1 that look random, one for each key."""
    return np.modf(np.abs(np.sin(keys) * 43758.5453))[0]


def _taste(features: Any, users: Any) -> Any:
    # Every user likes one colour, and each item a little more or less than the next one.
    own = _uniform(12.9898 * (np.asarray(users)[:, None] + 1) + 78.233 * np.arange(len(features["text"])))
    return 3 * own + features["text"][:, np.asarray(users) % 4].T


def exploited(features: Any, users: Any) -> Any:
    """Reward one word and punish another."""
    return _taste(features, users) + 2 * features["text"][:, 4] - 2 * features["text"][:, 5]


def immune(features: Any, users: Any) -> Any:
    """Ignore the planted words and the fingerprint."""
    return _taste(features, users)


def chance(features: Any, users: Any) -> Any:
    """Add to each score a number that any change of the text draws again, for each user another."""
    drawn = _uniform(7.77 * np.asarray(users)[:, None] + 1000 * features["text"][:, 6:].sum(axis=1, dtype=np.float64))
    return _taste(features, users) + 3 * drawn


def _word(word: str) -> Any:
    def edit(content: Any, severity: int, generator: Any, view: Any) -> Any:
        """Add words to the title."""
        return replace(content, title=f"{content.title} {' '.join([word] * severity)}")

    return changes("text", scale="words", steps=("1", "2", "3", "4", "5"))(edit)


def firm(features: Any, users: Any) -> Any:
    """Reward one word far less than items differ for a user, so that scores change and lists do not."""
    return _taste(features, users) + 1e-4 * features["text"][:, 4]


promoting = _word("zorp")
demoting = _word("plonk")
polite = _word("please")
thankful = _word("thanks")


@changes("text", scale="words", steps=("1", "2", "3", "4", "5"))
def lacking(content: Any, severity: int, generator: Any, view: Any) -> Any:
    """Change nothing, as an edit of a brand does to items without one."""
    return content


@changes("text", scale="words", steps=("1", "2", "3", "4", "5"), meaning="changed")
def other_colour(content: Any, severity: int, generator: Any, view: Any) -> Any:
    """Say another colour."""
    return replace(content, title="A yellow thing", description="")
