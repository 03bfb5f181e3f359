"""Edit `typos`: typing errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.texts.clusters import clusters
from robustrec.edits.texts.markup import inside, spans
from robustrec.edits.view import CatalogueView

LETTERS = (2, 5, 10, 18, 30)  # % of the letters
NEIGHBOUR, TRANSPOSED, DOUBLED, MISSING = range(4)


@lru_cache(maxsize=64)
def neighbours(rows: tuple[str, ...]) -> dict[str, str]:
    """Return for each key of a keyboard those beside, above and below it."""
    near: dict[str, set[str]] = {letter: set() for row in rows for letter in row}
    pairs = [pair for row in rows for pair in pairwise(row)]
    for upper, lower in pairwise(rows):
        # A key of a lower row lies under the gap between the key above it and the next one.
        pairs += [*zip(upper, lower, strict=False), *zip(upper[1:], lower, strict=False)]
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)
    return {letter: "".join(sorted(others)) for letter, others in near.items()}


@changes(
    "text",
    scale="share of letters mistyped in title and description (at least as many as the severity)",
    steps=(f"{percent} %" for percent in LETTERS),
)
def typos(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Add typing errors: neighbouring keys, and swapped, doubled or missing letters."""
    own = clusters(content.title)
    text, border = [*own, "\0", *clusters(content.description)], len(own)
    fixed = _in_markup(content.title, own, 0) | _in_markup(content.description, text[border + 1 :], border + 1)
    letters = np.array(
        [place for place, letter in enumerate(text) if letter[0].isalpha() and place not in fixed], dtype=np.int64
    )
    order, kinds, keys = (
        generator.permutation(letters),
        generator.integers(0, 4, len(text)),
        generator.integers(0, 2**16, len(text)),
    )
    n = max(severity, -(-len(letters) * LETTERS[severity - 1] // 100))
    slips = set(order[:n].tolist())
    near = neighbours(view.words(content).keyboard)
    title = _mistyped(text, range(border), slips, kinds, keys, near)
    description = _mistyped(text, range(border + 1, len(text)), slips, kinds, keys, near)
    return replace(content, title=title, description=description)


def _in_markup(text: str, letters: Sequence[str], offset: int) -> set[int]:
    """Return the places, counted from an offset, of the characters within tags and references."""
    marked = spans(text)
    if not marked:
        return set()
    starts = np.cumsum([0, *map(len, letters)])[:-1]
    return {offset + place for place, start in enumerate(starts.tolist()) if inside(start, marked)}


def _mistyped(
    text: Sequence[str],
    places: range,
    slips: set[int],
    kinds: NDArray[np.int64],
    keys: NDArray[np.int64],
    neighbours_of: dict[str, str],
) -> str:
    written: list[str] = []
    place = places.start
    while place < places.stop:
        letter = text[place]
        follower = text[place + 1] if place + 1 < places.stop else ""
        if place not in slips:
            written.append(letter)
        elif kinds[place] == NEIGHBOUR and letter.lower() in neighbours_of:
            near = neighbours_of[letter.lower()]
            hit = near[int(keys[place]) % len(near)]
            written.append(hit.upper() if letter.isupper() else hit)
        elif kinds[place] == TRANSPOSED and follower[:1].isalpha() and follower != letter:
            written += [follower, letter]
            place += 1
        elif kinds[place] != MISSING or len(places) == 1:
            written += [letter, letter]
        place += 1
    return "".join(written)
