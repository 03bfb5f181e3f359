"""Edit `upscaling`: a small picture, enlarged and sharpened."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageFilter

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import share
from robustrec.edits.pictures.low_resolution import VIEW
from robustrec.edits.view import CatalogueView

SIDES = (55, 40, 29, 21, 15)  # % of the longer side, or of VIEW pixels
SHARPENING = (80, 130, 180, 240, 300)  # % of the unsharp mask
_RADIUS = 1.2  # of the unsharp mask, in pixels of the small picture


@changes(
    "image",
    scale=f"resolution that is enlarged, relative to the longer side, or to {VIEW} pixels if it is longer; sharpening",
    steps=(f"{side} %, {percent} %" for side, percent in zip(SIDES, SHARPENING, strict=True)),
)
def upscaling(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Enlarge a small version of the picture and sharpen it, which adds halos around edges."""
    picture = content.picture
    if picture is None:
        return content
    scale = share(min(max(picture.size), VIEW), SIDES[severity - 1]) / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    large = picture.resize(size, Image.Resampling.BOX).resize(picture.size, Image.Resampling.LANCZOS)
    sharpen = ImageFilter.UnsharpMask(radius=_RADIUS / scale, percent=SHARPENING[severity - 1], threshold=0)
    return replace(content, picture=large.filter(sharpen))
