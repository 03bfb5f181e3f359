"""Convert a matplotlib figure to an SVG element with CSS variables as colours and unique ids.

Figures use the object interface and matplotlib's defaults, so they do not depend on pyplot or on local settings.
Colours are placeholders that become `var(--…)`.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from robustrec.quiet import warnings_are
from robustrec.reading.texts import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#000010", "#000011"
SERIES = tuple(f"#0000a{number}" for number in range(8))
"""Placeholders of colours: text and axes, grid, and one for each style."""

_VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)"} | {c: f"var(--s{n})" for n, c in enumerate(SERIES)}
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "path.simplify": True,
}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep matplotlib from remarking on its caches and on letters that its fonts lack; the browser draws those."""
    logger = logging.getLogger("matplotlib")
    with warnings_are("ignore"):  # its lock keeps threads from each other's level and settings
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


@contextmanager
def blank(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """Yield an empty figure of a size in inches, with its axes; it is drawn and written within the block."""
    with _quiet():
        from matplotlib import style
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        with style.context(["default", _SETTINGS]):  # whatever this machine's matplotlibrc says
            figure = Figure(figsize=(width, height), layout="constrained")
            FigureCanvasSVG(figure)
            yield figure, figure.add_subplot()


def as_svg(figure: Figure, name: str, label: str) -> Markup:
    """Return a figure as an SVG element without prolog, with ids that no other plot of the page has."""
    import matplotlib as mpl

    figure.patch.set_alpha(0)
    buffer = io.StringIO()
    empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=empty)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    text = re.sub(
        r'<svg [^>]*?viewBox="([^"]+)"[^>]*>',
        rf'<svg viewBox="\1" role="img" aria-label="{_quoted(label)}">',
        text,
        count=1,
    )
    text = re.sub(r"\s*\n\s*", "\n", re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))
    return Markup(text)  # noqa: S704  matplotlib escapes the texts in it


def _quoted(text: str) -> str:
    return str(escape(one_line(text))).replace("\\", r"\\")
