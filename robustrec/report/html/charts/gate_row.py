"""A gate on the axis that all gates share: estimate and interval in units of the limit."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from robustrec.report.html.charts.elements import element, known, label, line, percentage, picture
from robustrec.report.html.charts.scale import Scale, bounded

AXIS = Scale(-0.75, 1.75)
"""Places in units of the limit: 0 is no change, 1 is the limit, and what is right of it is outside."""

_HEIGHT = 22


class InLimits(NamedTuple):
    """Places of a gate on AXIS, not yet cut to it; None where a number is missing.

    Attributes:
        estimate: place of the estimate.
        low: left end of the interval.
        high: right end of the interval.
        zero: whether place 0 stands for a value of 0, as for limits on a change.
        other: place of the other limit of a gate with two, if it is on the axis.
    """

    estimate: float | None
    low: float | None
    high: float | None
    zero: bool
    other: float | None = None


def in_limits(
    estimate: float | None,
    low: float | None,
    high: float | None,
    *,
    least: float | None,
    most: float | None,
) -> InLimits:
    """Return the places of a gate in units of its limit.

    With the lower limit L, a value v is at 1 + (L - v) / |L|, and with the upper limit at 1 + (v - L) / |L|: the limit
    is at 1, what is outside is right of it, and the distance is in units of the limit. For a limit on a change, such
    as -5 %, that is v / L, with no change at 0. With two limits, it is the limit that the interval comes nearest to
    or passes most. A limit of 0 has no unit; its unit is the largest distance of the gate.

    Args:
        estimate: value that decided the gate; None if there is none.
        low: lower bound of its interval; None if it is not known or not bounded.
        high: upper bound of its interval, likewise.
        least: lower limit; None if there is none.
        most: upper limit; None if there is none.
    """
    values = [bounded(value) if known(value) else None for value in (estimate, low, high)]
    limits = [(limit, below) for limit, below in ((least, True), (most, False)) if known(limit)]
    if not limits:
        return InLimits(None, None, None, zero=False)
    placed = [_against(limit, values, below=below) for limit, below in limits]
    worst = max(range(len(placed)), key=lambda each: max((at for at in placed[each] if at is not None), default=0.0))
    (limit, below), (at, *bounds) = limits[worst], placed[worst]
    left, right = (bounds[1], bounds[0]) if below else (bounds[0], bounds[1])
    zero = limit < 0 if below else limit > 0
    others = [
        at
        for number, (value, _) in enumerate(limits)
        if number != worst
        for at in _against(limit, [value], below=below)
    ]
    return InLimits(at, left, right, zero, next((at for at in others if at is not None and AXIS.holds(at)), None))


def _against(limit: float, values: list[float | None], *, below: bool) -> list[float | None]:
    distances = [None if value is None else (limit - value if below else value - limit) for value in values]
    unit = abs(limit) or max((abs(each) for each in distances if each is not None), default=0.0) / 0.7 or 1.0
    return [None if each is None else 1 + each / unit for each in distances]


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
