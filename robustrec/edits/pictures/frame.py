"""Edit `frame`: a coloured frame around the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import LOUD, WHITE, share
from robustrec.edits.view import CatalogueView

WIDTHS = (1.5, 4, 8, 13, 20)  # % of the shorter side


@changes("image", scale="width of the frame, relative to the shorter side", steps=(f"{width:g} %" for width in WIDTHS))
def frame(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Put the picture, made smaller, into a coloured frame with a white line."""
    colour = LOUD[generator.integers(0, len(LOUD))]
    picture = content.picture
    if picture is None:
        return content
    width = min(share(min(picture.size), WIDTHS[severity - 1]), (min(picture.size) - 1) // 2)
    after = Image.new("RGB", picture.size, colour)
    line = width // 6
    if line:
        after.paste(WHITE, (width - line, width - line, picture.width - width + line, picture.height - width + line))
    inner = (max(1, picture.width - 2 * width), max(1, picture.height - 2 * width))
    after.paste(picture.resize(inner, Image.Resampling.BICUBIC), (width, width))
    # A picture of one pixel's width has no room for a frame.
    return replace(content, picture=after)
