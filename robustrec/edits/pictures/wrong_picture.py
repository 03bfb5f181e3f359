"""Upload fault `wrong_picture`: the picture of another item."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageOps

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import border_colour
from robustrec.edits.view import CatalogueView

PLACES = (0, 25, 50, 75, 100)  # position of the shown item in % from the most to the least similar one


@changes(
    "image",
    scale="similarity of the shown item by shared words, among 48 random items",
    steps=("most similar", "similar", "medium", "dissimilar", "least similar"),
    kind="fault",
    meaning="changed",
)
def wrong_picture(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Replace the picture with that of another variant, or of another product."""
    rows = view.pictures(content, generator)
    picture = content.picture
    if picture is None or not rows:
        return content
    first = (len(rows) - 1) * PLACES[severity - 1] // 100
    nearest = sorted(range(len(rows)), key=lambda place: (abs(place - first), place))
    other = next(view.others(content, (rows[place] for place in nearest)), None)
    if other is None:
        return content
    fitted = ImageOps.pad(other, picture.size, Image.Resampling.BICUBIC, color=border_colour(other))
    return replace(content, picture=fitted)
