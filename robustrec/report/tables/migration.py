"""Console tables of a migration to another encoder."""

from __future__ import annotations

from robustrec.reading.migration import EXPLANATION, migration_tables
from robustrec.reading.summary import summary_of
from robustrec.report.console.sheet import Page


def print_migration(page: Page) -> None:
    """Print churn, quality with break shares, and moved exposure of every subject."""
    tables = migration_tables(summary_of(page.report), intervals=False)
    for table in tables:
        page.heading(table.title)
        page.table(table.columns, table.rows, numbers_from=1)
        for line in table.lines:
            page.line(line, indent=1)
    if tables:
        page.line(EXPLANATION, indent=1)
