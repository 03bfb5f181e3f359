"""A canvas on which a product is drawn in its own coordinates, and its picture taken from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from robustrec.datasets.shop.shapes import SIDE, Mask, Point, arc, cosine, grown, polygon_mask, sine, stroke, union_mask
from robustrec.datasets.shop.surfaces import RGB, Pixels, flat, shaded

PICTURE = 128
"""Pixels along a side of a finished picture."""

DARK: RGB = (44, 46, 54)
WHITE: RGB = (248, 248, 246)
METAL: RGB = (176, 182, 190)
GLASS: RGB = (150, 190, 216)
OUTLINE: RGB = (52, 44, 48)


@dataclass(frozen=True)
class Pose:
    """How a product stands before the camera."""

    mirrored: bool
    scale: float
    """Canvas pixels to one unit of the product's coordinates, which run from 0 to 100."""
    tilt: int
    """Whole degrees, clockwise."""
    shift: Point
    """Pixels of the canvas."""


class Canvas:
    """A canvas of 256 x 256 pixels; a product is drawn on it in coordinates 0..100, y down."""

    def __init__(self, backdrop: Pixels, body: Pixels, pose: Pose) -> None:
        self.canvas = Image.fromarray(backdrop)
        self.body = Image.fromarray(body)
        self.shade = Image.fromarray(shaded(body, np.full((SIDE, SIDE), -46, dtype=np.int64)))
        self.pose = pose

    def placed(self, points: Sequence[Point]) -> list[Point]:
        """Return points of the product as points of the canvas."""
        pose, out = self.pose, []
        cos, sin = cosine(pose.tilt), sine(pose.tilt)
        for x, y in points:
            dx = (50 - x if pose.mirrored else x - 50) * pose.scale
            dy = (y - 50) * pose.scale
            out.append((dx * cos - dy * sin + SIDE / 2 + pose.shift[0], dx * sin + dy * cos + SIDE / 2 + pose.shift[1]))
        return out

    def fill(self, mask: Mask, paint: RGB | str, outline: int = 3) -> None:
        """Paint a mask with a colour, the product's "body" or its "shade", inside an outline of so many pixels."""
        if outline:
            self._paste(grown(mask, outline), OUTLINE)
        self._paste(mask, paint)

    def _paste(self, mask: Mask, paint: RGB | str) -> None:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return
        top, end, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        box = (left, top, right, end)
        stencil = Image.fromarray(mask[top:end, left:right].astype(np.uint8) * 255)
        if isinstance(paint, str):
            source = self.body if paint == "body" else self.shade
            self.canvas.paste(source.crop(box), box, stencil)
        else:
            self.canvas.paste(paint, box, stencil)

    def polygon(self, points: Sequence[Point], paint: RGB | str = "body", outline: int = 3) -> None:
        """Draw a polygon."""
        self.fill(polygon_mask(self.placed(points)), paint, outline)

    def polygons(self, shapes: Sequence[Sequence[Point]], paint: RGB | str = "body", outline: int = 3) -> None:
        """Draw the union of polygons, inside one outline."""
        self.fill(union_mask([self.placed(points) for points in shapes]), paint, outline)

    def ellipse(self, cx: float, cy: float, rx: float, ry: float, paint: RGB | str = "body", outline: int = 3) -> None:
        """Draw an ellipse."""
        self.polygon(arc(cx, cy, rx, ry), paint, outline)

    def ring(
        self, cx: float, cy: float, rx: float, ry: float, width: float, paint: RGB | str = "body", outline: int = 3
    ) -> None:
        """Draw an ellipse's line, half its width to each side."""
        half = width / 2
        outer, inner = (polygon_mask(self.placed(arc(cx, cy, rx + d, ry + d))) for d in (half, -half))
        self.fill(outer & ~inner, paint, outline)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, paint: RGB | str = "body", outline: int = 3, r: float = 0
    ) -> None:
        """Draw a rectangle with corners rounded by r."""
        if r == 0:
            self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], paint, outline)
            return
        corners = [(x1 - r, y1 - r, 0), (x0 + r, y1 - r, 90), (x0 + r, y0 + r, 180), (x1 - r, y0 + r, 270)]
        self.polygon([p for cx, cy, turn in corners for p in arc(cx, cy, r, r, turn, turn + 90)], paint, outline)

    def line(
        self,
        points: Sequence[Point],
        width: float,
        paint: RGB | str = "body",
        outline: int = 3,
    ) -> None:
        """Draw a line with round joints and ends, its width in the product's units."""
        self.fill(union_mask(stroke(self.placed(points), width * self.pose.scale)), paint, outline)

    def mark(self, rows: Sequence[str]) -> None:
        """Put a brand's mark on a white plate into the lower right corner; it stands straight whatever the pose."""
        bits = np.array([[bit == "#" for bit in row] for row in rows], dtype=bool)
        plate = np.zeros((9, 9), dtype=bool)
        plate[1:8, 1:8] = bits
        pixels = np.where(np.kron(plate, np.ones((4, 4), dtype=bool))[:, :, None], flat(DARK)[:36, :36], 255)
        self.canvas.paste(Image.fromarray(pixels.astype(np.uint8)), (SIDE - 40, SIDE - 40))

    def picture(self) -> Pixels:
        """Return the finished picture, [128, 128, 3]: each pixel the mean of two by two."""
        return np.asarray(self.canvas.reduce(SIDE // PICTURE), dtype=np.uint8)
