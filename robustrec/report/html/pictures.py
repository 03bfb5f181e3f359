"""Thumbnails for the page: only valid JPEGs, within a budget."""

from __future__ import annotations

import base64
import binascii
import io

from robustrec.quiet import warnings_are

_LARGEST_PIXELS = 4096 * 4096


def checked_jpeg(text: str | None) -> str | None:
    """Return a picture in base64 for a data URI, or None if it is not a valid JPEG."""
    if not text:
        return None
    from PIL import Image

    try:
        data = base64.b64decode(text, validate=True)
        with warnings_are("error"), Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            if picture.width * picture.height > _LARGEST_PIXELS:
                return None
            picture.load()
    except (binascii.Error, ValueError, OSError, SyntaxError, Warning, Image.DecompressionBombError):
        return None
    return base64.b64encode(data).decode("ascii")
