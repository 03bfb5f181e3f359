"""Console tables of the causes of a drift."""

from __future__ import annotations

from robustrec.reading.cause import EXPLANATION, cause_tables
from robustrec.reading.summary import summary_of
from robustrec.report.console.sheet import Page


def print_causes(page: Page) -> None:
    """Print the causes of the drift of every subject and measure."""
    tables = cause_tables(summary_of(page.report))
    for table in tables:
        page.heading(table.title)
        page.table(table.columns, table.rows, numbers_from=1)
        for line in table.lines:
            page.line(line, indent=1)
    if tables:
        page.line(EXPLANATION, indent=1)
