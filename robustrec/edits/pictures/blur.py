"""Edit `blur`: defocus or motion blur."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import ImageFilter

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.view import CatalogueView

RADII = (0.6, 1.1, 1.8, 2.8, 4.0)  # % of the longer side


@changes("image", scale="radius of the blur, relative to the longer side", steps=(f"{percent} %" for percent in RADII))
def blur(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Blur the picture by defocus or camera motion."""
    picture = content.picture
    if picture is None:
        return content
    radius = max(picture.size) * RADII[severity - 1] / 100
    return replace(content, picture=picture.filter(ImageFilter.GaussianBlur(radius)))
