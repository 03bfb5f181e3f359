"""Text on pictures: in the built-in font of Pillow, else in DejaVu Sans, else in the font of a pack.

The first two are the same on every machine. A text is drawn only in a font that has all its characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

_TRIAL = 64  # letters are measured at this size, in pixels
_SMALLEST = 12  # below this size letters are drawn larger and scaled down
_LARGEST = 1024  # above it they are scaled up
_SMALL = 64 * 64  # pixels of a box up to which a drawn text is kept: cells of a table, in many pictures the same
_SPACING = 0.35  # between lines, of the size of the letters


def plain(text: str) -> str:
    """Return the characters of a text that the font has: Latin letters without accents, digits and common signs."""
    latin = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join("".join(letter for letter in latin if letter.isprintable()).split())


@lru_cache(maxsize=64)
def font(size: int, face: Path | None = None, *, shaped: bool = False) -> ImageFont.FreeTypeFont:
    """Return a font at a size in pixels.

    Args:
        size: in pixels.
        face: font file; None for the built-in font.
        shaped: whether letters are joined and ordered as their script asks for, which needs the Raqm library.

    Raises:
        OSError: the file is not a font.
    """
    # Pillow would else lay out with whatever Raqm library a machine has.
    layout = ImageFont.Layout.RAQM if shaped else ImageFont.Layout.BASIC
    if face is not None:
        return ImageFont.truetype(face, size, layout_engine=layout)
    loaded = ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)  # a size was asked for
    return loaded.font_variant(layout_engine=layout)


WIDE_FACE = Path(__file__).parents[1] / "fonts" / "DejaVuSans-Bold.ttf"
"""DejaVu Sans, which has European scripts, Hebrew and Arabic."""


class Face(NamedTuple):
    """A font for a text, and whether the text needs shaping."""

    path: Path | None
    shaped: bool


@lru_cache(maxsize=512)
def face_for(text: str, own: Path | None = None) -> Face | None:
    """Return a font that has all characters of a text; None if there is none.

    Args:
        text: what to write.
        own: font of a language pack, which is preferred.
    """
    shaped = any(map(_shaped, text))
    if shaped:
        from PIL import features

        if not features.check("raqm"):
            return None
    faces = (own, None) if own is not None else (None, WIDE_FACE)
    return next((Face(face, shaped) for face in faces if _has(face, text)), None)


def writable(texts: Iterable[str], own: Path | None = None) -> bool:
    """Return whether there is a font for each of some texts."""
    return all(face_for(text, own) is not None for text in texts)


def _shaped(letter: str) -> bool:
    """Return whether the form or place of a letter depends on those beside it."""
    return unicodedata.bidirectional(letter) in ("R", "AL") or unicodedata.category(letter)[0] == "M"


def _has(face: Path | None, text: str) -> bool:
    missing = _drawn("\uffff", face)
    return all(letter.isspace() or _drawn(letter, face) != missing for letter in set(text))


@lru_cache(maxsize=4096)
def _drawn(letter: str, face: Path | None) -> tuple[tuple[int, int], bytes]:
    mask = font(24, face).getmask(letter)
    return mask.size, bytes(mask)


def letters(text: str, width: int, height: int, *, lines: int = 1, own: Path | None = None) -> Image.Image:
    """Return a text as coverage ("L"), as large as fits a box; 255 where ink is.

    Args:
        text: what to write; `plain` first, where it comes from a catalogue.
        width: of the box, in pixels.
        height: of the box, in pixels.
        lines: most lines it may be broken into.
        own: font of a language pack, see `face_for`; without a font for the text, what `plain` leaves is written.

    Returns:
        A picture as large as the ink, at most (width, height), at least 1 x 1.
    """
    if width * height > _SMALL:
        return _letters(text, width, height, lines, own)
    return _kept_letters(text, width, height, lines, own).copy()


def _letters(text: str, width: int, height: int, lines: int, own: Path | None) -> Image.Image:
    face = face_for(text, own)
    if face is None:
        text, face = plain(text), Face(None, False)
    wrapped, box = max(
        ((candidate, _measured(candidate, face)) for candidate in _broken(text, lines)),
        key=lambda pair: min(width / (pair[1][2] - pair[1][0]), height / (pair[1][3] - pair[1][1])),
    )
    scale = min(width / (box[2] - box[0]), height / (box[3] - box[1]))
    ink = _written(wrapped, min(max(int(_TRIAL * scale), _SMALLEST), _LARGEST), face)
    fit = min(width / ink.width, height / ink.height)
    if fit < 1 or fit > 1.5:
        size = (max(1, min(width, round(ink.width * fit))), max(1, min(height, round(ink.height * fit))))
        ink = ink.resize(size, Image.Resampling.LANCZOS)
    return ink


_kept_letters = lru_cache(maxsize=1024)(_letters)


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
def _measured(text: str, face: Face, size: int = _TRIAL) -> tuple[float, float, float, float]:
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    spacing = size * _SPACING
    left, top, right, bottom = draw.multiline_textbbox(
        (0, 0), text, font(size, face.path, shaped=face.shaped), spacing=spacing, align="center"
    )
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _written(text: str, size: int, face: Face) -> Image.Image:
    left, top, right, bottom = _measured(text, face, size)
    image = Image.new("L", (int(right - left) + 3, int(bottom - top) + 3), 0)
    draw = ImageDraw.Draw(image)
    drawn = font(size, face.path, shaped=face.shaped)
    draw.multiline_text((1 - left, 1 - top), text, 255, drawn, spacing=size * _SPACING, align="center")
    return image.crop(image.getbbox() or (0, 0, 1, 1))
