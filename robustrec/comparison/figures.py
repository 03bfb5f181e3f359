"""Figures of comparisons: stability against content use, and differences from the reference."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from robustrec.comparison.compared import ReportComparison
from robustrec.comparison.race.result import Gain
from robustrec.comparison.result import Mean
from robustrec.report.html.charts.elements import CROSS, PLAIN
from robustrec.report.html.charts.intervals import Bar, IntervalRow, intervals
from robustrec.report.html.charts.scatter import Border, Point, scatter
from robustrec.report.html.plots import Figures, Plot
from robustrec.results.content_use import ENOUGH
from robustrec.results.numbers import bracketed, percent, plain

_LEFT = "share of the clean quality that is left with mean features, %"
_BORDER = Border(ENOUGH, f"content-free from {100 * ENOUGH:g}\N{NO-BREAK SPACE}% \N{RIGHTWARDS ARROW}")
_FEWEST = 2


def content_figure(found: ReportComparison, what: str) -> Figures:
    """Return what is left under the conditions against what is left without content; nothing if it was not measured."""
    points = [
        Point(each.name, each.left, sum(place.value for place in each.places) / len(each.places), _style(each.left))
        for each in found.standings
        if each.left is not None and each.places
    ]
    return _against_content(points, f"{what}, mean over the conditions")


def race_figures(gains: Sequence[Gain], objective: str) -> Figures:
    """Return the differences of the finalists from the reference, and list stability against content use."""
    points = [
        Point(each.arm, each.left.estimate, each.overlap.estimate, CROSS if each.content_free else PLAIN)
        for each in gains
        if each.left is not None and each.overlap is not None
    ]
    plots = [
        _differences(f"Difference of {objective} from the reference", [(each, each.difference) for each in gains]),
        _differences(
            "Relative difference of clean quality", [(each, each.clean_difference) for each in gains], share=True
        ),
    ]
    drawn = [plot for plot in plots if plot is not None]
    return Figures((*drawn, *_against_content(points, "overlap of the lists with and without edits").plots))


def _differences(title: str, found: Sequence[tuple[Gain, Mean | None]], *, share: bool = False) -> Plot | None:
    rows = []
    for gain, mean in found:
        if mean is None:
            continue
        show = percent if share else plain
        numbers = f"{show(mean.estimate, signed=True)} {bracketed(mean.low, mean.high, show, signed=True)}".rstrip()
        style = CROSS if gain.content_free else PLAIN
        remark = f"{numbers}{', content-free' if gain.content_free else ''}"
        rows.append(IntervalRow(gain.arm, remark, [Bar(style, mean.estimate, mean.low, mean.high, numbers)]))
    return (
        Plot(f"{title}; a mark is filled if the interval excludes 0", intervals(rows, percent=share)) if rows else None
    )


def _style(left: float) -> int:
    return CROSS if left >= ENOUGH else PLAIN


def _against_content(points: Sequence[Point], y_label: str) -> Figures:
    if len(points) < _FEWEST:
        return Figures(())
    drawn: Markup = scatter(
        points, words=f"{y_label}, against {_LEFT}", x_label=_LEFT, y_label=y_label, percent_x=True, border=_BORDER
    )
    return Figures((Plot("Stability against content use: up is more stable, right needs the content less", drawn),))
