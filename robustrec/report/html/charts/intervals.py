"""Estimates with their intervals in rows on one axis, with limits drawn only on the rows that they judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from robustrec.report.html.charts.elements import (
    chart,
    colour,
    element,
    known,
    label,
    line,
    mark,
    percentage,
    picture,
    text_of,
)
from robustrec.report.html.charts.scale import Scale, scale_around, tick_labels, ticks

_PITCH, _ABOVE = 13, 9
_SHADE = 14
_AXIS = 18


class Bar(NamedTuple):
    """An estimate with its interval.

    Attributes:
        style: number of the model, or PLAIN or CROSS.
        estimate: of the value; None or NaN if it could not be measured.
        low: lower bound; None if there is no interval.
        high: upper bound.
        words: name and numbers, for a screen reader.
        ticks: single values behind the estimate, such as those of training seeds.
        hollow: whether the mark is hollow; by default, where the interval includes 0.
    """

    style: int
    estimate: float | None
    low: float | None = None
    high: float | None = None
    words: str = ""
    ticks: tuple[float, ...] = ()
    hollow: bool | None = None


class Limit(NamedTuple):
    """A limit of a gate, and the side of it that is outside."""

    value: float
    outside_below: bool
    blocking: bool = True


class IntervalRow(NamedTuple):
    """A row: name, a remark under it, bars, and the limits of the gates that judge it."""

    name: str
    remark: str
    bars: Sequence[Bar]
    limits: Sequence[Limit] = ()


def intervals(
    rows: Sequence[IntervalRow],
    *,
    percent: bool = False,
    unit: str = "",
    zero: bool = True,
    least: float = 0.0,
    signed: bool = True,
) -> Markup:
    """Return rows of intervals on one axis. An arrow marks an interval that continues beyond the axis.

    Args:
        rows: of the figure.
        percent: whether the values are shares to be shown in percent.
        unit: of the ticks, shown at 0, or at the first tick if 0 is not on the axis.
        zero: whether 0 is on the axis.
        least: smallest length of the axis.
        signed: whether ticks above 0 have a sign.
    """
    scale = interval_scale(rows, zero=zero, least=least)
    axis = _axis(scale, percent=percent, unit=unit or ("%" if percent else ""), signed=signed)
    body = [_row(row, scale) for row in rows]
    end = [axis] if len(rows) > 6 else []
    return element("div", axis, *body, *end, class_="forest")


def interval_scale(rows: Iterable[IntervalRow], *, zero: bool = True, least: float = 0.0) -> Scale:
    """Return the axis: all estimates and limits, and intervals as far as they do not press the others together."""
    rows = list(rows)
    bars = [bar for row in rows for bar in row.bars]
    core = [bar.estimate for bar in bars] + [tick for bar in bars for tick in bar.ticks] + [0.0] * zero
    core += [limit.value for row in rows for limit in row.limits]
    return scale_around(core, [bar.low for bar in bars], [bar.high for bar in bars], least=least, margin=0.03)


def _axis(scale: Scale, *, percent: bool, unit: str, signed: bool) -> Markup:
    values = ticks(scale, 5)
    texts = tick_labels(values, percent=percent, signed=signed)
    with_unit = next((place for place, value in enumerate(values) if value == 0), 0)
    drawn = [
        label(
            f"{text}\N{NO-BREAK SPACE}{unit}" if unit and place == with_unit else text,
            percentage(at),
            13,
            anchor="start" if at < 0.06 else "end" if at > 0.94 else "middle",
        )
        for place, (value, text) in enumerate(zip(values, texts, strict=True))
        for at in [scale.place(value)]
    ]
    return element("div", element("div", class_="fl"), element("div", picture(_AXIS, *drawn)), class_="frow")


def _row(row: IntervalRow, scale: Scale) -> Markup:
    height = 2 * _ABOVE + _PITCH * max(0, len(row.bars) - 1) + (6 if any(bar.ticks for bar in row.bars) else 0)
    height = max(height, 24)
    drawn = [*_shades(row.limits, scale, height), *grid(scale, height), *_limits(row.limits, scale, height)]
    first = (height - _PITCH * max(0, len(row.bars) - 1)) / 2
    for number, bar in enumerate(row.bars):
        drawn += bar_marks(bar, scale, first + number * _PITCH)
    words = f"{row.name}: {'; '.join(bar.words for bar in row.bars if bar.words) or 'no value'}"
    name = element("div", element("b", text_of(row.name)), *_remark(row.remark), class_="fl")
    return element("div", name, element("div", chart(height, words, *drawn), class_="fp"), class_="frow")


def _remark(words: str) -> list[Markup]:
    return [Markup(" "), element("small", text_of(words))] if words else []


def grid(scale: Scale, height: float) -> list[Markup]:
    """Return the lines at the ticks, that at 0 stronger."""
    return [
        line(percentage(scale.place(value)), 0, percentage(scale.place(value)), height, "ax" if value == 0 else "gd")
        for value in ticks(scale, 5)
    ]


def _shades(limits: Sequence[Limit], scale: Scale, height: float) -> list[Markup]:
    """Return a narrow shade on the outer side of each limit."""
    return [
        element(
            "rect",
            class_=f"limf{'' if each.blocking else ' warning'}",
            x=percentage(scale.place(each.value)),
            y=0,
            width=_SHADE,
            height=height,
            transform=f"translate(-{_SHADE})" if each.outside_below else None,
        )
        for each in limits
        if known(each.value)
    ]


def _limits(limits: Sequence[Limit], scale: Scale, height: float) -> list[Markup]:
    """Return a line at each limit: solid if blocking, broken if warning."""
    places = [(percentage(scale.place(each.value)), each.blocking) for each in limits if known(each.value)]
    return [line(at, 0, at, height, f"lim{'' if blocking else ' warning'}") for at, blocking in places]


def bar_marks(bar: Bar, scale: Scale, y: float) -> list[Markup]:
    """Return interval, ticks and mark of a bar, with an arrow where the interval leaves the axis."""
    drawn = []
    kind = colour(bar.style)
    if known(bar.low) and known(bar.high):
        low, high = scale.place(bar.low), scale.place(bar.high)
        drawn.append(line(percentage(low), y, percentage(high), y, f"ci {kind}"))
        drawn += [_arrow(0.0, y, kind)] if bar.low < scale.low else []
        drawn += [_arrow(1.0, y, kind)] if bar.high > scale.high else []
    drawn += [
        line(percentage(scale.place(tick)), y + 6, percentage(scale.place(tick)), y + 11, f"tk {kind}")
        for tick in bar.ticks
        if known(tick)
    ]
    if known(bar.estimate):
        hollow = includes_zero(bar.low, bar.high) if bar.hollow is None else bar.hollow
        drawn.append(mark(bar.style, percentage(scale.place(bar.estimate)), y, hollow=hollow))
    return drawn


def includes_zero(low: float | None, high: float | None) -> bool:
    """Return whether an interval includes 0; without one, nothing is known to differ from 0."""
    return not (known(low) and known(high)) or low <= 0 <= high


def _arrow(at: float, y: float, kind: str) -> Markup:
    shape = element("path", d="M6 -4L0 0L6 4Z" if at == 0 else "M-6 -4L0 0L-6 4Z")
    return element("svg", shape, x=percentage(at), y=y, overflow="visible", class_=f"{kind} arr")
