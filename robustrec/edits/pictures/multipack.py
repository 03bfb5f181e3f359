"""Edit `multipack`: several pieces of the product in one picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageOps

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import border_colour
from robustrec.edits.view import CatalogueView

GRIDS = ((2, 1), (2, 2), (3, 2), (3, 3), (4, 4))
"""Columns and rows of the pieces."""


@changes("image", scale="number of pieces", steps=(str(columns * rows) for columns, rows in GRIDS), meaning="changed")
def multipack(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Show several pieces of the product side by side, as for a pack of several."""
    picture = content.picture
    if picture is None:
        return content
    columns, rows = GRIDS[severity - 1]
    return replace(content, picture=in_grid(picture, [picture] * (columns * rows), columns, rows))


def in_grid(picture: Image.Image, pieces: list[Image.Image], columns: int, rows: int) -> Image.Image:
    """Return pieces in rows, each whole, in the size and on the background colour of a picture."""
    after = Image.new("RGB", picture.size, border_colour(picture))
    for number, piece in enumerate(pieces):
        column, row = number % columns, number // columns
        left, right = (picture.width * each // columns for each in (column, column + 1))
        top, bottom = (picture.height * each // rows for each in (row, row + 1))
        if right > left and bottom > top:
            small = ImageOps.contain(piece, (right - left, bottom - top), Image.Resampling.BICUBIC)
            after.paste(small, ((left + right - small.width) // 2, (top + bottom - small.height) // 2))
    return after
