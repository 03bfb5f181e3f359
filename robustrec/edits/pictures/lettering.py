"""Text on pictures in the built-in font of Pillow, equal on every machine."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

_TRIAL = 64  # letters are measured at this size, in pixels
_SMALLEST = 12  # below this size letters are drawn larger and scaled down
_LARGEST = 1024  # above it they are scaled up
_SPACING = 0.35  # between lines, of the size of the letters


def plain(text: str) -> str:
    """Return the characters of a text that the font has: Latin letters without accents, digits and common signs."""
    latin = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join("".join(letter for letter in latin if letter.isprintable()).split())


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font at a size in pixels."""
    loaded = ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)  # a size was asked for
    # Pillow would else lay out with whatever Raqm library a machine has.
    return loaded.font_variant(layout_engine=ImageFont.Layout.BASIC)


def letters(text: str, width: int, height: int, *, lines: int = 1) -> Image.Image:
    """Return a text as coverage ("L"), as large as fits a box; 255 where ink is.

    Args:
        text: what to write; `plain` first, where it comes from a catalogue.
        width: of the box, in pixels.
        height: of the box, in pixels.
        lines: most lines it may be broken into.

    Returns:
        A picture as large as the ink, at most (width, height), at least 1 x 1.
    """
    wrapped, box = max(
        ((candidate, _measured(candidate)) for candidate in _broken(text, lines)),
        key=lambda pair: min(width / (pair[1][2] - pair[1][0]), height / (pair[1][3] - pair[1][1])),
    )
    scale = min(width / (box[2] - box[0]), height / (box[3] - box[1]))
    ink = _written(wrapped, min(max(int(_TRIAL * scale), _SMALLEST), _LARGEST))
    fit = min(width / ink.width, height / ink.height)
    if fit < 1 or fit > 1.5:
        size = (max(1, min(width, round(ink.width * fit))), max(1, min(height, round(ink.height * fit))))
        ink = ink.resize(size, Image.Resampling.LANCZOS)
    return ink


def _broken(text: str, lines: int) -> list[str]:
    """Return the text on one line, on two lines of like length, and so on."""
    words = text.split() or ["."]
    ways = []
    for n in range(1, min(lines, len(words)) + 1):
        rows, length = [""], len(text) / n
        for word in words:
            if rows[-1] and len(rows) < n and len(rows[-1]) + len(word) / 2 >= length:
                rows.append("")
            rows[-1] = f"{rows[-1]} {word}".strip()
        ways.append("\n".join(rows))
    return ways


@lru_cache(maxsize=512)
def _measured(text: str, size: int = _TRIAL) -> tuple[float, float, float, float]:
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    spacing = size * _SPACING
    left, top, right, bottom = draw.multiline_textbbox((0, 0), text, font(size), spacing=spacing, align="center")
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _written(text: str, size: int) -> Image.Image:
    left, top, right, bottom = _measured(text, size)
    image = Image.new("L", (int(right - left) + 3, int(bottom - top) + 3), 0)
    draw = ImageDraw.Draw(image)
    draw.multiline_text((1 - left, 1 - top), text, 255, font(size), spacing=size * _SPACING, align="center")
    return image.crop(image.getbbox() or (0, 0, 1, 1))
