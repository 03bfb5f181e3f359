"""Format numbers for display. These texts are never compared or stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

NOTHING = "-"
"""Text for a missing number."""

_SMALLEST_PERCENT = 0.001


def percent(share: float | None, *, signed: bool = False) -> str:
    """Return a share as a percentage; "0 %" only for exactly 0, and "<0.001 %" for values that round to 0."""
    return NOTHING if share is None else f"{_percentage(share, signed=signed)} %"


def tenths(share: float | None, *, signed: bool = False, apart_from: Sequence[float] = (0.0,)) -> str:
    """Return a share as a percentage with 1 decimal, and more where it would round to a number that it is not.

    Args:
        share: the share; None for a missing one.
        signed: whether a positive number has a sign.
        apart_from: shares that the text is not to equal unless the number does: 0, and limits.
    """
    if share is None or not math.isfinite(share):
        return NOTHING if share is None else str(share)
    others = [100 * each for each in apart_from if each != share and math.isfinite(each)]
    text, value = "", 100 * share
    for digits in range(1, 7):
        text = f"{abs(value):.{digits}f}"
        if not any(text == f"{abs(other):.{digits}f}" and value * other >= 0 for other in others):
            break
    sign = "-" if value < 0 else "+" if signed and value > 0 else ""
    return f"{sign}{text} %"


def plain(value: float | None, *, signed: bool = False) -> str:
    """Return a number with 4 decimals, more where it is small, 1.2e-05 below 1e-4; whole numbers only as such."""
    if value is None:
        return NOTHING
    size = abs(value)
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and size < 1e6:
        text = str(int(value))
    elif size < 1e-4 or size >= 1e6:
        text = f"{value:.1e}"
    elif size < 10:
        text = f"{value:.5f}" if size < 0.01 else f"{value:.4f}"
    else:
        text = f"{value:.1f}"
    return f"+{text}" if signed and value > 0 else text


def bracketed(low: float | None, high: float | None, show: Callable[..., str], *, signed: bool = False) -> str:
    """Return an interval as "[low, high]", with one unit; empty if there is none."""
    if low is None or high is None:
        return ""
    ends = (show(end, signed=signed).removesuffix(" %") for end in (low, high))
    return f"[{', '.join(ends)}]"


def as_given(value: float | None) -> str:
    """Return a number as written in a suite, without extra digits."""
    return NOTHING if value is None else f"{value:g}"


def _percentage(share: float, *, signed: bool) -> str:
    value = 100 * share
    size = abs(value)
    if size == 0 or not math.isfinite(value):
        return "0" if size == 0 else str(value)
    sign = "-" if value < 0 else "+" if signed else ""
    if size < _SMALLEST_PERCENT:
        return f"{sign}<{_SMALLEST_PERCENT:g}"
    digits = 3 if size < 0.1 else 2 if size < 10 else 1
    return f"{sign}{size:.{digits}f}"
