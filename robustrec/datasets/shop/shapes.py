"""Shapes as pixel masks, by integer scan conversion.

ImageDraw computes a polygon's borders in the C compiler's floating point, which differs between builds by a pixel here
and there; the sample editions must be the same to the byte everywhere, so masks are made here and Pillow composes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SIDE = 256
"""Pixels along a side of the canvas, four to one of the finished picture."""
SUB = 16
"""Steps of a coordinate in a pixel."""

Point = tuple[float, float]
Mask = NDArray[np.bool_]

_SIN = tuple(round(math.sin(math.radians(degree)) * 4096) / 4096 for degree in range(360))


def sine(degree: int) -> float:
    """Return sin of whole degrees, to a multiple of 1/4096, so that no library's last digit shows."""
    return _SIN[degree % 360]


def cosine(degree: int) -> float:
    """Return cos of whole degrees, to a multiple of 1/4096."""
    return _SIN[(degree + 90) % 360]


def arc(cx: float, cy: float, rx: float, ry: float, start: int = 0, end: int = 360, step: int = 8) -> list[Point]:
    """Return points on an ellipse from `start` to `end` degrees, clockwise on the screen from three o'clock."""
    stops = [*range(start, end, step), end]
    return [(cx + rx * cosine(degree), cy + ry * sine(degree)) for degree in stops]


def smooth(points: Sequence[Point], rounds: int = 3, *, closed: bool = True) -> list[Point]:
    """Return the points with their corners cut (Chaikin), which nears a quadratic B-spline."""
    current = list(points)
    for _ in range(rounds):
        ends = [*current[1:], current[0]] if closed else current[1:]
        cut: list[Point] = [] if closed else [current[0]]
        for (x0, y0), (x1, y1) in zip(current, ends, strict=False):
            cut.append((0.75 * x0 + 0.25 * x1, 0.75 * y0 + 0.25 * y1))
            cut.append((0.25 * x0 + 0.75 * x1, 0.25 * y0 + 0.75 * y1))
        current = cut if closed else [*cut, current[-1]]
    return current


def polygon_mask(points: Sequence[Point]) -> Mask:
    """Return the pixels whose centre lies inside a polygon (even-odd rule), [256, 256].

    Args:
        points: corners in pixels, x to the right and y down; parts beyond the canvas are cut off.
    """
    return union_mask([points])


def union_mask(polygons: Iterable[Sequence[Point]]) -> Mask:
    """Return the pixels inside any of the polygons, [256, 256]."""
    union = np.zeros((SIDE, SIDE), dtype=bool)
    for points in polygons:
        _add_polygon(union, points)
    return union


def _add_polygon(union: Mask, points: Sequence[Point]) -> None:
    corners = np.rint(np.array(points, dtype=np.float64) * SUB).astype(np.int64)
    following = np.concatenate([corners[1:], corners[:1]])
    x0, y0, x1, y1 = corners[:, 0], corners[:, 1], following[:, 0], following[:, 1]
    top, end = (max(0, min(SIDE, int(y) // SUB + extra)) for y, extra in ((y0.min(), 0), (y0.max(), 1)))
    left, right = (max(0, min(SIDE, int(x) // SUB + extra)) for x, extra in ((x0.min(), 0), (x0.max(), 2)))
    if top >= end or left >= right:
        return
    centres = np.arange(top, end, dtype=np.int64) * SUB + SUB // 2
    low, high = np.minimum(y0, y1), np.maximum(y0, y1)  # equal for a level edge, which no centre line then crosses
    rows, edges = np.nonzero((low <= centres[:, None]) & (centres[:, None] < high))
    crossings = x0[edges] + ((centres[rows] - y0[edges]) * (x1 - x0)[edges]) // (y1 - y0)[edges]
    width = right - left
    columns = np.clip((crossings - SUB // 2) // SUB + 1 - left, 0, width)
    toggles = np.bincount(rows * (width + 1) + columns, minlength=(end - top) * (width + 1)).astype(np.uint8) & 1
    inside = np.bitwise_xor.accumulate(toggles.reshape(end - top, width + 1), axis=1)
    union[top:end, left:right] |= inside[:, :width].astype(bool)


def stroke(points: Sequence[Point], width: float) -> list[list[Point]]:
    """Return polygons that together are a line of a width through the points, with round joints and ends."""
    half = width / 2
    polygons = [arc(x, y, half, half, step=24) for x, y in points]
    for (x0, y0), (x1, y1) in pairwise(points):
        length = math.sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0))
        if length > 0:
            dx, dy = half * (y1 - y0) / length, half * (x0 - x1) / length
            polygons.append([(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)])
    return polygons


def grown(mask: Mask, by: int) -> Mask:
    """Return a mask with every pixel up to `by` pixels along the rows or columns added."""
    wide = mask.copy()
    for step in range(1, by + 1):
        wide[:, step:] |= mask[:, :-step]
        wide[:, :-step] |= mask[:, step:]
    tall = wide.copy()
    for step in range(1, by + 1):
        tall[step:] |= wide[:-step]
        tall[:-step] |= wide[step:]
    return tall
