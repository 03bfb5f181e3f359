"""Edit `typos`: typing errors."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.view import CatalogueView

LETTERS = (2, 5, 10, 18, 30)  # % of the letters
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOUR, TRANSPOSED, DOUBLED, MISSING = range(4)


def _neighbours() -> dict[str, str]:
    """Return for each key those beside, above and below it on an English keyboard."""
    near: dict[str, set[str]] = {letter: set() for row in _ROWS for letter in row}
    pairs = [pair for row in _ROWS for pair in pairwise(row)]
    for upper, lower in pairwise(_ROWS):
        # A key of a lower row lies under the gap between the key above it and the next one.
        pairs += [*zip(upper, lower, strict=False), *zip(upper[1:], lower, strict=False)]
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)
    return {letter: "".join(sorted(others)) for letter, others in near.items()}


NEIGHBOURS = _neighbours()


@changes(
    "text",
    scale="share of letters mistyped in title and description (at least as many as the severity)",
    steps=(f"{percent} %" for percent in LETTERS),
)
def typos(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Add typing errors: neighbouring keys, and swapped, doubled or missing letters."""
    text = f"{content.title}\0{content.description}"
    border = len(content.title)
    letters = np.array([place for place, letter in enumerate(text) if letter.isalpha()], dtype=np.int64)
    order, kinds, keys = (
        generator.permutation(letters),
        generator.integers(0, 4, len(text)),
        generator.integers(0, 2**16, len(text)),
    )
    n = max(severity, -(-len(letters) * LETTERS[severity - 1] // 100))
    slips = set(order[:n].tolist())
    title = _mistyped(text, range(border), slips, kinds, keys)
    description = _mistyped(text, range(border + 1, len(text)), slips, kinds, keys)
    return replace(content, title=title, description=description)


def _mistyped(text: str, places: range, slips: set[int], kinds: NDArray[np.int64], keys: NDArray[np.int64]) -> str:
    written: list[str] = []
    place = places.start
    while place < places.stop:
        letter = text[place]
        follower = text[place + 1] if place + 1 < places.stop else ""
        if place not in slips:
            written.append(letter)
        elif kinds[place] == NEIGHBOUR and letter.lower() in NEIGHBOURS:
            near = NEIGHBOURS[letter.lower()]
            hit = near[int(keys[place]) % len(near)]
            written.append(hit.upper() if letter.isupper() else hit)
        elif kinds[place] == TRANSPOSED and follower.isalpha() and follower != letter:
            written += [follower, letter]
            place += 1
        elif kinds[place] != MISSING or len(places) == 1:
            written += [letter, letter]
        place += 1
    return "".join(written)
