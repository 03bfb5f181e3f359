"""Lines over an amount, with intervals as bars or bands, on axes that several charts can share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from robustrec.report.html.charts.elements import (
    STYLES,
    chart,
    colour,
    element,
    known,
    label,
    line,
    mark,
    percentage,
    picture,
    scaled,
    short,
    text_of,
)
from robustrec.report.html.charts.intervals import includes_zero
from robustrec.report.html.charts.scale import Scale, scale_around, scale_of, tick_labels, ticks

MOST_MARKS = 12
"""Largest number of points of a line that have a mark and an interval bar each; more have a band."""
MOST_POINTS = 400
_REACH = 12  # of a limit to both sides of its place, in pixels
_FEWEST_PIXELS = 5  # a shorter interval hides behind its mark


class Series(NamedTuple):
    """A line: name, style, points, and an optional interval of each point."""

    name: str
    style: int
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


class Level(NamedTuple):
    """A horizontal line with words, such as a limit; broken if it does not block."""

    value: float
    words: str
    blocking: bool = True


class LimitAt(NamedTuple):
    """A limit at one place of the x axis, which alone it judges; broken if it does not block."""

    x: float
    value: float
    blocking: bool = True


class Upright(NamedTuple):
    """A vertical line in the colour of a model, such as its noise tolerance."""

    value: float
    style: int


def bounds_of(
    series: Iterable[Series], *, zero: bool = False, levels: Iterable[Level] = (), least: float = 0.0
) -> Scale:
    """Return the y axis of lines, from their points, and from their intervals as far as these are not far wider."""
    series = list(series)
    core: list[float | None] = [0.0] if zero else []
    core += [value for each in series for value in each.y] + [level.value for level in levels]
    lows = [value for each in series for value in each.low or ()]
    highs = [value for each in series for value in each.high or ()]
    return scale_around(core, lows, highs, least=least, margin=0.06)


def curves(
    series: Sequence[Series],
    *,
    words: str,
    x_label: str = "",
    y: Scale | None = None,
    height: float = 260,
    log_x: bool = False,
    at_points: bool = False,
    percent: bool = False,
    marks_zero: bool = False,
    levels: Sequence[Level] = (),
    uprights: Sequence[Upright] = (),
    limits: Sequence[LimitAt] = (),
) -> Markup:
    """Return lines over an amount.

    Args:
        series: the lines; those of many points are thinned to what a chart can show.
        words: what the chart shows, for a screen reader.
        x_label: of the x axis.
        y: the y axis, where several charts share it; by default, that of these lines.
        height: in pixels.
        log_x: whether the x axis is logarithmic, if all amounts are positive.
        at_points: whether ticks are at the amounts themselves, such as severities.
        percent: whether y values are shares to be shown in percent.
        marks_zero: whether a mark is hollow where its interval includes 0.
        levels: horizontal lines.
        uprights: vertical lines.
        limits: short lines at the places that they judge.
    """
    series = [_thinned(each) for each in series]
    y = bounds_of(series, levels=levels) if y is None else y
    amounts = [value for each in series for value in each.x]
    x = scale_of([*amounts, *(each.value for each in uprights)], log=log_x, margin=0.05)
    x_ticks = sorted({value for value in amounts if known(value)}) if at_points else ticks(x, 6)
    at_points = at_points and len(x_ticks) <= 8
    x_ticks = x_ticks if at_points else ticks(x, 6)
    drawn = [*_grid(y, height), *_levels(levels, y, height), *_uprights(uprights, x, height)]
    drawn += [scaled(height, *(part for each in series for part in _lines(each, x, y, height)))]
    drawn += _limits(limits, x, y, height)
    for each in series:
        if len(each.x) <= MOST_MARKS:
            drawn += _points(each, x, y, height, marks_zero=marks_zero)
    return framed(
        chart(height, words, *drawn, kind="cv"),
        y_axis(y, height, percent=percent),
        x_axis(x, x_ticks, exact=at_points),
        x_label,
        wide=_is_wide(y, percent=percent),
    )


def framed(plot: Markup, left: Markup, below: Markup, x_label: str = "", *, wide: bool = False) -> Markup:
    """Return a chart with its axes, each of its own so that their texts do not stretch."""
    frame = element("div", left, plot, below, class_="fr wide" if wide else "fr")
    return frame + element("p", text_of(x_label), class_="axl") if x_label else frame


def down(y: Scale, value: float, height: float) -> float:
    """Return the place of a value from the top, in pixels."""
    return (1 - y.place(value)) * height


def y_axis(y: Scale, height: float, *, percent: bool = False) -> Markup:
    """Return the texts of the y axis."""
    values = ticks(y, 6)
    texts = tick_labels(values, percent=percent)
    drawn = [
        label(text, "85%", down(y, value, height) + 4, anchor="end") for value, text in zip(values, texts, strict=True)
    ]
    return picture(height, *drawn, kind="ya")


def _is_wide(y: Scale, *, percent: bool) -> bool:
    return max(map(len, tick_labels(ticks(y, 6), percent=percent))) > 5


def x_axis(x: Scale, values: Sequence[float], *, percent: bool = False, exact: bool = False) -> Markup:
    """Return the texts of the x axis; `exact` if the values are few numbers to be shown as they are."""
    texts = [f"{value:g}" for value in values] if exact else x_texts(x, values, percent=percent)
    drawn = []
    for value, text in zip(values, texts, strict=True):
        at = x.place(value)
        drawn.append(label(text, percentage(at), 14, anchor="start" if at < 0.03 else "end" if at > 0.97 else "middle"))
    return picture(20, *drawn, kind="xa")


def x_texts(x: Scale, values: Sequence[float], *, percent: bool = False) -> list[str]:
    """Return the texts of ticks; on a logarithmic axis, powers of ten are 1e-4, 0.01, 1, 100."""
    if not x.log:
        return tick_labels(values, percent=percent)
    return [
        (f"{value:g}" if 1e-3 < value < 1e6 else f"{value:.0e}").replace("e-0", "e-").replace("e+0", "e")
        for value in values
    ]


def _grid(y: Scale, height: float) -> list[Markup]:
    return [
        line("0", down(y, value, height), "100%", down(y, value, height), "ax" if value == 0 else "gd")
        for value in ticks(y, 6)
    ]


def _levels(levels: Sequence[Level], y: Scale, height: float) -> list[Markup]:
    drawn = []
    for each in levels:
        if not known(each.value) or not y.holds(each.value):
            continue
        at, kind = down(y, each.value, height), "" if each.blocking else " warning"
        drawn.append(line("0", at, "100%", at, f"lim{kind}"))
        below = at + 15 < height
        drawn.append(label(each.words, 4, at + 15 if below else at - 6, anchor="start", kind=f"lt{kind}"))
    return drawn


def _limits(limits: Sequence[LimitAt], x: Scale, y: Scale, height: float) -> list[Markup]:
    return [
        element(
            "svg",
            element("line", class_=f"lim{'' if each.blocking else ' warning'}", x1=-_REACH, x2=_REACH, y1=0, y2=0),
            x=percentage(x.place(each.x)),
            y=down(y, each.value, height),
            overflow="visible",
        )
        for each in limits
        if known(each.value) and y.holds(each.value) and x.holds(each.x)
    ]


def _uprights(uprights: Sequence[Upright], x: Scale, height: float) -> list[Markup]:
    return [
        line(
            percentage(x.place(each.value)),
            0,
            percentage(x.place(each.value)),
            height,
            f"up {colour(each.style)} d{each.style % STYLES}",
        )
        for each in uprights
        if known(each.value) and x.holds(each.value)
    ]


def _lines(series: Series, x: Scale, y: Scale, height: float) -> list[Markup]:
    """Return the line of a series, broken where a point is missing, and its band if it has many points."""
    drawn = []
    kind = f"{colour(series.style)} d{max(series.style, 0) % STYLES}"
    for run in _runs(series):
        places = [(100 * x.place(series.x[at]), down(y, series.y[at], height)) for at in run]
        drawn.append(element("polyline", class_=f"ln {kind}", points=_points_text(places)))
        if series.low is not None and series.high is not None and len(series.x) > MOST_MARKS:
            upper = [(100 * x.place(series.x[at]), down(y, series.high[at], height)) for at in run]
            lower = [(100 * x.place(series.x[at]), down(y, series.low[at], height)) for at in reversed(run)]
            drawn.insert(0, element("polygon", class_=f"band {kind}", points=_points_text(upper + lower)))
    return drawn


def _runs(series: Series) -> list[list[int]]:
    """Return the places of points in a row that can be drawn."""
    runs: list[list[int]] = [[]]
    for at, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        bands = [each[at] for each in (series.low, series.high) if each is not None]
        if all(map(known, (x, y, *(bands if len(series.x) > MOST_MARKS else ())))):
            runs[-1].append(at)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _points_text(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{short(across)},{short(at)}" for across, at in places)


def _points(series: Series, x: Scale, y: Scale, height: float, *, marks_zero: bool) -> list[Markup]:
    """Return a mark at each point, and its interval where it is longer than the mark."""
    drawn = []
    for at, (amount, value) in enumerate(zip(series.x, series.y, strict=True)):
        if not (known(amount) and known(value)):
            continue
        low = series.low[at] if series.low is not None else None
        high = series.high[at] if series.high is not None else None
        place = percentage(x.place(amount))
        if known(low) and known(high):
            top, bottom = down(y, high, height), down(y, low, height)
            if bottom - top > 2 * _FEWEST_PIXELS:
                drawn.append(line(place, top, place, bottom, f"ci thin {colour(series.style)}"))
        hollow = marks_zero and includes_zero(low, high)
        drawn.append(mark(series.style, place, down(y, value, height), size=4, hollow=hollow))
    return drawn


def _thinned(series: Series) -> Series:
    """Return a line of no more points than a chart can show."""
    step = -(-len(series.x) // MOST_POINTS)
    if step <= 1:
        return series
    low = None if series.low is None else series.low[::step]
    high = None if series.high is None else series.high[::step]
    return Series(series.name, series.style, series.x[::step], series.y[::step], low, high)
