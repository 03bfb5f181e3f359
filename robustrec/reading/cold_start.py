"""Cold start in words and numbers: users and items without training interactions."""

from __future__ import annotations

from typing import NamedTuple

from robustrec.reading.summary import Summary
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.numbers import NOTHING, bracketed, plain
from robustrec.subject import Subject


class ColdTable(NamedTuple):
    """Quality of cold and of warm items, a row for each subject; no rows where it was not measured."""

    columns: list[str]
    rows: list[list[str]]
    lines: list[str]


def cold_table(summary: Summary) -> ColdTable | None:
    """Return what a report says of users and items without training interactions; None if it says nothing."""
    lines = list(_lines(summary))
    rows = {(row.subject, str(row.group)): row for row in summary.report.findings if _is_headline(row, summary.metric)}
    subjects = list(dict.fromkeys(subject for subject, _ in rows))
    if not lines and not subjects:
        return None
    columns = ["subject", f"{summary.metric} of cold items", "of warm items", "users (cold, warm)"]
    return ColdTable(columns, [_row(summary, subject, rows) for subject in subjects], lines)


def _is_headline(row: Finding, metric: str) -> bool:
    clean = row.audit == CLEAN and row.quantity == "value" and row.reference == CLEAN
    return clean and row.group in ("cold_items", "warm_items") and row.measure == metric


def _row(summary: Summary, subject: Subject, rows: dict[tuple[Subject, str], Finding]) -> list[str]:
    both = [rows.get((subject, group)) for group in ("cold_items", "warm_items")]
    cells = [
        NOTHING if row is None else f"{plain(row.clean)} {bracketed(row.ci_low, row.ci_high, plain)}".rstrip()
        for row in both
    ]
    users = ", ".join(NOTHING if row is None else f"{row.n_users:,}" for row in both)
    return [summary.names[subject], *cells, users]


def _lines(summary: Summary) -> list[str]:
    found = summary.report.dataset.cold_start
    lines = []
    if found is not None and found.users.users:
        lines.append(
            f"users without training interactions: {found.users.users:,}, with {found.users.validation:,} validation "
            f"and {found.users.test:,} test interactions, which are not evaluated, because models have no trained "
            "vector for such users"
        )
    if found is not None and found.test_of_items:
        lines.append(
            f"items without training interactions: {found.items:,}; with them are {found.test_of_items:,} of "
            f"{summary.report.dataset.n_test:,} test interactions, of {found.users_of_items:,} evaluated users"
        )
    return lines
