"""Surfaces and backdrops of products: colour, pattern, texture; integer arithmetic on [256, 256, 3]."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.shop.draws import Draws
from robustrec.datasets.shop.shapes import SIDE, Mask, arc, polygon_mask, union_mask

RGB = tuple[int, int, int]
Pixels = NDArray[np.uint8]
Grid = NDArray[np.int64]

_Y, _X = np.indices((SIDE, SIDE), dtype=np.int64)


def flat(colour: RGB) -> Pixels:
    """Return a canvas of one colour."""
    return np.broadcast_to(np.array(colour, dtype=np.uint8), (SIDE, SIDE, 3)).copy()


def mixed(a: RGB, b: RGB, percent: int) -> RGB:
    """Return `percent` of b in a."""
    red, green, blue = ((x * (100 - percent) + y * percent) // 100 for x, y in zip(a, b, strict=True))
    return red, green, blue


def lightness(colour: RGB) -> int:
    """Return how light a colour looks, 0..255."""
    return (colour[0] * 3 + colour[1] * 6 + colour[2]) // 10


def contrast(colour: RGB) -> RGB:
    """Return the second colour of a pattern: much lighter on dark products, much darker on light ones."""
    return mixed(colour, (24, 20, 40), 58) if lightness(colour) > 150 else mixed(colour, (255, 255, 250), 72)


# Where the second colour shows. Periods are 28 to 44 pixels here, 14 to 22 in the finished picture, and half
# of that at 64 pixels: the narrowest that a person still reads there.


def _plain() -> Mask:
    return np.zeros(_X.shape, dtype=bool)


def _striped() -> Mask:
    return np.asarray(_Y % 28 < 12)


def _dotted() -> Mask:
    dx, dy = (_X + 18 * (_Y // 18 % 2)) % 36 - 18, _Y % 18 - 9
    return np.asarray(dx * dx + dy * dy < 52)


def _checked() -> Mask:
    return np.asarray((_X // 18 + _Y // 18) % 2 == 0)


def _zigzag() -> Mask:
    return np.asarray((_Y + np.abs(_X % 40 - 20)) % 34 < 12)


def _floral() -> Mask:
    dx, dy = (_X + 22 * (_Y // 36 % 2)) % 44 - 22, _Y % 36 - 18
    petals = np.zeros(_X.shape, dtype=bool)
    for px, py in ((0, -9), (9, -3), (6, 8), (-6, 8), (-9, -3)):
        petals |= (dx - px) ** 2 + (dy - py) ** 2 < 40
    return np.asarray(petals & (dx * dx + dy * dy >= 14))


PATTERNS: dict[str, Callable[[], Mask]] = {
    "plain": _plain,
    "striped": _striped,
    "dotted": _dotted,
    "checked": _checked,
    "zigzag": _zigzag,
    "floral": _floral,
}


# How much a material lightens or darkens each pixel.


def _smooth() -> Grid:
    return np.zeros_like(_X)


def _woven() -> Grid:
    return ((_X // 6 + _Y // 6) % 2) * 36 - 18


def _twill() -> Grid:
    return np.where((_X + _Y) % 12 < 5, -28, 12)


def _ribbed() -> Grid:
    return np.where(_X % 14 < 4, -42, 10)


def _brushed() -> Grid:
    return np.where(_Y % 8 < 4, 26, 0) - (_Y // 8 % 3) * 12


def _grain() -> Grid:
    bend = (_X % 120 - 60) ** 2 // 180
    return np.where((_Y + bend) % 16 < 5, -38, 8)


def _speckle() -> Grid:
    coarse = Draws("speckle").integers(77, (SIDE // 4) ** 2).reshape(SIDE // 4, SIDE // 4) - 38
    return np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1)


def _glossy() -> Grid:
    band = (_X + _Y) % 150
    return np.where((band > 40) & (band < 66), 62, np.where((band > 74) & (band < 82), 40, -8))


TEXTURES: dict[str, Callable[[], Grid]] = {
    "smooth": _smooth,
    "woven": _woven,
    "twill": _twill,
    "ribbed": _ribbed,
    "brushed": _brushed,
    "grain": _grain,
    "speckle": _speckle,
    "glossy": _glossy,
}


def shaded(pixels: Pixels, shade: NDArray[np.int64]) -> Pixels:
    """Return pixels made lighter or darker by [256, 256] steps."""
    bright: NDArray[np.int16] = pixels.astype(np.int16) + shade.astype(np.int16)[:, :, None]
    return np.clip(bright, 0, 255).astype(np.uint8)


@cache
def _pattern(name: str) -> Mask:
    return PATTERNS[name]()


@cache
def _texture(name: str) -> Grid:
    return TEXTURES[name]()


def surface(colour: RGB, pattern: str, texture: str) -> Pixels:
    """Return the canvas from which a product's body is cut; the pattern is one of PATTERNS, the texture of TEXTURES."""
    pixels = flat(colour)
    pixels[_pattern(pattern)] = contrast(colour)
    return shaded(pixels, _texture(texture))


def _studio(_draws: Draws) -> Pixels:
    light = 252 - _Y // 9
    return np.stack([light, light, light + 2], axis=2).astype(np.uint8)


def _floor(_draws: Draws) -> Pixels:
    pixels = flat((232, 226, 212))
    pixels[184:] = (196, 178, 150)
    pixels[184:188] = (150, 132, 108)
    return pixels


def _disc(_draws: Draws) -> Pixels:
    pixels = flat((206, 220, 232))
    pixels[polygon_mask(arc(128, 128, 112, 112))] = (250, 250, 246)
    return pixels


def _diagonal(_draws: Draws) -> Pixels:
    pixels, slope = flat((240, 242, 244)), _X + _Y
    pixels[slope > 250] = (196, 206, 218)
    pixels[np.abs(slope - 250) < 8] = (120, 134, 152)
    return pixels


def _confetti(draws: Draws) -> Pixels:
    pixels = flat((252, 247, 232))
    colours = ((240, 170, 150), (160, 205, 170), (160, 180, 225), (240, 215, 130))
    places = draws.integers(SIDE - 12, 2 * 44).reshape(44, 2).tolist()
    for first, colour in enumerate(colours):
        scraps = [[(x, y), (x + 11, y + 3), (x + 8, y + 12), (x - 3, y + 8)] for x, y in places[first :: len(colours)]]
        pixels[union_mask(scraps)] = colour
    return pixels


BACKDROPS: dict[str, Callable[[Draws], Pixels]] = {
    "studio": _studio,
    "floor": _floor,
    "disc": _disc,
    "diagonal": _diagonal,
    "confetti": _confetti,
}
