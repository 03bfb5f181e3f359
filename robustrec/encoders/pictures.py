"""Picture descriptors: histograms of colours and gradient orientations, of the picture and of grid cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 64
"""Pictures are resized to SIDE x SIDE pixels (bicubic), without keeping the aspect ratio."""
_HUES, _SATURATIONS, _VALUES = 12, 3, 4
_GRID = 4
_CELL = 8
_ORIENTATIONS = 9
_WHOLE = (_HUES, _SATURATIONS, _VALUES)
_LOCAL = (6, 2, 3)
WIDTH = int(
    np.prod(_WHOLE) + _GRID**2 * np.prod(_LOCAL) + (SIDE // _CELL) ** 2 * _ORIENTATIONS + (SIDE // _CELL) ** 2 * 3
)
"""Number of values of a descriptor."""
_SHARES = (0.3, 0.2, 0.35, 0.15)  # in the squared norm: global colour, local colour, gradients, colour layout


def describe_picture(picture: Image.Image) -> NDArray[np.float32]:
    """Return the descriptor of a picture, float32 [WIDTH], with a norm of at most 1."""
    small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
    hsv = np.asarray(small.convert("HSV"), np.float64) / 255
    rgb = np.asarray(small, np.float64) / 255
    parts = (_whole_colour(hsv), _local_colour(hsv), _gradients(rgb), _layout(rgb))
    scaled = [np.sqrt(share) * _unit(part) for share, part in zip(_SHARES, parts, strict=True)]
    return np.concatenate(scaled).astype(np.float32)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = float(np.sqrt(np.dot(vector, vector)))
    return vector / norm if norm > 1e-12 else vector


def _bins(hsv: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return the index of the joint bin of each pixel; grey pixels have no hue and use the first hue bin."""
    hues, saturations, values = shape
    saturation = np.minimum((hsv[..., 1] * saturations).astype(np.int64), saturations - 1)
    value = np.minimum((hsv[..., 2] * values).astype(np.int64), values - 1)
    hue = np.minimum((hsv[..., 0] * hues).astype(np.int64), hues - 1)
    hue = np.where((hsv[..., 1] < 0.1) | (hsv[..., 2] < 0.1), 0, hue)
    joint: NDArray[np.int64] = (hue * saturations + saturation) * values + value
    return joint


def _whole_colour(hsv: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = np.bincount(_bins(hsv, _WHOLE).ravel(), minlength=int(np.prod(_WHOLE)))
    return np.sqrt(counts.astype(np.float64))  # square roots: the Hellinger distance between histograms


def _local_colour(hsv: NDArray[np.float64]) -> NDArray[np.float64]:
    size, width = SIDE // _GRID, int(np.prod(_LOCAL))
    rows, columns = np.indices((SIDE, SIDE)) // size
    index = (rows * _GRID + columns) * width + _bins(hsv, _LOCAL)
    return np.sqrt(np.bincount(index.ravel(), minlength=_GRID**2 * width).astype(np.float64))


def _gradients(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Histograms of unsigned gradient orientations, each cell normalized by the energy of its neighbourhood."""
    grey = np.sqrt(rgb @ np.array([0.299, 0.587, 0.114]))
    down, right = np.gradient(grey)
    strength = np.hypot(down, right)
    angle = np.mod(np.arctan2(down, right), np.pi) / np.pi * _ORIENTATIONS
    low = np.floor(angle).astype(np.int64)
    share = angle - low
    n = SIDE // _CELL
    rows, columns = np.indices((SIDE, SIDE)) // _CELL
    cell = (rows * n + columns) * _ORIENTATIONS
    histogram = np.zeros(n * n * _ORIENTATIONS)
    for orientation, weight in ((low, 1 - share), (low + 1, share)):
        index = (cell + orientation % _ORIENTATIONS).ravel()
        histogram += np.bincount(index, (strength * weight).ravel(), minlength=histogram.size)
    cells = histogram.reshape(n, n, _ORIENTATIONS)
    energy = np.pad(np.square(cells).sum(axis=2), 1, mode="edge")
    around = sum(energy[i : i + n, j : j + n] for i in range(3) for j in range(3)) / 9
    normalised: NDArray[np.float64] = np.minimum(cells / np.sqrt(around + 1e-2)[..., None], 1.0)
    return normalised.ravel()


def _layout(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    n = SIDE // _CELL
    means: NDArray[np.float64] = rgb.reshape(n, _CELL, n, _CELL, 3).mean(axis=(1, 3)) - 0.5
    return means.ravel()
