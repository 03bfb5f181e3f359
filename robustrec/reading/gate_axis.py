"""Gates on one axis: how far each result is from its limit, in units of the limit.

An upper limit M and a number x stand at 1 + (x - M) / |M|, a lower limit m at 1 + (m - x) / |m|. The limit is at 1 for
every gate, larger is worse, and for limits on a change no change is at 0. A limit of 0 has no unit: the end of the
interval that is farthest from it is one unit away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from robustrec.reading.conditions import condition_words
from robustrec.reading.content_use import names_of, names_over_seeds
from robustrec.results.findings import CLEAN
from robustrec.results.gates import GateResult
from robustrec.results.numbers import bracketed, plain, tenths
from robustrec.results.report import Report
from robustrec.results.verdict import WORST_FIRST
from robustrec.subject import Subject

LEFT, RIGHT = -0.75, 1.75
"""Ends of the axis, in units of the limit."""
_LARGEST = 1e100


class InLimits(NamedTuple):
    """Places of a gate on the axis, not yet cut to it; None where a number is missing.

    Attributes:
        estimate: place of the estimate.
        low: left end of the interval.
        high: right end of the interval.
        zero: whether place 0 stands for a value of 0, as for limits on a change.
        other: place of the other limit of a gate with two, if it is on the axis.
    """

    estimate: float | None
    low: float | None
    high: float | None
    zero: bool
    other: float | None = None


def in_limits(
    estimate: float | None,
    low: float | None,
    high: float | None,
    *,
    least: float | None,
    most: float | None,
) -> InLimits:
    """Return the places of a gate in units of its limit.

    With the lower limit L, a value v is at 1 + (L - v) / |L|, and with the upper limit at 1 + (v - L) / |L|: the limit
    is at 1, what is outside is right of it, and the distance is in units of the limit. For a limit on a change, such
    as -5 %, that is v / L, with no change at 0. With two limits, it is the limit that the interval comes nearest to
    or passes most. A limit of 0 has no unit; its unit is the largest distance of the gate.

    Args:
        estimate: value that decided the gate; None if there is none.
        low: lower bound of its interval; None if it is not known or not bounded.
        high: upper bound of its interval, likewise.
        least: lower limit; None if there is none.
        most: upper limit; None if there is none.
    """
    values = [_bounded(value) for value in (estimate, low, high)]
    limits = [
        (limit, below) for limit, below in ((least, True), (most, False)) if limit is not None and math.isfinite(limit)
    ]
    if not limits:
        return InLimits(None, None, None, zero=False)
    placed = [_against(limit, values, below=below) for limit, below in limits]
    worst = max(range(len(placed)), key=lambda each: max((at for at in placed[each] if at is not None), default=0.0))
    (limit, below), (at, *bounds) = limits[worst], placed[worst]
    left, right = (bounds[1], bounds[0]) if below else (bounds[0], bounds[1])
    zero = limit < 0 if below else limit > 0
    others = [
        at
        for number, (value, _) in enumerate(limits)
        if number != worst
        for at in _against(limit, [value], below=below)
    ]
    return InLimits(at, left, right, zero, next((at for at in others if at is not None and LEFT <= at <= RIGHT), None))


def _against(limit: float, values: list[float | None], *, below: bool) -> list[float | None]:
    distances = [None if value is None else (limit - value if below else value - limit) for value in values]
    unit = abs(limit) or max((abs(each) for each in distances if each is not None), default=0.0) / 0.7 or 1.0
    return [None if each is None else 1 + each / unit for each in distances]


def _bounded(value: float | None) -> float | None:
    """Return a finite value as one whose differences and ratios to others are finite; None for no number."""
    return None if value is None or not math.isfinite(value) else min(max(value, -_LARGEST), _LARGEST)


class GateMark(NamedTuple):
    """A gate on the axis.

    Attributes:
        number: place of the gate in the report, from 0.
        state: pass, warn (a breached warning gate), fail, inconclusive or error.
        word: the status as every output form has it, for example FAIL (warn).
        where: subject and condition of the deciding finding; empty without one.
        places: in units of the limit, 1 at the limit, larger is worse.
        text, interval, limit: the numbers in words.
    """

    number: int
    name: str
    severity: str
    state: str
    word: str
    where: str
    places: InLimits
    text: str
    interval: str
    limit: str

    @property
    def nearest(self) -> float:
        """The end of the interval that is nearest to the limit, or farthest outside."""
        ends = [end for end in (self.places.low, self.places.high, self.places.estimate) if end is not None]
        return max(ends, default=float("-inf"))


def gate_marks(report: Report) -> list[GateMark]:
    """Return all gates on the axis: blocking gates first, then the worst first, then those nearest to their limit."""
    names, pooled = names_of(report), names_over_seeds(report)
    marks = [_mark(number, each, pooled if each.seeds else names) for number, each in enumerate(report.gates)]

    def rank(mark: GateMark) -> tuple[bool, int, float]:
        return mark.severity != "error", WORST_FIRST.index(report.gates[mark.number].effective), -mark.nearest

    return sorted(marks, key=rank)


def _mark(number: int, result: GateResult, names: dict[Subject, str]) -> GateMark:
    mild = result.severity == "warn" and result.status in ("fail", "inconclusive")
    said = [word for word, holds in (("warn", mild), ("waived", result.waived is not None)) if holds]
    names_subject = "" if result.subject is None else names.get(result.subject, result.subject.label)
    condition = "" if result.condition is None or result.audit == CLEAN else condition_words(result.condition)
    show, shown_limit = _formats(result)
    return GateMark(
        number=number,
        name=result.gate,
        severity=result.severity,
        state="warn" if mild and result.status == "fail" else result.status,
        word=result.status.upper() + (f" ({', '.join(said)})" if said else ""),
        where=", ".join(part for part in (names_subject, condition) if part),
        places=in_limits(result.estimate, result.low, result.high, least=result.min, most=result.max),
        text=_text(result, show),
        interval=bracketed(result.low, result.high, show, signed=result.quantity != "value"),
        limit=_limit_text(result, shown_limit),
    )


def _formats(result: GateResult) -> tuple[Callable[..., str], Callable[[float], str]]:
    if result.quantity != "relative_drift":
        return plain, lambda limit: f"{limit:g}"
    apart = [0.0, *(limit for limit in (result.min, result.max) if limit is not None)]

    def show(share: float | None, *, signed: bool = False) -> str:
        return tenths(share, signed=signed, apart_from=apart)

    return show, lambda limit: f"{100 * limit:g} %"


def _text(result: GateResult, show: Callable[..., str]) -> str:
    signed = result.quantity != "value"
    if result.estimate is not None:
        return show(result.estimate, signed=signed)
    if result.low is not None:
        return f"at least {show(result.low, signed=signed)}"
    return f"at most {show(result.high, signed=signed)}" if result.high is not None else "no number"


def _limit_text(result: GateResult, show: Callable[[float], str]) -> str:
    if result.min is not None and result.max is not None:
        return f"{show(result.min).removesuffix(' %')} to {show(result.max)}"
    return f"at least {show(result.min)}" if result.min is not None else f"at most {show(result.max or 0.0)}"
