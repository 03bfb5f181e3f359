"""Edit `collage`: several pictures in one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image, ImageOps

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import WHITE, share
from robustrec.edits.view import CatalogueView

Box = tuple[float, float, float, float]
_THIRDS = (0.0, 1 / 3, 2 / 3)
_GAP = 1.2  # between pictures, % of the shorter side

LAYOUTS: tuple[tuple[str, tuple[Box, ...]], ...] = (
    ("whole, a detail in a corner", ((0, 0, 1, 1), (0.68, 0.68, 1, 1))),
    ("two thirds, two beside it", ((0, 0, 2 / 3, 1), (2 / 3, 0, 1, 0.5), (2 / 3, 0.5, 1, 1))),
    ("one of four", ((0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1))),
    ("one of six", tuple((x, y, x + 1 / 3, y + 0.5) for y in (0.0, 0.5) for x in _THIRDS)),
    ("one of nine", tuple((x, y, x + 1 / 3, y + 1 / 3) for y in _THIRDS for x in _THIRDS)),
)
"""Description, and boxes as shares of width and height; the first box has the original picture."""


@changes("image", scale="size of the original picture", steps=(said for said, _ in LAYOUTS), meaning="changed")
def collage(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Combine the picture with details, variants and other products in a collage."""
    rows = view.pictures(content, generator)
    details = generator.random((8, 3))
    picture = content.picture
    if picture is None:
        return content
    boxes = LAYOUTS[severity - 1][1]
    others = _others(content, picture, view, rows, details)
    gap = share(min(picture.size), _GAP) if min(picture.size) >= 16 else 0
    after = picture.copy() if severity == 1 else Image.new("RGB", picture.size, WHITE)
    for number, box in enumerate(boxes):
        if severity == 1 and number == 0:
            continue
        _set(after, picture if number == 0 else next(others), box, gap)
    return replace(content, picture=after)


def _set(sheet: Image.Image, picture: Image.Image, box: Box, gap: int) -> None:
    """Paste a picture into a box, cropped to its shape, with a white line to other pictures."""
    left, right = round(box[0] * sheet.width), round(box[2] * sheet.width)
    top, bottom = round(box[1] * sheet.height), round(box[3] * sheet.height)
    sheet.paste(WHITE, (left, top, right, bottom))
    left, top = left + (gap if left else 0), top + (gap if top else 0)
    if right > left and bottom > top:
        sheet.paste(ImageOps.fit(picture, (right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))


def _others(
    content: Content, picture: Image.Image, view: CatalogueView, rows: list[int], details: np.ndarray[tuple[int, int]]
) -> Iterator[Image.Image]:
    """Yield details of the picture and other products in turn; only details if there are no others."""
    goods = view.others(content, rows)
    for number, (across, down, width) in enumerate(details.tolist()):
        other = next(goods, None) if number % 2 else None
        yield _detail(picture, across, down, 0.35 + 0.25 * width) if other is None else other


def _detail(picture: Image.Image, across: float, down: float, width: float) -> Image.Image:
    columns, rows = max(1, int(picture.width * width)), max(1, int(picture.height * width))
    # Around the centre, where the product is.
    left = int((picture.width - columns) * (0.25 + across / 2))
    top = int((picture.height - rows) * (0.25 + down / 2))
    return picture.crop((left, top, left + columns, top + rows))
