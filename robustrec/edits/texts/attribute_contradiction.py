"""Edit `attribute_contradiction`: wrong attribute values."""

from __future__ import annotations

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import SEVERITIES, changes
from robustrec.edits.texts.wording import key, swapped, words_of
from robustrec.edits.view import CatalogueView


@changes(
    "text",
    scale="share of attributes replaced with wrong values, colours first (at least one)",
    steps=(f"{20 * severity} %" for severity in SEVERITIES),
    meaning="changed",
)
def attribute_contradiction(
    content: Content, severity: int, generator: np.random.Generator, view: CatalogueView
) -> Content:
    """Replace attributes in the text with wrong values, e.g. "red" with "blue" or "wool" with "cotton"."""
    tables = view.words(content).contradictions
    kind_of = {word: kind for kind, table in tables.items() for word in table}
    rank = {kind: number for number, kind in enumerate(tables)}
    named = words_of(content, kind_of, categories=True)
    # One draw for each attribute, so that the text is wrong in the same way throughout.
    pick = {kind: int(generator.integers(0, 2**16)) for kind in tables}
    ranked = sorted(named, key=lambda word: (rank[kind_of[key(word)]], word.field, word.start))
    swaps = []
    for word in ranked[: -(-len(ranked) * severity // 5)]:
        kind = kind_of[key(word)]
        others = tables[kind][key(word)]
        swaps.append((word, others[pick[kind] % len(others)]))
    return swapped(content, swaps)
