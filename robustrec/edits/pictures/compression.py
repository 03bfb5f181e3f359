"""Edit `compression`: repeated JPEG compression."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import thumbnail
from robustrec.edits.view import CatalogueView

QUALITIES = (40, 25, 15, 9, 5)
VIEW = 384  # larger pictures are downscaled to this size, and enlarged afterwards


@changes("image", scale="JPEG quality", steps=map(str, QUALITIES))
def compression(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Compress the picture repeatedly, which adds block and ringing artefacts."""
    picture = content.picture
    if picture is None:
        return content
    stream = io.BytesIO()
    thumbnail(picture, VIEW).save(stream, "JPEG", quality=QUALITIES[severity - 1], subsampling=2)
    with Image.open(stream, formats=("JPEG",)) as file:
        after = file.convert("RGB")
    if after.size != picture.size:
        after = after.resize(picture.size, Image.Resampling.BICUBIC)
    return replace(content, picture=after)
