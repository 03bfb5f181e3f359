"""What merchants do to a picture: known noises at known rates, in integer arithmetic on [128, 128, 3]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.shop.canvas import PICTURE
from robustrec.datasets.shop.draws import Draws
from robustrec.datasets.shop.glyphs import written
from robustrec.datasets.shop.surfaces import Pixels
from robustrec.datasets.shop.vocabulary import Merchant

PICTURE_NOISES = ("badge", "watermark", "poor_light", "compression")
"""In the order in which they are applied: what is stuck on is lit badly with the rest, and then compressed."""

_BIT = 2
"""Pixels to a bit of a letter."""

_WALSH = np.array([[1]], dtype=np.int64)
for _ in range(3):
    _WALSH = np.block([[_WALSH, _WALSH], [_WALSH, -_WALSH]])
_SEQUENCY = np.argsort([int(np.count_nonzero(np.diff(row))) for row in _WALSH], kind="stable")
_WALSH = _WALSH[_SEQUENCY]


def merchant_picture(words: Merchant, clean: Pixels, noises: tuple[str, ...], draws: Draws) -> Pixels:
    """Return the clean picture with the noises applied."""
    pixels = clean
    if "badge" in noises:
        pixels = badged(pixels, draws.one_of(words.badges), draws)
    if "watermark" in noises:
        pixels = watermarked(pixels, draws.one_of(words.watermarks), draws)
    if "poor_light" in noises:
        pixels = badly_lit(pixels, draws)
    if "compression" in noises:
        pixels = compressed(pixels, draws.integer(0, 2))
    return pixels


def badged(pixels: Pixels, word: str, draws: Draws) -> Pixels:
    """Return the picture with a promotion badge in one of the upper corners."""
    out, letters = pixels.copy(), _letters(word)
    height, width = letters.shape
    colour = draws.one_of(((214, 24, 36), (250, 206, 20), (20, 120, 60), (30, 60, 190)))
    ink = (20, 20, 20) if colour[0] == 250 else (255, 255, 255)
    size = (height + 8 * _BIT, width + 6 * _BIT)
    left = 0 if draws.chance(0.5) else PICTURE - size[1]
    badge = np.empty((*size, 3), dtype=np.uint8)
    badge[:] = ink
    badge[_BIT:-_BIT, _BIT:-_BIT] = colour
    badge[4 * _BIT : 4 * _BIT + height, 3 * _BIT : 3 * _BIT + width][letters] = ink
    out[: size[0], left : left + size[1]] = badge
    return out


def watermarked(pixels: Pixels, word: str, draws: Draws) -> Pixels:
    """Return the picture with a word written across it again and again, half transparent."""
    letters = _letters(word)
    height, width = letters.shape
    veil = np.zeros((PICTURE, PICTURE), dtype=bool)
    start = draws.integer(0, 7 * _BIT)
    for line, top in enumerate(range(4 * _BIT, PICTURE - height, 12 * _BIT)):
        for left in range(start + (9 * (line % 3) - 12) * _BIT, PICTURE, width + 8 * _BIT):
            first, last = max(left, 0), min(left + width, PICTURE)
            if first < last:
                veil[top : top + height, first:last] |= letters[:, first - left : last - left]
    mixed = (pixels.astype(np.int64) * 9 + 255 * 7) // 16
    dark = (pixels.astype(np.int64) * 10) // 16
    bright = pixels.astype(np.int64).sum(axis=2) > 3 * 190
    stamped = np.where(bright[:, :, None], dark, mixed).astype(np.uint8)
    return np.asarray(np.where(veil[:, :, None], stamped, pixels), dtype=np.uint8)


def badly_lit(pixels: Pixels, draws: Draws) -> Pixels:
    """Return the picture as taken in the dark: dimmed to one side, yellow or blue, with a sensor's noise."""
    x = np.arange(PICTURE, dtype=np.int64) * 64 // PICTURE
    falloff = x if draws.chance(0.5) else 63 - x
    gain = draws.integer(150, 200) - falloff[None, :] - falloff[:, None] * draws.integer(0, 1) // 2
    cast = np.array(draws.one_of(((256, 236, 176), (196, 226, 256), (226, 250, 206))), dtype=np.int64)
    grain = draws.integers(21, PICTURE * PICTURE * 3).reshape(PICTURE, PICTURE, 3) - 10
    lit = pixels.astype(np.int64) * gain[:, :, None] * cast // (256 * 256) + grain
    return np.asarray(np.clip(lit, 0, 255), dtype=np.uint8)


def compressed(pixels: Pixels, level: int) -> Pixels:
    """Return the picture after an 8 x 8 Walsh-Hadamard transform with coarse steps: blocks, and edges that ring.

    Args:
        pixels: [128, 128, 3].
        level: 0..2, how coarse.
    """
    n = PICTURE // 8
    blocks = pixels.astype(np.int64).reshape(n, 8, n, 8, 3).transpose(0, 2, 4, 1, 3)
    spectrum = _walsh(blocks)
    frequency = np.arange(8)[:, None] + np.arange(8)[None, :]
    step = 64 * (8 + (8 + 5 * level) * frequency) // 4
    step[0, 0] = 64 * 6
    kept = (np.abs(spectrum) + step // 2) // step * step * np.sign(spectrum)
    restored = (_walsh(kept) + 32) // 64
    whole = restored.transpose(0, 3, 1, 4, 2).reshape(PICTURE, PICTURE, 3)
    return np.clip(whole, 0, 255).astype(np.uint8)


def _letters(word: str) -> NDArray[np.bool_]:
    return np.kron(written(word), np.ones((_BIT, _BIT), dtype=bool))


def _walsh(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the two-dimensional transform of [..., 8, 8]; twice is 64 times the identity."""
    return np.asarray(np.matmul(np.matmul(_WALSH, blocks), _WALSH.T), dtype=np.int64)
