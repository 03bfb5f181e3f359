"""Gates on one axis: how far each result is from its limit, in units of the limit.

An upper limit M and a number x stand at 1 + (x - M) / |M|, a lower limit m at 1 + (m - x) / |m|. The limit is at 1 for
every gate, larger is worse, and for limits on a change no change is at 0. A limit of 0 has no unit: the end of the
interval that is farthest from it is one unit away.
"""

from __future__ import annotations

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


class GateMark(NamedTuple):
    """A gate on the axis.

    Attributes:
        number: place of the gate in the report, from 0.
        state: pass, warn (a breached warning gate), fail, inconclusive or error.
        word: the status as every output form has it, for example FAIL (warn).
        where: subject and condition of the deciding finding; empty without one.
        estimate, low, high: in units of the limit, 1 at the limit, larger is worse; None without numbers.
        zero: place of no change; None where the axis has none.
        text, interval, limit: the numbers in words.
    """

    number: int
    name: str
    severity: str
    state: str
    word: str
    where: str
    estimate: float | None
    low: float | None
    high: float | None
    zero: float | None
    text: str
    interval: str
    limit: str

    @property
    def nearest(self) -> float:
        """The end of the interval that is nearest to the limit, or farthest outside."""
        ends = [end for end in (self.low, self.high, self.estimate) if end is not None]
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
    side = _side(result)
    ends = [None if side is None or end is None else side(end) for end in (result.low, result.high)]
    known = sorted(end for end in ends if end is not None)
    # One bound alone is of a number beyond the searched range: it has no other end.
    low, high = (known[0], known[-1]) if len(known) == 2 else (None, None)
    estimate = None if side is None or result.estimate is None else side(result.estimate)
    if estimate is None and len(known) == 1:
        estimate = known[0]
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
        estimate=estimate,
        low=low,
        high=high,
        zero=_zero(result, side),
        text=_text(result, show),
        interval=bracketed(result.low, result.high, show, signed=result.quantity != "value"),
        limit=_limit_text(result, shown_limit),
    )


def _side(result: GateResult) -> Callable[[float], float] | None:
    """Return the function from a number to its place, for the limit that the interval is nearest to."""
    low = result.estimate if result.low is None else result.low
    high = result.estimate if result.high is None else result.high
    sides: list[tuple[float, Callable[[float], float]]] = []
    for limit, end, sign in ((result.min, low, -1), (result.max, high, 1)):
        if limit is None or end is None:
            continue
        unit = abs(limit) or max(abs(low or 0.0), abs(high or 0.0)) or 1.0

        def place(x: float, limit: float = limit, unit: float = unit, sign: int = sign) -> float:
            return 1 + sign * (x - limit) / unit

        sides.append((place(end), place))
    return max(sides, key=lambda each: each[0])[1] if sides else None


def _zero(result: GateResult, side: Callable[[float], float] | None) -> float | None:
    if side is None or result.quantity == "value":
        return None
    place = side(0.0)
    return place if abs(place) < 1e-9 else None


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
