"""Noise tolerance for display."""

from __future__ import annotations

from typing import NamedTuple

from robustrec.reading.conditions import condition_words
from robustrec.reading.summary import Summary
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.numbers import as_given


class BreakPointSummary(NamedTuple):
    """Noise tolerance of a subject: the value with its bracket, or one bound."""

    name: str
    condition: str
    value: float | None
    text: str
    row: Finding


def break_points(summary: Summary) -> list[BreakPointSummary]:
    """Return the noise tolerance of every subject of a report."""
    rows = [
        row
        for row in summary.report.findings
        if row.quantity == "value" and row.condition.kind == "break_point" and row.reference == CLEAN
    ]
    return [
        BreakPointSummary(summary.names[row.subject], condition_words(row.condition), row.clean, _point(row), row)
        for row in rows
    ]


def _point(row: Finding) -> str:
    note = f" ({row.note})" if row.note else ""
    if row.censored:
        where = f"above {as_given(row.ci_low)}" if row.ci_high is None else f"below {as_given(row.ci_high)}"
        return f"{where}{note}"
    if row.clean is None:
        return f"unknown{note}"
    found, low, high = (as_given(two_digits(value)) for value in (row.clean, row.ci_low, row.ci_high))
    return f"{found} (between {low} and {high})"


def two_digits(value: float | None) -> float | None:
    """Return a number rounded to two digits."""
    return None if value is None else float(f"{value:.2g}")
