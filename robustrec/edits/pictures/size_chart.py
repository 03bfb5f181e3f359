"""Edit `size_chart`: a table of sizes on the picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import LOUD, WHITE, Colour, share
from robustrec.edits.pictures.lettering import letters
from robustrec.edits.view import CatalogueView

if TYPE_CHECKING:
    from robustrec.edits.vocabulary import Vocabulary

SIDES = (34, 45, 57, 70, 84)  # % of width and height
_INK: Colour = (40, 40, 44)
_PALE: Colour = (226, 228, 232)
_SMALLEST = 8  # pixels of a cell below which its text is left out


@changes("image", scale="width and height of the chart, relative to the picture", steps=(f"{side} %" for side in SIDES))
def size_chart(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Put a table of sizes over a part of the picture."""
    pack = view.languages.lettering(content)
    colour, corner, start = (int(generator.integers(0, n)) for n in (len(LOUD), 3, 30))
    picture = content.picture
    if picture is None:
        return content
    chart = _chart(pack, (share(picture.width, SIDES[severity - 1]), share(picture.height, SIDES[severity - 1])), start)
    edge = ImageDraw.Draw(chart)
    edge.rectangle((0, 0, chart.width - 1, chart.height - 1), outline=LOUD[colour], width=max(1, chart.width // 80))
    across, down = picture.width - chart.width, picture.height - chart.height
    after = picture.copy()
    after.paste(chart, ((0, down), (across, down), (across, 0))[corner])
    return replace(content, picture=after)


def _chart(pack: Vocabulary, size: tuple[int, int], start: int) -> Image.Image:
    """Return a table with a title, a head and a line for each size; numbers in centimetres."""
    width, height = size
    image = Image.new("RGB", size, WHITE)
    columns, sizes = pack.chart.columns, pack.chart.sizes
    lines = len(sizes) + 2
    cells = [
        [each, *(str(start + 40 + 8 * row + 7 * column) for column in range(1, len(columns)))]
        for row, each in enumerate(sizes)
    ]
    for row, texts in enumerate([[pack.chart.title], [*columns], *cells]):
        top, bottom = height * row // lines, height * (row + 1) // lines
        if row and row % 2 == 0:
            image.paste(_PALE, (0, top, width, bottom))
        for column, text in enumerate(texts):
            left, right = width * column // len(texts), width * (column + 1) // len(texts)
            if min(right - left, bottom - top) < _SMALLEST:
                continue
            room = (int((right - left) * 0.8), int((bottom - top) * (0.6 if row < 2 else 0.5)))
            ink = letters(text, *room, own=pack.face)
            image.paste(_INK, ((left + right - ink.width) // 2, (top + bottom - ink.height) // 2), ink)
    return image
