"""Edit `variant_bundle`: several colours of the product in one picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.multipack import GRIDS, in_grid
from robustrec.edits.pictures.recolour import variants
from robustrec.edits.view import CatalogueView


@changes(
    "image", scale="number of pieces, each in another colour", steps=(str(a * b) for a, b in GRIDS), meaning="changed"
)
def variant_bundle(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Show the product in several colours in one picture, as for a choice of variants."""
    turn = generator.random()
    picture = content.picture
    if picture is None:
        return content
    columns, rows = GRIDS[severity - 1]
    # Few colours are far apart, more lie between them; the first piece is the product as it is.
    others = variants(picture, [(turn + _spread(number)) % 1.0 for number in range(columns * rows - 1)])
    return replace(content, picture=in_grid(picture, [picture, *others], columns, rows))


def _spread(number: int) -> float:
    """Return the number-th term of the van der Corput sequence of base 2."""
    value, part = 0.0, 0.5
    while number:
        value, part, number = value + part * (number % 2), part / 2, number // 2
    return value
