"""Render a report as an HTML page."""

from __future__ import annotations

from robustrec.reading.summary import summary_of
from robustrec.report.html.environment import render
from robustrec.report.html.first_screen import first_screen
from robustrec.report.html.sections import parts_of
from robustrec.results.report import Report


def html_page(report: Report) -> str:
    """Return a report as one HTML document, the same bytes for the same report.

    All texts from data are escaped, and control and direction characters are replaced.
    """
    summary = summary_of(report)
    page = render("page.html.j2", report=report, summary=summary, first=first_screen(summary), parts=parts_of(summary))
    return str(page)
