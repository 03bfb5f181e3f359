"""Place labels beside points so that they cover neither each other nor the points, at several widths at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

LINE = 14
"""Height of a label in pixels."""

_LETTER, _WIDE_LETTER = 6.8, 12.5
_NEAR, _FAR = 9, (20, 32, 46, 62)


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Return whether the rectangles overlap."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


class Label(NamedTuple):
    """Place of a label relative to its point: of its baseline, in pixels, with its anchor.

    Attributes:
        dx: to the right.
        dy: down.
        anchor: start, middle or end.
        leader: whether a line connects it with its point.
    """

    dx: float
    dy: float
    anchor: str
    leader: bool = False


def width_of(text: str) -> float:
    """Return an upper estimate of the width of a text of 12 px, in pixels."""
    return sum(_WIDE_LETTER if unicodedata.east_asian_width(each) in "WF" else _LETTER for each in text)


def _candidates() -> list[Label]:
    """Return eight places around a point, then the same further away with a leader line."""
    anchors = {1: "start", -1: "end", 0: "middle"}
    ways = [(1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)]
    places = []
    for distance in (_NEAR, *_FAR):
        for right, below in ways:
            far = 0.75 * distance if right and below else distance
            # dy is of the baseline: the letters are above it.
            dy = {0: 4.0, -1: -far, 1: far + 9}[below]
            places.append(Label(right * far, dy, anchors[right], leader=distance != _NEAR))
    return places


_PLACES = _candidates()


def box_of(place: Label, point: tuple[float, float], width: float) -> Box:
    """Return the rectangle of a label of a width at a point."""
    start = {"start": 0.0, "middle": -width / 2, "end": -width}[place.anchor]
    left, baseline = point[0] + place.dx + start, point[1] + place.dy
    return Box(left, baseline - LINE + 3, left + width, baseline + 3)


def placed(
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    obstacles: Sequence[tuple[float, float]] = (),
    *,
    widths: Sequence[float],
    height: float,
    kept: Sequence[tuple[float, Label, float]] = (),
    radius: float = 7,
) -> list[Label] | None:
    """Return a place for each label, or None if they do not all fit.

    Labels are placed greedily, those of crowded points first: at one of eight places around the point, else further
    away with a leader line. A place must be free at every width, as x grows with the width and labels do not.

    Args:
        points: (x as a share of the width, y in pixels from the top) of each label.
        texts: of the labels.
        obstacles: further points that a label must not cover.
        widths: widths of the chart in pixels.
        height: of the chart in pixels.
        kept: (x as a share, place, width in pixels) of texts that are there already, at the top of the chart.
        radius: of a mark in pixels.
    """
    taken: list[list[Box]] = [
        [Box(x * w - radius, y - radius, x * w + radius, y + radius) for x, y in [*points, *obstacles]] for w in widths
    ]
    for boxes, w in zip(taken, widths, strict=True):
        boxes += [box_of(place, (x * w, 0), size) for x, place, size in kept]
    n_marks = len(taken[0]) if taken else 0
    found: dict[int, Label] = {}
    for number in sorted(range(len(points)), key=lambda each: (-_crowd(each, points, widths[0]), each)):
        x, y = points[number]
        size = width_of(texts[number])
        for place in _PLACES:
            boxes = [box_of(place, (x * w, y), size) for w in widths]
            inside = all(
                box.left >= 0 and box.right <= w and box.top >= 0 and box.bottom <= height
                for box, w in zip(boxes, widths, strict=True)
            )
            if inside and not any(
                box.meets(other)
                for box, others in zip(boxes, taken, strict=True)
                for at, other in enumerate(others)
                if not (at == number and at < n_marks)
            ):
                found[number] = place
                for box, others in zip(boxes, taken, strict=True):
                    others.append(box)
                break
        else:
            return None
    return [found[number] for number in range(len(points))]


def _crowd(number: int, points: Sequence[tuple[float, float]], width: float) -> int:
    """Return how many points are near a point."""
    x, y = points[number]
    return sum(abs(x - other) * width < 80 and abs(y - at) < 30 for other, at in points) - 1
