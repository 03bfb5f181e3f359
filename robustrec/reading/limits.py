"""Limits of gates on the rows of a figure: only where they judge every row that is drawn there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustrec.reading.summary import judged_gates
from robustrec.results.findings import Finding
from robustrec.results.gates import selects
from robustrec.results.report import Report


class RowLimit(NamedTuple):
    """Limits on a relative drift, as shares, and whether a breach fails the run."""

    least: float | None
    most: float | None
    blocking: bool


def relative_limits(report: Report, rows: Sequence[Finding]) -> tuple[RowLimit, ...]:
    """Return the limits on relative drift that gates set on every given row, blocking gates first.

    A gate on one metric, strategy or condition sets no limit on another, so that it is not drawn over a row it does
    not judge.
    """
    found = [
        RowLimit(gate.min, gate.max, gate.severity == "error")
        for gate in judged_gates(report)
        if rows and gate.quantity == "relative_drift" and all(selects(gate, row) for row in rows)
    ]
    return tuple(dict.fromkeys(sorted(found, key=lambda each: not each.blocking)))


def limit_words(limits: Sequence[RowLimit], *, else_: str = "") -> str:
    """Return limits in words: "limit −5 to +5 %, blocking"; `else_` if there are none."""
    words = [f"limit {_range(each)}, {'blocking' if each.blocking else 'warning'}" for each in limits]
    return "; ".join(words) or else_


def _range(limit: RowLimit) -> str:
    least, most = (None if each is None else f"{100 * each:+g}".replace("-", "\N{MINUS SIGN}") for each in limit[:2])
    unit = "\N{NO-BREAK SPACE}%"
    if least is None:
        return f"at most {most}{unit}"
    return f"at least {least}{unit}" if most is None else f"{least} to {most}{unit}"
