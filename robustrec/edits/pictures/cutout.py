"""Segmentation of the product: pixels that differ from the border of the picture."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from robustrec.edits.pictures.canvas import ring, thumbnail

_SIDE = 192  # masks are found on a picture no larger than this, in pixels
_NEAR = 30.0  # distance in RGB up to which a pixel has a colour of the border
_GROUNDS = 4  # maximum number of colours of the border
_PIECE = 0.1  # minimum size of a piece relative to the largest one
_LEAST, _MOST = 0.03, 0.95  # range of the share of the picture that is accepted as a product
_KEPT = 8  # masks that are kept: an edit asks for that of a picture at each severity in turn


def cutout(picture: Image.Image) -> Image.Image:
    """Return a mask of the product ("L"): 255 on the product, 0 on the background.

    Background is connected to the border and has one of its colours. If that finds no product (a scene, a poster), the
    centre of the picture is used.
    """
    return _mask(picture.mode, picture.size, picture.tobytes()).copy()


@lru_cache(maxsize=_KEPT)
def _mask(mode: str, size: tuple[int, int], data: bytes) -> Image.Image:
    picture = Image.frombytes(mode, size, data)
    small = thumbnail(picture, _SIDE)
    good = _foreground(np.asarray(small).astype(np.float32))
    mask = _middle(small.size) if good is None else Image.fromarray(good.astype(np.uint8) * 255)
    mask = mask.filter(ImageFilter.GaussianBlur(0.7))
    return mask if mask.size == picture.size else mask.resize(picture.size, Image.Resampling.BICUBIC)


def _foreground(pixels: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    from scipy import ndimage  # takes longer to import than all edits

    near = np.zeros(pixels.shape[:2], dtype=bool)
    border = ring(pixels, 2 if min(near.shape) > 8 else 1)
    left = border
    for _ in range(_GROUNDS):
        if len(left) <= len(border) // 10:
            break
        ground = _densest(left)
        near |= np.linalg.norm(pixels - ground, axis=2) < _NEAR
        left = left[np.linalg.norm(left - ground, axis=1) >= _NEAR]
    labels, _ = ndimage.label(near)
    outside = np.unique(ring(labels[:, :, None])[:, 0])
    background = near & np.isin(labels, outside[outside > 0])
    # Remove thin structures and holes, then pieces that are small relative to the largest one.
    good = ndimage.median_filter(~background, size=3)
    pieces, _ = ndimage.label(good)
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    good &= areas[pieces] >= areas.max() * _PIECE
    share = float(good.mean())
    return good if _LEAST <= share <= _MOST else None


def _densest(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of the most frequent colours, counted in cubes of 32 levels."""
    cubes = (colours // 32).astype(np.int64) @ np.array([64, 8, 1])
    values, counts = np.unique(cubes, return_counts=True)
    mean = colours[cubes == values[np.argmax(counts)]].mean(axis=0)
    return np.asarray(mean, dtype=np.float32)


def _middle(size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size, 0)
    width, height = size
    ImageDraw.Draw(mask).ellipse((width * 0.08, height * 0.05, width * 0.92, height * 0.95), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(min(size) * 0.04))
