"""Console tables with a title and lines below them."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.reading.titled_tables import TitledTable
from robustrec.report.console.sheet import Page


def print_titled(page: Page, tables: Sequence[TitledTable], explanation: str) -> None:
    """Print tables, and below them what their columns are; nothing without tables."""
    for table in tables:
        page.heading(table.title)
        page.table(table.columns, table.rows, numbers_from=1)
        for line in table.lines:
            page.line(line, indent=1)
    if tables:
        page.line(explanation, indent=1)
