"""Tables of value findings by audit: sharpness, contraction of an encoder, signal-to-noise ratios."""

from __future__ import annotations

from typing import NamedTuple

from robustrec.reading.conditions import condition_words
from robustrec.reading.guarantee import GUARANTEE
from robustrec.reading.summary import Summary
from robustrec.reading.texts import shortened
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.numbers import NOTHING, as_given, bracketed, plain
from robustrec.results.scale import SCALE_DEPENDENT, depends_on_scale

MOST_ROWS, MOST_SUBJECTS = 60, 12


class ValueRow(NamedTuple):
    """One measure under one condition, for all subjects."""

    measure: str
    condition: str
    unit: str
    cells: list[str]


class ValueTable(NamedTuple):
    """Value findings of one audit."""

    audit: str
    subjects: list[str]
    rows: list[ValueRow]
    left_out: int


def value_tables(summary: Summary) -> list[ValueTable]:
    """Return a table for each audit with value findings, except break points and the guarantee audit's."""
    own = (audit for audit in summary.audits if audit != GUARANTEE)
    return [table for audit in own if (table := value_table(summary, audit))]


def value_table(summary: Summary, audit: str) -> ValueTable | None:
    """Return the table of the value findings of an audit, except break points; None if there are none."""
    values = [row for row in summary.values(audit) if row.reference == CLEAN and row.condition.kind != "break_point"]
    if not values:
        return None
    subjects = list(dict.fromkeys(row.subject for row in values))[:MOST_SUBJECTS]
    by_place = {(row.condition, row.metric, row.subject): row for row in values}
    measures = {(row.condition, row.metric, row.unit): row for row in values}
    rows = [
        ValueRow(
            shortened(metric, 60) + (SCALE_DEPENDENT if depends_on_scale(row) else ""),
            shortened(condition_words(condition), 80),
            unit,
            [_cell(by_place.get((condition, metric, subject))) for subject in subjects],
        )
        for (condition, metric, unit), row in list(measures.items())[:MOST_ROWS]
    ]
    return ValueTable(audit, [summary.names[each] for each in subjects], rows, max(0, len(measures) - MOST_ROWS))


def _cell(row: Finding | None) -> str:
    if row is None:
        return NOTHING
    if row.censored:
        return f"above {as_given(row.ci_low)}" if row.ci_high is None else f"below {as_given(row.ci_high)}"
    return f"{plain(row.clean)} {bracketed(row.ci_low, row.ci_high, plain)}".rstrip()
