"""A gate on the axis that all gates share: estimate and interval in units of the limit."""

from __future__ import annotations

from markupsafe import Markup

from robustrec.reading.gate_axis import LEFT, RIGHT, InLimits
from robustrec.report.html.charts.elements import element, label, line, percentage, picture
from robustrec.report.html.charts.scale import Scale

AXIS = Scale(LEFT, RIGHT)
"""Places in units of the limit: 0 is no change, 1 is the limit, and what is right of it is outside."""

_HEIGHT = 22


def gate_row(places: InLimits, kind: str, shape: str) -> Markup:
    """Return the chart of one gate; its numbers stand beside it, so that a screen reader passes over it.

    Args:
        places: of estimate and interval.
        kind: class of its colour: pass, fail, warn or open.
        shape: class of its mark: the same, as statuses differ in shape and colour.
    """
    drawn = [
        element(
            "rect", class_="limf", x=percentage(AXIS.place(1)), y=0, width=percentage(1 - AXIS.place(1)), height=_HEIGHT
        ),
        *([_upright(0, "gd")] if places.zero else []),
        *([_upright(places.other, "lim")] if places.other is not None else []),
        _upright(1, "lim"),
    ]
    middle = _HEIGHT / 2
    ends = [places.low, places.high]
    if places.estimate is not None and any(end is not None for end in ends):
        low = AXIS.low - 1 if ends[0] is None else ends[0]
        high = AXIS.high + 1 if ends[1] is None else ends[1]
        drawn.append(line(percentage(AXIS.place(low)), middle, percentage(AXIS.place(high)), middle, "ci"))
        drawn += [_end("M6 -4L0 0L6 4Z", 0, middle)] if low < AXIS.low else []
        drawn += [_end("M-6 -4L0 0L-6 4Z", 1, middle)] if high > AXIS.high else []
    if places.estimate is not None:
        mark = element("path", d=_SHAPES[shape])
        at = percentage(AXIS.place(places.estimate))
        drawn.append(element("svg", mark, x=at, y=middle, overflow="visible", class_="mkr"))
    return picture(_HEIGHT, *drawn, kind=f"p {kind}")


_SHAPES = {
    "pass": "M0 -4.5A4.5 4.5 0 1 1 0 4.5A4.5 4.5 0 1 1 0 -4.5Z",
    "fail": "M-2 -5H2L5 -2V2L2 5H-2L-5 2V-2Z",
    "warn": "M0 -5.5L5 4H-5Z",
    "open": "M0 -5.5L5.5 0L0 5.5L-5.5 0Z",
}


def gate_axis() -> Markup:
    """Return the words above the rows: 0 and limit."""
    return picture(
        14,
        label("0", percentage(AXIS.place(0)), 11),
        label("limit", percentage(AXIS.place(1)), 11),
    )


def _upright(place: float, kind: str) -> Markup:
    return line(percentage(AXIS.place(place)), 0, percentage(AXIS.place(place)), _HEIGHT, kind)


def _end(path: str, at: float, y: float) -> Markup:
    return element("svg", element("path", d=path), x=percentage(at), y=y, overflow="visible", class_="arr")
