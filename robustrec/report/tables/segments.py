"""Console sections of the segments of the users and of the exposure of groups of items."""

from __future__ import annotations

from robustrec.reading.segments import exposure_section, segment_section
from robustrec.report.console.sheet import Page


def print_segments(page: Page) -> None:
    """Print the segments and groups of items with a drift, the largest losses first; nothing for a report without."""
    sections = {
        "segments of the users": segment_section(page.report, page.names, page.level),
        "exposure of groups of items": exposure_section(page.report, page.names, page.level),
    }
    for heading, section in sections.items():
        if section is None:
            continue
        page.heading(heading)
        if section.rows:
            page.table(section.columns, section.rows, numbers_from=4)
        for line in section.lines:
            page.line(line, indent=1)
