"""Console table of the search for the worst and best edits, and its items."""

from __future__ import annotations

from robustrec.reading.worst import worst_section
from robustrec.report.console.sheet import Page

_MOST_ITEMS = 4


def print_worst(page: Page) -> None:
    """Print exposure under random, worst and best edits and gradient attacks, and advice on some items."""
    section = worst_section(page.report)
    if section is None:
        return
    page.heading(f"worst: exposure of an item edited alone ({page.level} intervals)")
    page.table(section.columns, section.rows, numbers_from=2)
    for line in section.lines:
        page.line(line, indent=1)
    for item, lines in section.items[:_MOST_ITEMS]:
        page.line(f"{item}:", indent=1)
        for line in lines:
            page.line(line, indent=3)
    if len(section.items) > _MOST_ITEMS:
        page.line(f"{len(section.items) - _MOST_ITEMS} more items are in the HTML and JSON reports", indent=1)
