"""Edit `crop`: a part of the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.view import CatalogueView

SIDES = (88, 75, 62, 48, 35)  # % of width and height kept


@changes(
    "image",
    scale="share of width and height kept, enlarged to the original size",
    steps=(f"{side} %" for side in SIDES),
)
def crop(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Crop the picture, so that parts of the product are cut off."""
    across, down = generator.random(2).tolist()
    picture = content.picture
    if picture is None:
        return content
    width, height = (length * SIDES[severity - 1] / 100 for length in picture.size)
    # Around the centre, so that a part of the product stays visible.
    left = (picture.width - width) * (0.2 + 0.6 * across)
    top = (picture.height - height) * (0.2 + 0.6 * down)
    box = (left, top, left + width, top + height)
    return replace(content, picture=picture.resize(picture.size, Image.Resampling.BICUBIC, box=box))
