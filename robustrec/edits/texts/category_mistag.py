"""Edit `category_mistag`: wrong categories."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import SEVERITIES, changes
from robustrec.edits.view import CatalogueView

PLACES = (0, 25, 50, 75, 100)  # position of the other item in % from the most to the least similar one
ADDED = (0, 0, 1, 2, 4)  # labels of further items


@changes(
    "text",
    scale="share of the category path, from its end, of another item, how similar that is + labels of further items",
    steps=(
        f"{20 * severity} %, {said} + {added}"
        for severity, said, added in zip(
            SEVERITIES, ("most similar", "similar", "medium", "dissimilar", "least similar"), ADDED, strict=True
        )
    ),
    meaning="changed",
)
def category_mistag(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Put the item into a category of another item, as careless or greedy sellers do."""
    paths = [path for path in view.paths(content, generator) if path[-1] != content.categories[-1]]
    if not paths:
        return content
    own = content.categories
    other = paths[(len(paths) - 1) * PLACES[severity - 1] // 100]
    kept = len(own) - max(1, -(-len(own) * severity // 5))
    path = (*own[:kept], *(other[kept:] or other[-1:]))
    labels = dict.fromkeys(each[-1] for each in reversed(paths) if each[-1] not in path)
    return replace(content, categories=(*path, *list(labels)[: ADDED[severity - 1]]))
