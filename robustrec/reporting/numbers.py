"""Numbers as people read them. Display only: nothing here is compared or stored."""

from __future__ import annotations

import math

NOTHING = "-"
"""Shown where there is no number."""


def percent(share: float | None, *, signed: bool = False) -> str:
    """Return a share as a percentage; "0 %" only for exactly 0, and what rounds to 0 says so ("<0.001 %")."""
    if share is None:
        return NOTHING
    return f"{_decimals(100 * share, smallest=0.001, signed=signed)} %"


def plain(value: float | None, *, signed: bool = False) -> str:
    """Return a number with about four significant digits; "0" only for exactly 0, small ones as 1.2e-05."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-3 or size >= 1e6:
        text = f"{value:.1e}"
    else:
        text = f"{value:.4f}" if size < 10 else f"{value:.1f}"
    return f"+{text}" if signed and value > 0 else text


def _decimals(value: float, *, smallest: float, signed: bool) -> str:
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size == 0:
        return "0"
    sign = "-" if value < 0 else "+" if signed else ""
    if size < smallest:
        return f"{sign}<{smallest:g}"
    digits = 3 if size < 0.1 else 2 if size < 10 else 1
    return f"{sign}{size:.{digits}f}"
