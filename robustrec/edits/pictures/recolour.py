"""Edit `recolour`: another colour of the product."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from PIL import Image, ImageChops, ImageOps

from robustrec.edits.content import Content
from robustrec.edits.contract import changes
from robustrec.edits.pictures.canvas import hue, thumbnail
from robustrec.edits.pictures.cutout import cutout
from robustrec.edits.view import CatalogueView

ANGLES = (14, 30, 55, 95, 150)  # degrees by which the main hue turns
DYES = (12, 25, 42, 62, 85)  # % of dye on a product without colour
_GREY = 6  # a colour this many times its chroma below 255 takes dye
_COLOURED = 40  # chroma from which a pixel has a colour
_LEAST = 0.3  # minimum share of such pixels for a coloured product
_BIN = 256 // 16  # hues are counted in sixteenths of the circle


@changes(
    "image",
    scale="hue rotation of the main colour, or strength of the dye on grey, black or white products",
    steps=(f"{angle}° or {dye} %" for angle, dye in zip(ANGLES, DYES, strict=True)),
    meaning="changed",
)
def recolour(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
    """Change the colour of the product."""
    back, turn = generator.random() < 0.5, generator.random()
    picture = content.picture
    if picture is None:
        return content
    good = cutout(picture)
    main = _main_hue(picture, good)
    if main is None:
        after = ImageOps.colorize(
            ImageOps.grayscale(picture), hue(turn, 0.8, 0.3), hue(turn, 0.35, 1.0), mid=hue(turn, 0.75, 0.75)
        )
        weight = [max(0, 255 - _GREY * chroma) * DYES[severity - 1] // 100 for chroma in range(256)]
        where = _chroma(picture).point(weight)
    else:
        angle = math.radians(ANGLES[severity - 1])
        after = picture.convert("RGB", _turn(-angle if back else angle))
        # Other hues, such as skin or labels, stay the same.
        where = picture.convert("HSV").getchannel("H").point(list(_nearness(main)))
    return replace(content, picture=Image.composite(after, picture, ImageChops.multiply(good, where)))


def variants(picture: Image.Image, turns: Sequence[float]) -> Iterator[Image.Image]:
    """Yield the picture with its product in other colours.

    Args:
        picture: RGB.
        turns: by how much the hue of the product turns, in turns; the hue itself for a product without colour.
    """
    good = cutout(picture)
    plain = ImageOps.grayscale(picture) if _main_hue(picture, good) is None else None
    for turn in turns:
        if plain is not None:
            dark, mid, light = hue(turn, 0.8, 0.25), hue(turn, 0.75, 0.7), hue(turn, 0.35, 1.0)
            after = ImageOps.colorize(plain, dark, light, mid=mid)
        else:
            # Away from the hue as it is, by an eighth of the circle at least.
            after = picture.convert("RGB", _turn(2 * math.pi * (0.125 + 0.75 * turn)))
        yield Image.composite(after, picture, good)


def _main_hue(picture: Image.Image, good: Image.Image) -> int | None:
    """Return the main hue (0 to 255) of the product, None for a product without colour."""
    small = thumbnail(picture)
    weight = np.asarray(good.resize(small.size, Image.Resampling.BOX)).astype(np.float64)
    chroma = np.asarray(_chroma(small)).astype(np.float64)
    coloured = weight * (chroma >= _COLOURED)
    if coloured.sum() <= _LEAST * weight.sum():
        return None
    hues = np.asarray(small.convert("HSV").getchannel("H"))
    counts = np.bincount((hues // _BIN).ravel(), weights=(coloured * chroma).ravel(), minlength=256 // _BIN)
    return int(np.argmax(counts + np.roll(counts, 1) / 2 + np.roll(counts, -1) / 2)) * _BIN + _BIN // 2


@cache
def _nearness(main: int) -> tuple[int, ...]:
    """Return for each hue 255 within 35 degrees of the main one, 0 beyond 65, and what lies between."""
    degrees = (abs((value - main + 128) % 256 - 128) * 360 / 256 for value in range(256))
    return tuple(round(255 * min(1.0, max(0.0, (65 - each) / 30))) for each in degrees)


def _turn(angle: float) -> tuple[float, ...]:
    """Return the matrix [3, 4] that turns hues about the grey axis and keeps the luminance of ITU-R BT.601."""
    luminance = np.tile([0.299, 0.587, 0.114], (3, 1))
    sine = np.array([[0.168, 0.330, -0.497], [-0.328, 0.035, 0.292], [1.250, -1.050, -0.203]])
    matrix = luminance + math.cos(angle) * (np.eye(3) - luminance) + math.sin(angle) * sine
    return tuple(np.hstack([matrix, np.zeros((3, 1))]).ravel().tolist())


def _chroma(picture: Image.Image) -> Image.Image:
    """Return the largest channel less the smallest, "L"."""
    red, green, blue = picture.split()
    top = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return ImageChops.subtract(top, ImageChops.darker(ImageChops.darker(red, green), blue))
