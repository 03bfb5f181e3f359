"""What a good's surface and its backdrop look like: colour, pattern, texture; integer arithmetic on [256, 256, 3]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.shop.draws import Draws
from robustrec.datasets.shop.shapes import SIDE, Mask, arc, polygon_mask, union_mask

RGB = tuple[int, int, int]
Pixels = NDArray[np.uint8]

_ROWS, _COLUMNS = np.indices((SIDE, SIDE), dtype=np.int64)


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
    """Return the second colour of a pattern: much lighter on dark goods, much darker on light ones."""
    return mixed(colour, (24, 20, 40), 58) if lightness(colour) > 150 else mixed(colour, (255, 255, 250), 72)


def pattern_mask(pattern: str) -> Mask:
    """Return where the second colour shows; an unknown pattern has none.

    Periods are 28 to 40 pixels here, 7 to 10 in the finished picture: the narrowest that a person still reads there.
    """
    x, y = _COLUMNS, _ROWS
    if pattern == "striped":
        return np.asarray(y % 28 < 12)
    if pattern == "dotted":
        row = y // 18
        dx, dy = (x + 18 * (row % 2)) % 36 - 18, y % 18 - 9
        return np.asarray(dx * dx + dy * dy < 52)
    if pattern == "checked":
        return np.asarray((x // 18 + y // 18) % 2 == 0)
    if pattern == "zigzag":
        wave = np.abs(x % 40 - 20)
        return np.asarray((y + wave) % 34 < 12)
    if pattern == "floral":
        return _flowers(x, y)
    return np.zeros((SIDE, SIDE), dtype=bool)


def _flowers(x: NDArray[np.int64], y: NDArray[np.int64]) -> Mask:
    row = y // 36
    dx, dy = (x + 22 * (row % 2)) % 44 - 22, y % 36 - 18
    petals = np.zeros((SIDE, SIDE), dtype=bool)
    for px, py in ((0, -9), (9, -3), (6, 8), (-6, 8), (-9, -3)):
        petals |= (dx - px) ** 2 + (dy - py) ** 2 < 40
    return np.asarray(petals & (dx * dx + dy * dy >= 14))


def texture_shade(texture: str, draws: Draws) -> NDArray[np.int64]:
    """Return how much a material lightens or darkens each pixel, [256, 256]; an unknown texture leaves all as it is."""
    x, y = _COLUMNS, _ROWS
    if texture == "woven":
        return np.asarray(((x // 6 + y // 6) % 2) * 36 - 18)
    if texture == "twill":
        return np.asarray(((x + y) % 12 < 5) * -40 + 12)
    if texture == "ribbed":
        return np.asarray((x % 14 < 4) * -52 + 10)
    if texture == "brushed":
        return np.asarray((y % 8 < 4) * 26 - (y // 8 % 3) * 12)
    if texture == "grain":
        bend = (np.abs(x % 120 - 60) * np.abs(x % 120 - 60)) // 180
        return np.asarray(((y + bend) % 16 < 5) * -46 + 8)
    if texture == "speckle":
        coarse = draws.integers(77, 64 * 64).reshape(64, 64) - 38
        return np.asarray(np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1))
    if texture == "glossy":
        band = (x + y) % 150
        return np.asarray(np.where((band > 40) & (band < 66), 62, np.where((band > 74) & (band < 82), 40, -8)))
    return np.zeros((SIDE, SIDE), dtype=np.int64)


def shaded(pixels: Pixels, shade: NDArray[np.int64]) -> Pixels:
    """Return pixels made lighter or darker by [256, 256] steps."""
    return np.clip(pixels.astype(np.int16) + shade.astype(np.int16)[:, :, None], 0, 255).astype(np.uint8)


def surface(colour: RGB, pattern: str, texture: str, draws: Draws) -> Pixels:
    """Return the canvas from which a good's body is cut."""
    pixels = flat(colour)
    pixels[pattern_mask(pattern)] = contrast(colour)
    return shaded(pixels, texture_shade(texture, draws))


def backdrop(name: str, draws: Draws) -> Pixels:
    """Return the backdrop of a style; "studio" is also what an unknown one gets."""
    if name == "floor":
        pixels = flat((232, 226, 212))
        pixels[184:] = (196, 178, 150)
        pixels[184:188] = (150, 132, 108)
        return pixels
    if name == "disc":
        pixels = flat((206, 220, 232))
        pixels[polygon_mask(arc(128, 128, 112, 112))] = (250, 250, 246)
        return pixels
    if name == "diagonal":
        pixels = flat((240, 242, 244))
        pixels[_COLUMNS + _ROWS > 250] = (196, 206, 218)
        pixels[np.abs(_COLUMNS + _ROWS - 250) < 8] = (120, 134, 152)
        return pixels
    if name == "confetti":
        return _confetti(draws)
    light = 252 - _ROWS // 9
    return np.stack([light, light, light + 2], axis=2).clip(0, 255).astype(np.uint8)


def _confetti(draws: Draws) -> Pixels:
    pixels = flat((252, 247, 232))
    colours = ((240, 170, 150), (160, 205, 170), (160, 180, 225), (240, 215, 130))
    places = draws.integers(SIDE - 12, 2 * 44).reshape(44, 2)
    for colour_index, colour in enumerate(colours):
        boxes = [
            [(x, y), (x + 11, y + 3), (x + 8, y + 12), (x - 3, y + 8)]
            for x, y in places[colour_index :: len(colours)].astype(float).tolist()
        ]
        pixels[union_mask(boxes)] = colour
    return pixels
