"""Edit `text_banner`: a band of text on the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import LOUD, WHITE, share
from robustrec.edits.pictures.lettering import letters
from robustrec.edits.view import CatalogueView

HEIGHTS = (10, 15, 21, 28, 36)  # % of the height of the picture


@changes(
    "image",
    scale="height of the banner, relative to the height of the picture",
    steps=(f"{percent} %" for percent in HEIGHTS),
)
def text_banner(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Add an offer in a coloured banner at the top or the bottom of the picture."""
    pack = view.languages.lettering(content)
    words = pack.banners
    word, colour, place = (int(generator.integers(0, n)) for n in (len(words), len(LOUD), 3))
    picture = content.picture
    if picture is None:
        return content
    width, height = picture.width, share(picture.height, HEIGHTS[severity - 1])
    band = Image.new("RGB", (width, height), LOUD[colour])
    ink = letters(words[word], max(1, int(width * 0.9)), max(1, int(height * 0.72)), lines=3, own=pack.face)
    band.paste(WHITE, ((width - ink.width) // 2, (height - ink.height) // 2), ink)
    after = picture.copy()
    after.paste(band, (0, 0 if place == 0 else picture.height - height))
    return replace(content, picture=after)
