"""Points with names beside them where there is room, else with numbers and a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from robustrec.reading.texts import shortened
from robustrec.report.html.charts.curves import down, framed, x_axis, y_axis
from robustrec.report.html.charts.elements import (
    PLAIN,
    chart,
    element,
    known,
    line,
    mark,
    percentage,
    text_of,
)
from robustrec.report.html.charts.placement import Label, placed, width_of
from robustrec.report.html.charts.scale import Scale, scale_of, tick_labels, ticks

WIDE, NARROW = (520.0, 640.0, 800.0, 1000.0, 1200.0), (240.0, 300.0, 360.0, 440.0, 540.0)
"""Widths in pixels at which labels are placed; the page shows those for its width."""
_LONGEST = 34


class Point(NamedTuple):
    """A point: name, place, style of its mark, and small points that belong to it, such as training seeds."""

    name: str
    x: float
    y: float
    style: int = PLAIN
    parts: tuple[tuple[float, float], ...] = ()


class Border(NamedTuple):
    """A vertical line at a value, whose right side is shaded, with words."""

    value: float
    words: str


def scatter(
    points: Sequence[Point],
    *,
    words: str,
    x_label: str,
    y_label: str,
    height: float = 320,
    percent_x: bool = False,
    percent_y: bool = False,
    log_x: bool = False,
    border: Border | None = None,
) -> Markup:
    """Return points on two axes, with their names, or numbers and a key where names do not fit.

    Args:
        points: to draw; those with a missing, NaN or infinite value are left out.
        words: what the chart shows, for a screen reader; the points and their values are added.
        x_label: of the x axis.
        y_label: of the y axis.
        height: in pixels.
        percent_x: whether x values are shares to be shown in percent.
        percent_y: the same of y values.
        log_x: whether the x axis is logarithmic, if all values are positive.
        border: a limit on the x axis.
    """
    points = [each for each in points if known(each.x) and known(each.y)]
    parts = [part for each in points for part in each.parts if all(map(known, part))]
    x = scale_of([*(each.x for each in points), *(at for at, _ in parts), border.value if border else None], log=log_x)
    y = scale_of([*(each.y for each in points), *(at for _, at in parts)], margin=0.08)
    places = [(x.place(each.x), down(y, each.y, height)) for each in points]
    small = [(x.place(across), down(y, up, height)) for across, up in parts]
    drawn = _frame(x, y, height, border)
    kept = [(x.place(border.value), _border_place(x.place(border.value)), width_of(border.words))] if border else []
    drawn += [_dot(at) for at in small]
    drawn += [mark(each.style, percentage(at), up, size=6) for each, (at, up) in zip(points, places, strict=True)]
    numbered = []
    for kind, widths in (("wide-only", WIDE), ("narrow-only", NARROW)):
        texts, labels = _labels([each.name for each in points], places, small, widths, height, kept)
        numbered += [] if texts is None else [kind]
        shown = zip(texts or [_cut(each.name) for each in points], places, labels, strict=True)
        drawn.append(element("g", *(_named(*each) for each in shown), class_=kind))
    spoken = "; ".join(
        f"{each.name} {_spoken(each.x, percent=percent_x)}, {_spoken(each.y, percent=percent_y)}" for each in points
    )
    frame = framed(
        chart(height, f"{words}: {spoken}" if spoken else words, *drawn),
        y_axis(y, height, percent=percent_y),
        x_axis(x, ticks(x, 6), percent=percent_x),
        x_label,
        wide=max(map(len, tick_labels(ticks(y, 6), percent=percent_y))) > 5,
    )
    return element("div", element("p", text_of(y_label), class_="ayl"), frame, *_key(points, numbered), class_="sc")


def _labels(
    names: Sequence[str],
    places: Sequence[tuple[float, float]],
    small: Sequence[tuple[float, float]],
    widths: Sequence[float],
    height: float,
    kept: Sequence[tuple[float, Label, float]],
) -> tuple[list[str] | None, list[Label]]:
    """Return the numbers that replace the names, None if the names fit, and the place of each."""
    cut = [_cut(name) for name in names]
    numbers = [str(number + 1) for number in range(len(names))]
    for texts in (cut, numbers):
        for obstacles in (small, ()):  # covering a small point is better than to lose the names
            labels = placed(places, texts, obstacles, widths=widths, height=height, kept=kept)
            if labels is not None:
                return (None if texts is cut else numbers), labels
    return numbers, [Label(9, -6, "start")] * len(names)


def _cut(name: str) -> str:
    return shortened(text_of(name), _LONGEST)


def _spoken(value: float, *, percent: bool) -> str:
    return f"{100 * value:.3g}\N{NO-BREAK SPACE}%" if percent else f"{value:.3g}"


def _frame(x: Scale, y: Scale, height: float, border: Border | None) -> list[Markup]:
    """Return the lines of the y axis and the border."""
    drawn = []
    if border is not None and known(border.value):
        at = x.place(border.value)
        drawn += [
            element("rect", class_="limf", x=percentage(at), y=0, width=percentage(1 - at), height=height),
            line(percentage(at), 0, percentage(at), height, "lim"),
        ]
    drawn += [
        line("0", down(y, value, height), "100%", down(y, value, height), "ax" if value == 0 else "gd")
        for value in ticks(y, 6)
    ]
    if border is not None and known(border.value):
        place = _border_place(at)
        anchor = None if place.anchor == "start" else place.anchor
        words = text_of(border.words)
        drawn.append(element("text", words, class_="lt", x=percentage(at), y=place.dy, dx=place.dx, text_anchor=anchor))
    return drawn


def _border_place(at: float) -> Label:
    """Return the place of the words of a border, on the side with more room."""
    return Label(-6, 14, "end") if at > 0.5 else Label(6, 14, "start")


def _dot(at: tuple[float, float]) -> Markup:
    return element("svg", element("circle", r=2.5), x=percentage(at[0]), y=at[1], overflow="visible", class_="dot")


def _named(text: str, at: tuple[float, float], place: Label) -> Markup:
    """Return a label at its place, with a line to its point if it is far from it."""
    anchor = None if place.anchor == "start" else place.anchor
    drawn = [element("text", text, class_="b", x=place.dx, y=place.dy, text_anchor=anchor)]
    if place.leader:
        drawn.insert(0, element("line", class_="lead-line", x1=0, y1=0, x2=place.dx, y2=place.dy - 4))
    return element("svg", *drawn, x=percentage(at[0]), y=at[1], overflow="visible")


def _key(points: Sequence[Point], numbered: Sequence[str]) -> list[Markup]:
    """Return the names of the numbers, shown at the widths that have numbers."""
    if not numbered:
        return []
    kind = "numbers" if len(numbered) > 1 else f"numbers {numbered[0]}"
    return [element("ol", *(element("li", element("bdi", text_of(each.name))) for each in points), class_=kind)]
