"""Edit `infographic`: call-outs with texts on the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import LOUD, WHITE, Colour, share
from robustrec.edits.pictures.lettering import letters
from robustrec.edits.texts.wording import drawn
from robustrec.edits.view import CatalogueView

LABELS = (1, 2, 3, 4, 6)
WIDTHS = (30, 33, 36, 39, 42)  # % of the width of the picture
_HEIGHT = 0.3  # of the width of a label
PLACES = ((0.02, 0.06), (0.98, 0.42), (0.02, 0.78), (0.98, 0.06), (0.02, 0.42), (0.98, 0.78))
"""Left or right edge, and top, of the labels, as shares of width and height."""


@changes(
    "image",
    scale="number of labels, and their width relative to the picture",
    steps=(f"{n}, {width} %" for n, width in zip(LABELS, WIDTHS, strict=True)),
)
def infographic(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Add labels with selling points, and lines from them to the product."""
    pack = view.languages.lettering(content)
    said = drawn(pack.callouts, LABELS[-1], generator)
    order, colour = generator.permutation(len(PLACES)).tolist(), LOUD[generator.integers(0, len(LOUD))]
    picture = content.picture
    if picture is None:
        return content
    after = picture.copy()
    width = share(picture.width, WIDTHS[severity - 1])
    height = max(1, min(round(width * _HEIGHT), picture.height))
    for text, place in zip(said[: LABELS[severity - 1]], order, strict=False):
        across, down = PLACES[place]
        left = round(across * picture.width) - (width if across > 0.5 else 0)
        top = min(round(down * picture.height), picture.height - height)
        _line(after, (left + width // 2, top + height // 2), colour)
        after.paste(_label(text, (width, height), colour, pack.face), (left, top))
    return replace(content, picture=after)


def _line(picture: Image.Image, start: tuple[int, int], colour: Colour) -> None:
    width, height = picture.size
    # To a point of the product, a third of the way before the centre.
    end = (width // 2 + (start[0] - width // 2) // 4, height // 2 + (start[1] - height // 2) // 4)
    ImageDraw.Draw(picture).line((*start, *end), fill=colour, width=max(1, min(width, height) // 90))


def _label(text: str, size: tuple[int, int], colour: Colour, font: Path | None) -> Image.Image:
    width, height = size
    label = Image.new("RGB", size, colour)
    edge = max(1, height // 14)
    label.paste(WHITE, (edge, edge, max(edge, width - edge), max(edge, height - edge)))
    ink = letters(text, max(1, int(width * 0.86)), max(1, int(height * 0.62)), lines=2, own=font)
    label.paste(colour, ((width - ink.width) // 2, (height - ink.height) // 2), ink)
    return label
