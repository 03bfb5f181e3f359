"""Edit `hero_swap`: another photo of the same item as its main picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageOps

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import border_colour
from robustrec.edits.view import CatalogueView

PLACES = (0, 25, 50, 75, 100)  # position of the photo in % from the most to the least similar one
_SIDE = 32  # pixels of the thumbnails that are compared


@changes(
    "image",
    scale="similarity of the other photo by its pixels, among the further photos of the item",
    steps=("most similar", "similar", "medium", "dissimilar", "least similar"),
)
def hero_swap(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Show another photo of the same item; only items of which the catalog has several photos are edited."""
    picture = content.picture
    photos = list(view.photos(content)) if picture is not None else []
    if picture is None or not photos:
        return content
    photos.sort(key=lambda photo: _distance(picture, photo))
    other = photos[(len(photos) - 1) * PLACES[severity - 1] // 100]
    fitted = ImageOps.pad(other, picture.size, Image.Resampling.BICUBIC, color=border_colour(other))
    return replace(content, picture=fitted)


def _distance(one: Image.Image, other: Image.Image) -> float:
    small = [np.asarray(each.resize((_SIDE, _SIDE), Image.Resampling.BOX)).astype(np.float64) for each in (one, other)]
    return float(np.abs(small[0] - small[1]).mean())
