"""Thumbnails for the page: only valid JPEGs and WebPs, within a budget, each once."""

from __future__ import annotations

import base64
import binascii
import io

from markupsafe import Markup

from robustrec.quiet import warnings_are
from robustrec.report.html.charts.elements import element

_LARGEST_PIXELS = 4096 * 4096


class PictureSheet:
    """Pictures of a section, each once however often it is shown, as long as they fit into a budget."""

    def __init__(self, name: str, budget: int) -> None:
        self.name, self.room = name, budget
        self._numbers: dict[str, int | None] = {}

    def shown(self, text: str | None, words: str = "", size: int = 64) -> Markup:
        """Return a picture as a reference to the sheet; empty if it is not valid or does not fit.

        Args:
            text: WebP in base64.
            words: what it shows, for a screen reader; empty if that stands beside it.
            size: of its box in pixels.
        """
        if not text:
            return Markup("")
        if text not in self._numbers:
            valid = checked_picture(text, "WEBP") if len(text) <= self.room else None
            self.room -= len(text) if valid else 0
            self._numbers[text] = len(self._numbers) if valid else None
        number = self._numbers[text]
        if number is None:
            return Markup("")
        spoken = {"role": "img", "aria_label": words} if words else {"aria_hidden": "true"}
        use = element("use", href=f"#{self.name}-{number}")
        return element("svg", use, viewBox="0 0 96 96", width=size, height=size, class_="pic", **spoken)

    @property
    def sheet(self) -> Markup:
        """The pictures themselves, which stand once before or after their uses."""
        symbols = [
            element(
                "symbol",
                element("image", href=f"data:image/webp;base64,{text}", width=96, height=96),
                id=f"{self.name}-{number}",
                viewBox="0 0 96 96",
            )
            for text, number in self._numbers.items()
            if number is not None
        ]
        if not symbols:
            return Markup("")
        return element("svg", *symbols, class_="hidden", width=0, height=0, aria_hidden="true")


def checked_jpeg(text: str | None) -> str | None:
    """Return a picture in base64 for a data URI, or None if it is not a valid JPEG."""
    return checked_picture(text, "JPEG")


def checked_picture(text: str | None, form: str) -> str | None:
    """Return a picture in base64 for a data URI, or None if it is not valid in a format of Pillow."""
    if not text:
        return None
    from PIL import Image

    try:
        data = base64.b64decode(text, validate=True)
        with warnings_are("error"), Image.open(io.BytesIO(data), formats=(form,)) as picture:
            if picture.width * picture.height > _LARGEST_PIXELS:
                return None
            picture.load()
    except (binascii.Error, ValueError, OSError, SyntaxError, Warning, Image.DecompressionBombError):
        return None
    return base64.b64encode(data).decode("ascii")
