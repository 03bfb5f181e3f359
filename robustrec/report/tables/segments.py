"""Console section of the segments of the users."""

from __future__ import annotations

from robustrec.reading.segments import segment_section
from robustrec.report.console.sheet import Page


def print_segments(page: Page) -> None:
    """Print the segments with a drift, the largest losses first; nothing for a report without segments."""
    section = segment_section(page.report, page.names, page.level)
    if section is None:
        return
    page.heading("segments of the users")
    if section.rows:
        page.table(section.columns, section.rows, numbers_from=4)
    for line in section.lines:
        page.line(line, indent=1)
