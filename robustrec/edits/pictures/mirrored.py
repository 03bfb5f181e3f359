"""Edit `mirrored`: mirrored and rotated picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageOps

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import border_colour
from robustrec.edits.view import CatalogueView

ANGLES = (0, 4, 8, 13, 20)  # degrees


@changes("image", scale="mirrored and rotated by", steps=(f"{angle}°" for angle in ANGLES))
def mirrored(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Mirror and rotate the picture."""
    clockwise = generator.random() < 0.5
    picture = content.picture
    if picture is None:
        return content
    after = ImageOps.mirror(picture)
    angle = ANGLES[severity - 1]
    if angle:
        after = after.rotate(-angle if clockwise else angle, Image.Resampling.BICUBIC, fillcolor=border_colour(picture))
    return replace(content, picture=after)
