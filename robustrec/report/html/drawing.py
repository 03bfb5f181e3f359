"""Plots as inline SVG, the same bytes every time: lines with bands, interval bars, scatters, surfaces.

A plot adapts to light, dark and print. Marks and colours both distinguish the subjects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from robustrec.reading.texts import one_line, shortened
from robustrec.report.html.svg import FAINT, INK, SERIES, as_svg, blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "os^Dv" + "PX*"
GLYPHS = "●■▲◆▼✚✖★"
LINES = ("-", "--", "-.", ":")
WIDTH, HEIGHT = 4.1, 2.7
"""Size in inches; a phone shows a plot at 80 % of this size, and its text stays readable."""

_LONGEST_LABEL = 26
MOST_POINTS, _MOST_CELLS = 400, 61


class Series(NamedTuple):
    """A line of a plot: name, style, points, and an optional band."""

    name: str
    style: int
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


class IntervalMark(NamedTuple):
    """An interval bar: row, style, estimate and ends."""

    row: int
    style: int
    estimate: float
    low: float | None
    high: float | None


class Plot(NamedTuple):
    """A rendered plot: SVG, title and legend."""

    svg: Markup
    title: str
    key: tuple[tuple[str, int, str], ...] = ()


def key_of(names: Sequence[tuple[str, int]]) -> tuple[tuple[str, int, str], ...]:
    """Return (glyph, number of the colour, name) for each (name, style), once each."""
    return tuple((GLYPHS[style % 8], style % 8, name) for name, style in dict.fromkeys(names))


def _label(text: str, longest: int = _LONGEST_LABEL) -> str:
    return shortened(one_line(text), longest)


def _dress(axes: Axes, x_label: str, y_label: str, *, grid: str = "both") -> None:
    axes.set_facecolor("none")
    axes.set_xlabel(_label(x_label, 60), color=INK)
    axes.set_ylabel(_label(y_label, 60), color=INK)
    axes.tick_params(colors=INK, which="both", length=3)
    axes.grid(visible=True, axis="both" if grid == "both" else "x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)


def _ticks(axes: Axes, *, x: Callable[[float], str] | None = None, y: Callable[[float], str] | None = None) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    for axis, show in ((axes.xaxis, x), (axes.yaxis, y)):
        if show is not None:
            if axis.get_scale() == "linear":
                axis.set_major_locator(MaxNLocator(5))
            axis.set_major_formatter(FuncFormatter(lambda value, _, show=show: show(value)))
            axis.set_minor_formatter(NullFormatter())


def as_percent(value: float) -> str:
    """Return a tick's share in percent."""
    return f"{100 * value:g} %".replace("-", "\N{MINUS SIGN}")


