"""Console tables of the causes of a drift."""

from __future__ import annotations

from robustrec.reading.cause import EXPLANATION, cause_tables
from robustrec.reading.summary import summary_of
from robustrec.report.console.sheet import Page
from robustrec.report.tables.titled import print_titled


def print_causes(page: Page) -> None:
    """Print the causes of the drift of every subject and measure."""
    print_titled(page, cause_tables(summary_of(page.report)), EXPLANATION)
