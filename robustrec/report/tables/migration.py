"""Console tables of a migration to another encoder."""

from __future__ import annotations

from robustrec.reading.migration import EXPLANATION, migration_tables
from robustrec.reading.summary import summary_of
from robustrec.report.console.sheet import Page
from robustrec.report.tables.titled import print_titled


def print_migration(page: Page) -> None:
    """Print churn, quality with break shares, and moved exposure of every subject."""
    print_titled(page, migration_tables(summary_of(page.report), intervals=False), EXPLANATION)
