"""SVG elements as escaped markup, and the marks that tell models apart: shape, dash and colour."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeGuard

from markupsafe import Markup, escape

from robustrec.reading.texts import visible

STYLES = 4
"""Number of models that marks tell apart in one figure."""

CROSS = -1
"""Style of a subject that is not compared with the others, such as a content-free one."""

PLAIN = -2
"""Style of the only series of a figure."""


_SVG = frozenset({"circle", "g", "image", "line", "path", "polygon", "polyline", "rect", "svg", "use"})
"""Elements that can be written without an end; those of HTML cannot."""


def known(value: float | None) -> TypeGuard[float]:
    """Return whether a number can be drawn: not missing, NaN or infinite."""
    return value is not None and math.isfinite(value)


def short(value: float) -> str:
    """Return a coordinate with 2 decimals at most."""
    return f"{round(value, 2) + 0.0:g}" if abs(value) < 1e5 else f"{value:.0f}"


def percentage(share: float) -> str:
    """Return a place on the x axis."""
    return f"{short(100 * share)}%"


def element(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """Return an element.

    Args:
        name: of the element.
        children: its content; text without markup is escaped.
        attributes: `class_` for class; other underscores become hyphens; None leaves an attribute out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(short(value) if isinstance(value, float) else value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = joined(children)
    empty = not inner and name in _SVG
    return Markup(f"<{name}{written}/>" if empty else f"<{name}{written}>{inner}</{name}>")  # noqa: S704  escaped


def joined(parts: Iterable[str]) -> Markup:
    """Return the parts as one markup; text without markup is escaped."""
    return Markup("").join(parts)


def text_of(words: str) -> str:
    """Return a text from data as an attribute or label shows it: one line without control characters."""
    return visible(words).replace("\n", " ").replace("\t", " ")


def line(x1: str, y1: str | float, x2: str, y2: str | float, kind: str) -> Markup:
    """Return a line between two places; `kind` is its class."""
    return element("line", class_=kind, x1=x1, x2=x2, y1=y1, y2=y2)


def label(words: str, x: str | float, y: str | float, *, anchor: str = "middle", kind: str | None = None) -> Markup:
    """Return a text whose baseline is at a place."""
    return element("text", text_of(words), class_=kind, x=x, y=y, text_anchor=None if anchor == "start" else anchor)


def _shape(style: int, size: float) -> Markup:
    """Return a shape around the origin; `size` is the radius of the disc, and other shapes have its area."""
    if style == CROSS:
        return element(
            "path",
            d=f"M-{short(size)} -{short(size)}L{short(size)} {short(size)}M-{short(size)} {short(size)}"
            f"L{short(size)} -{short(size)}",
        )
    match style % STYLES:
        case 1:
            half = size * 0.9
            return element("rect", x=-half, y=-half, width=2 * half, height=2 * half)
        case 2:
            top, side, base = (size * factor for factor in (1.16, 1.12, 0.85))
            return element("path", d=f"M0 -{short(top)}L{short(side)} {short(base)}H-{short(side)}Z")
        case 3:
            far = short(size * 1.3)
            return element("path", d=f"M0 -{far}L{far} 0L0 {far}L-{far} 0Z")
    return element("circle", r=size)


def colour(style: int) -> str:
    """Return the class that gives a style its colour."""
    return "cx" if style < 0 else f"c{style % STYLES}"


def mark(style: int, x: str | float, y: str | float, *, size: float = 4.5, hollow: bool = False) -> Markup:
    """Return a mark centred at a place.

    Args:
        style: number of the model, CROSS or PLAIN.
        x: place in percent, or pixels.
        y: place in pixels, or percent.
        size: radius of the disc in pixels.
        hollow: whether the interval of its value includes 0.
    """
    kind = f"{colour(style)} mkr{' cross' if style == CROSS else ''}{' hol' if hollow and style != CROSS else ''}"
    return element("svg", _shape(0 if style == PLAIN else style, size), x=x, y=y, overflow="visible", class_=kind)


def key(names: Iterable[tuple[str, int]], *, lines: bool = True) -> Markup:
    """Return the list that explains marks: (name, style) of each, with the dash of its line."""
    items = []
    for name, style in names:
        drawn = [line("0", 6, "28", 6, f"ln {colour(style)} d{style % STYLES}")] if lines and style >= 0 else []
        sample = element(
            "svg", *drawn, mark(style, 14 if lines else 6, 6), width=28 if lines else 12, height=12, aria_hidden="true"
        )
        items.append(element("li", sample, element("bdi", text_of(name))))
    return element("ul", *items, class_="key") if items else Markup("")


def chart(height: float, words: str, *children: str, kind: str = "") -> Markup:
    """Return a chart as wide as its container.

    Args:
        height: in pixels.
        words: what the chart shows, for a screen reader.
        children: its elements.
        kind: further classes.
    """
    return element(
        "svg",
        *children,
        class_=f"p {kind}".rstrip(),
        width="100%",
        height=height,
        role="img",
        aria_label=text_of(words) or "chart",
    )


def picture(height: float, *children: str, kind: str = "p") -> Markup:
    """Return a part of a chart that a screen reader passes over, such as an axis."""
    return element("svg", *children, class_=kind, width="100%", height=height, aria_hidden="true")


def scaled(height: float, *children: str) -> Markup:
    """Return lines in a box that is 100 wide and `height` high whatever the width of the chart; text would stretch."""
    return element(
        "svg", *children, viewBox=f"0 0 100 {short(height)}", preserveAspectRatio="none", width="100%", height=height
    )