def as_number(value: float) -> str:
    """Return a tick's number."""
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def lines(
    name: str,
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    percent: bool = False,
    zero: bool = False,
    whole_x: bool = False,
    marks: Sequence[tuple[float, int]] = (),
) -> Plot:
    """Draw lines with their bands; `marks` are (x, style) of vertical lines, such as break points."""
    series = [_thinned(each) for each in series]
    with blank(WIDTH, HEIGHT) as (figure, axes):
        if log_x:
            axes.set_xscale("log")
        _dress(axes, x_label, y_label)
        _ticks(axes, x=as_number, y=as_percent if percent else as_number)
        if whole_x:
            axes.set_xticks(sorted({x for each in series for x in each.x}))
        if zero:
            axes.axhline(0, color=INK, linewidth=0.8)
        for place, mark in marks:
            axes.axvline(place, color=SERIES[mark % 8], linewidth=1.1, linestyle=LINES[mark % 4])
        for each in series:
            dense = len(each.x) > 40
            style = each.style % 8
            axes.plot(
                each.x,
                each.y,
                color=SERIES[style],
                marker=MARKERS[style],
                markersize=4,
                markevery=max(1, len(each.x) // 8) if dense else 1,
                linewidth=1.4,
                linestyle=LINES[(each.style // 8) % 4],
            )
            if each.low is not None and each.high is not None:
                axes.fill_between(each.x, each.low, each.high, color=SERIES[style], alpha=0.15, linewidth=0)
        names = [(each.name, each.style) for each in series]
        label = f"{title}. Lines: {', '.join(each for each, _ in names)}"
        return Plot(as_svg(figure, name, label), title, key_of(names))


def _thinned(series: Series) -> Series:
    """Return a line of no more points than a plot can show."""
    step = -(-len(series.x) // MOST_POINTS)
    parts = (series.x, series.y, series.low, series.high)
    return Series(series.name, series.style, *(None if part is None else part[::step] for part in parts))  # type: ignore[arg-type]


def intervals(
    name: str,
    title: str,
    rows: Sequence[str],
    bars: Sequence[IntervalMark],
    *,
    x_label: str,
    percent: bool,
    names: Sequence[tuple[str, int]],
    limits: Sequence[float] = (),
) -> Plot:
    """Draw an estimate with its interval for each bar, one row each; `limits` are vertical lines for gates."""
    spread = max(1, max((sum(each.row == row for each in bars) for row in range(len(rows))), default=1))
    height = 0.8 + len(rows) * (0.12 + 0.1 * spread)
    with blank(WIDTH, max(1.5, height)) as (figure, axes):
        _dress(axes, x_label, "", grid="x")
        _ticks(axes, x=as_percent if percent else as_number)
        axes.axvline(0, color=INK, linewidth=0.8)
        for limit in limits:
            axes.axvline(limit, color=INK, linewidth=0.9, linestyle="--")
        seen: dict[int, int] = {}
        places = []
        for each in bars:
            place = seen[each.row] = seen.get(each.row, -1) + 1
            places.append(each.row + (place - (spread - 1) / 2) * (0.8 / (spread + 0.5)))
        for style in dict.fromkeys(each.style for each in bars):
            own = [(each, y) for each, y in zip(bars, places, strict=True) if each.style == style]
            whole = [(y, each.low, each.high) for each, y in own if each.low is not None and each.high is not None]
            colour = SERIES[style % 8]
            for y, low, high in whole:
                axes.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
            estimates = [each.estimate for each, _ in own]
            marker = MARKERS[style % 8]
            axes.plot(estimates, [y for _, y in own], color=colour, marker=marker, markersize=5, linestyle="none")
        axes.set_yticks(range(len(rows)), [_label(row) for row in rows], color=INK)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        label = f"{title}. Rows: {', '.join(rows)}"
        return Plot(as_svg(figure, name, label), title, key_of(names))


def scatter(
    name: str, title: str, points: Sequence[tuple[str, float, float]], *, x_label: str, y_label: str, note: str = ""
) -> Plot:
    """Draw one mark a (name, x, y); more than there are styles are numbered."""
    numbered = len(points) > len(SERIES)
    with blank(WIDTH, HEIGHT) as (figure, axes):
        _dress(axes, x_label, y_label)
        _ticks(axes, x=as_number, y=as_number)
        for place, (_, x, y) in enumerate(points):
            style = 0 if numbered else place
            axes.plot([x], [y], color=SERIES[style], marker=MARKERS[style], markersize=6, linestyle="none")
            if numbered:
                axes.annotate(str(place + 1), (x, y), xytext=(4, 3), textcoords="offset points", color=INK, fontsize=8)
        names = [(each, place) for place, (each, _, _) in enumerate(points)]
        key = tuple((str(place + 1), 0, each) for each, place in names) if numbered else key_of(names)
        return Plot(as_svg(figure, name, f"{title}. {note}"), title, key)


def surface(
    name: str,
    title: str,
    x: Sequence[float],
    y: Sequence[float],
    z: Sequence[Sequence[float]],
    *,
    x_label: str,
    y_label: str,
) -> Plot:
    """Draw a function of two directions as filled contours with its numbers on a bar."""
    across, down = -(-len(x) // _MOST_CELLS), -(-len(y) // _MOST_CELLS)
    x, y, z = x[::across], y[::down], [row[::across] for row in z[::down]]
    with blank(WIDTH, 3.2) as (figure, axes):
        _dress(axes, x_label, y_label)
        _ticks(axes, x=as_number, y=as_number)
        levels = 9
        filled = axes.contourf(x, y, z, levels=levels, cmap="cividis")
        axes.contour(x, y, z, levels=levels, colors=INK, linewidths=0.4)
        axes.plot([0], [0], marker="+", color="#ffffff", markersize=8)
        bar = figure.colorbar(filled, ax=axes)
        bar.ax.tick_params(colors=INK)
        bar.outline.set_edgecolor(FAINT)
        return Plot(as_svg(figure, name, title), title)
