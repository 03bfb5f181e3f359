"""Edit `low_resolution`: reduced resolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import share
from robustrec.edits.view import CatalogueView

VIEW = 256  # pixels of the long side that a shopper, or an encoder, sees; finer detail is not missed
SIDES = (60, 42, 30, 21, 15)  # % of that


@changes(
    "image",
    scale=f"resolution kept, relative to the longer side, or to {VIEW} pixels if it is longer",
    steps=(f"{percent} %" for percent in SIDES),
)
def low_resolution(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Downscale the picture and enlarge it to its original size, which removes detail."""
    picture = content.picture
    if picture is None:
        return content
    scale = share(min(max(picture.size), VIEW), SIDES[severity - 1]) / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = picture.resize(size, Image.Resampling.BOX)
    return replace(content, picture=small.resize(picture.size, Image.Resampling.BICUBIC))
