"""Scales: from values to shares of an axis, with ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from robustrec.report.html.charts.elements import known

_LARGEST = 1e300  # beyond it, differences of two values overflow
_SMALLEST = 1e-300  # below it, they lose their digits
_RESOLUTION = 1e-9  # two values nearer than this, relative to their size, are drawn as one
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, with low < high.

    Attributes:
        low: value at place 0.
        high: value at place 1.
        log: whether equal ratios have equal lengths; low is positive then.
    """

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return the place of a value as a share of the axis; values outside are at its ends."""
        if self.log:
            if value <= self.low:
                return 0.0
            share = (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        else:
            share = (bounded(value) - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)

    def holds(self, value: float) -> bool:
        """Return whether a value is on the axis."""
        return self.low <= value <= self.high


def bounded(value: float) -> float:
    """Return a finite value as one whose differences and ratios to others are finite."""
    return min(max(value, -_LARGEST), _LARGEST) if abs(value) >= _SMALLEST else 0.0


def scale_of(
    values: Iterable[float | None],
    *,
    log: bool = False,
    least: float = 0.0,
    margin: float = 0.04,
) -> Scale:
    """Return a scale that holds all values.

    Args:
        values: to hold; those that are missing, NaN or infinite do not count.
        log: logarithmic if all values are positive, else linear.
        least: smallest length of a linear axis.
        margin: free room at both ends, as a share of the length.
    """
    found = [bounded(value) for value in values if known(value)]
    if log and found and min(found) > 0:
        ends = math.log(min(found)), math.log(max(found))
        room = margin * (ends[1] - ends[0]) or math.log(2)
        return Scale(math.exp(max(ends[0] - room, -692)), math.exp(min(ends[1] + room, 692)), log=True)
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    size = max(abs(low), abs(high))
    if high - low <= _RESOLUTION * size:
        least = max(least, 0.2 * size) or 1.0
    if high - low < least:
        middle = low / 2 + high / 2
        low, high = middle - least / 2, middle + least / 2
    room = margin * (high - low)
    return Scale(low - room, high + room)


def scale_around(
    core: Iterable[float | None],
    lows: Iterable[float | None],
    highs: Iterable[float | None],
    *,
    least: float = 0.0,
    margin: float = 0.04,
) -> Scale:
    """Return a linear scale that holds all values, and intervals as far as they do not press the values together.

    It is at most three times as long as the values and the median bounds need, so that one wide interval does not make
    all others unreadable.

    Args:
        core: values to hold.
        lows: lower bounds of intervals.
        highs: upper bounds.
        least: smallest length.
        margin: free room at both ends, as a share of the length.
    """
    below, above = ([bounded(value) for value in bounds if known(value)] for bounds in (lows, highs))
    inner = scale_of([*core, *(median(bounds) for bounds in (below, above) if bounds)], least=least, margin=0)
    length = inner.high - inner.low
    low = max(inner.low - length, min([inner.low, *below]))
    high = min(inner.high + length, max([inner.high, *above]))
    return scale_of([low, high], margin=margin)


def ticks(scale: Scale, most: int = 6) -> list[float]:
    """Return round values on an axis, ascending: 1 to `most` of them, at equal steps or powers of ten."""
    if scale.log:
        return _log_ticks(scale, most)
    step = _round_step((scale.high - scale.low) / most)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [number * step for number in range(first, last + 1)][:most] or [scale.low]


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 2.5 and 5 times a power of ten that is at least a step."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10, 20) if factor * power >= least * (1 - 1e-9))


def _log_ticks(scale: Scale, most: int) -> list[float]:
    first, last = math.ceil(math.log10(scale.low) - 1e-9), math.floor(math.log10(scale.high) + 1e-9)
    powers = range(first, last + 1)
    if len(powers) >= 3:
        return [10.0**power for power in powers[:: -(-len(powers) // most)]]
    fine = [
        factor * 10.0**power
        for power in range(first - 1, last + 1)
        for factor in (1, 2, 5)
        if scale.holds(factor * 10.0**power)
    ]
    return fine[:: -(-len(fine) // most)] if len(fine) > 1 else ticks(Scale(scale.low, scale.high), most)


def tick_labels(values: Sequence[float], *, percent: bool = False, signed: bool = False) -> list[str]:
    """Return short texts of ticks, all with the same decimals.

    Args:
        values: of the ticks.
        percent: whether the values are shares to be shown in percent, without the unit.
        signed: whether positive numbers have a sign.
    """
    shown = [100 * value if percent else value for value in values]
    size = max((abs(value) for value in shown), default=0)
    gaps = [abs(after - before) for before, after in pairwise(shown) if after != before]
    step = min(gaps, default=size or 1)
    if size and (size >= 1e6 or step < 1e-3 or size / step > 1e4):
        digits = min(8, max(1, math.ceil(math.log10(size) - math.log10(step)) + 1))
        texts = [_power(value, digits) for value in shown]
    else:
        digits = next(digits for digits in range(7) if abs(round(step, digits) - step) <= 1e-6 * step or digits == 6)
        texts = [f"{round(value, digits) + 0.0:.{digits}f}" for value in shown]
    return [("+" if signed and value > 0 else "") + _minus(text) for value, text in zip(shown, texts, strict=True)]


def _power(value: float, digits: int) -> str:
    """Return a number with some digits, 1e-6 rather than 1.00e-06."""
    number, e, power = f"{value:.{digits}g}".partition("e")
    return f"{number}{e}{int(power)}" if e else number


def _minus(text: str) -> str:
    return _MINUS + text[1:] if text.startswith("-") else text
