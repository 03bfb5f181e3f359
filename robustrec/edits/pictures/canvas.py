"""Helpers of picture edits: relative sizes, brightness, border colour, random colours."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageStat

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
LOUD: tuple[Colour, ...] = ((216, 24, 40), (242, 108, 12), (24, 128, 66), (24, 72, 190), (206, 20, 120), (30, 30, 34))
"""Colours of badges and banners, with sufficient contrast to white letters."""

_THUMBNAIL = 64


def share(length: int, percent: float) -> int:
    """Return a percentage of a length in pixels, at least one."""
    return max(1, round(length * percent / 100))


def thumbnail(picture: Image.Image, side: int = _THUMBNAIL) -> Image.Image:
    """Return the picture with its long side at most `side`; never enlarged, never below one pixel."""
    scale = min(1.0, side / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BOX)


def brightness(picture: Image.Image) -> float:
    """Return the mean luminance, 0 to 255."""
    return float(ImageStat.Stat(thumbnail(picture).convert("L")).mean[0])


def ring(pixels: NDArray[Any], width: int = 1) -> NDArray[Any]:
    """Return the pixels along the border: [n, C] of [H, W, C]."""
    mask = np.ones(pixels.shape[:2], dtype=bool)
    mask[width:-width, width:-width] = False
    return pixels[mask]


def border_colour(picture: Image.Image) -> Colour:
    """Return the median colour along the border, usually the background."""
    median = np.median(ring(np.asarray(thumbnail(picture))), axis=0)
    return int(median[0]), int(median[1]), int(median[2])


def hue(turn: float, saturation: float, value: float) -> Colour:
    """Return the colour of a hue (in turns), a saturation and a value (0 to 1)."""
    red, green, blue = colorsys.hsv_to_rgb(turn % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
