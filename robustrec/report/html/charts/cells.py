"""Cells on the scale of loss: five shades of one hue for losses, and blue for gains."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from markupsafe import Markup

from robustrec.report.html.charts.curves import framed, x_axis, y_axis
from robustrec.report.html.charts.elements import chart, element, known, scaled, short, text_of
from robustrec.report.html.charts.scale import Scale, bounded, tick_labels, ticks

STEPS = (0.02, 0.04, 0.06, 0.10)
"""Losses at which the shade of a cell changes, as shares."""
MOST_CELLS = 61
SHADES = 5


def shade(change: float | None, *, significant: bool) -> str:
    """Return the class of a cell: empty if the change is not significant, l1 to l5 for losses, g1 and g2 for gains."""
    if not known(change) or not significant or change == 0:
        return ""
    size = sum(abs(change) >= step for step in STEPS)
    return f"l{size + 1}" if change < 0 else f"g{min(size, 1) + 1}"


def shade_key() -> Markup:
    """Return the list that explains the shades."""
    edges = [f"{100 * step:g}" for step in STEPS]
    minus = "\N{MINUS SIGN}"
    names = [("", "not significant"), ("l1", f"0 to {minus}{edges[0]}\N{NO-BREAK SPACE}%")]
    names += [(f"l{at + 2}", f"{minus}{low} to {minus}{high}") for at, (low, high) in enumerate(pairwise(edges))]
    names += [("l5", f"below {minus}{edges[-1]}"), ("g1", "gain")]
    items = [element("li", element("span", class_=f"sw {kind}".rstrip()), words) for kind, words in names]
    return element("ul", *items, class_="key hk")


def strip(kinds: Sequence[str]) -> Markup:
    """Return small squares, one for each class of `shade`: the severities of an edit."""
    squares = [
        element("rect", class_=f"sq {kind or 'n0'}", x=1 + 13 * place, y=1, width=11, height=9)
        for place, kind in enumerate(kinds)
    ]
    return element("svg", *squares, class_="strip", width=2 + 13 * len(kinds), height=11, aria_hidden="true")


def surface(
    x: Sequence[float],
    y: Sequence[float],
    z: Sequence[Sequence[float]],
    *,
    words: str,
    x_label: str,
    y_label: str,
    height: float = 260,
) -> Markup:
    """Return a function of two directions as cells in five shades of equal steps, with a key and a cross at (0, 0).

    Args:
        x: places of the columns, ascending.
        y: places of the rows, ascending.
        z: z[j][i] at (x[i], y[j]); missing, NaN or infinite cells stay empty.
        words: what the chart shows, for a screen reader.
        x_label: of the x axis.
        y_label: of the y axis.
        height: in pixels.
    """
    across, below = -(-len(x) // MOST_CELLS), -(-len(y) // MOST_CELLS)
    x, y, z = x[::across], y[::below], [row[::across] for row in z[::below]]
    values = [bounded(value) for row in z for value in row if known(value)]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    edges = [low + (high - low) * step / SHADES for step in range(SHADES + 1)]

    def kind(value: float) -> str:
        return f"l{1 + sum(value > edge for edge in edges[1:-1])}" if known(value) else ""

    cells = []
    left, top = _borders(x), _borders(y)
    scale_x, scale_y = Scale(left[0], left[-1]), Scale(top[0], top[-1])
    for row, numbers in enumerate(z):
        lower, upper = (height * (1 - scale_y.place(top[row + step])) for step in (0, 1))
        for same, run in groupby(enumerate(numbers), key=lambda cell: kind(cell[1])):
            columns = [column for column, _ in run]
            start, end = (100 * scale_x.place(left[column]) for column in (columns[0], columns[-1] + 1))
            if same:  # cells of a shade overlap a little, so that no gap shows between them
                cells.append(
                    element(
                        "rect",
                        class_=f"cell {same}",
                        x=start,
                        y=upper - 0.3,
                        width=end - start + 0.1,
                        height=lower - upper + 0.6,
                    )
                )
    drawn = [scaled(height, *cells)]
    if scale_x.holds(0) and scale_y.holds(0):
        cross = element("path", d="M-6 0H6M0 -6V6", class_="origin")
        at = f"{short(100 * scale_x.place(0))}%"
        drawn.append(element("svg", cross, x=at, y=height * (1 - scale_y.place(0)), overflow="visible"))
    frame = framed(
        chart(height, f"{words}: from {_shown([low, high])[0]} to {_shown([low, high])[1]}", *drawn),
        y_axis(scale_y, height),
        x_axis(scale_x, ticks(scale_x, 5)),
        x_label,
        wide=max(map(len, tick_labels(ticks(scale_y, 6)))) > 5,
    )
    return element("div", element("p", text_of(y_label), class_="ayl"), frame, _steps_key(edges), class_="sc")


def _shown(values: Sequence[float]) -> list[str]:
    return tick_labels([float(f"{value:.3g}") for value in values])


def _borders(places: Sequence[float]) -> list[float]:
    """Return the borders of cells around ascending places, halfway between them."""
    if len(places) < 2 or not places[0] < places[-1]:
        return [number - 0.5 for number in range(len(places) + 1)]
    middle = [before / 2 + after / 2 for before, after in pairwise(places)]
    return [places[0] - (middle[0] - places[0]), *middle, places[-1] + (places[-1] - middle[-1])]


def _steps_key(edges: Sequence[float]) -> Markup:
    if edges[0] == edges[-1]:
        return element("ul", element("li", element("span", class_="sw l1"), _shown(edges[:1])[0]), class_="key hk")
    texts = _shown(edges)
    items = [
        element("li", element("span", class_=f"sw l{step + 1}"), f"{low} to {high}")
        for step, (low, high) in enumerate(pairwise(texts))
    ]
    return element("ul", *items, class_="key hk")
