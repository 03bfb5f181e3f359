"""Console section of the guarantee audit."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.reading.guarantee import guarantee_section
from robustrec.report.console.sheet import Page
from robustrec.results.findings import Finding

_MOST_SENTENCES = 6


def print_guarantee(page: Page, findings: Sequence[Finding]) -> None:
    """Print the statements, their table, and what they are about."""
    section = guarantee_section(findings, page.names, page.level)
    page.heading("guarantee: items edited one at a time")
    for line in section.sentences[:_MOST_SENTENCES]:
        page.line(line, indent=1)
    if section.rows:
        page.table(section.columns, section.rows, numbers_from=2)
    if section.left_out:
        page.line(f"and {section.left_out} more statements in the JSON report", indent=1)
    for line in (*section.meaning, *section.notes):
        page.line(line, indent=1)
