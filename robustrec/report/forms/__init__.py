"""Output formats of a report; each is a function of the report."""

from __future__ import annotations

from collections.abc import Callable

from robustrec.reading.recommendation import with_recommendation
from robustrec.report.forms.findings_table import csv_bytes, parquet_bytes
from robustrec.report.forms.github import github_bytes
from robustrec.report.forms.junit import junit_bytes
from robustrec.report.forms.markdown import markdown_bytes
from robustrec.report.html import html_page
from robustrec.results.report import Report, report_json


def json_bytes(report: Report) -> bytes:
    """Return a report as JSON for `read_report`, with its recommendation and warnings."""
    return report_json(with_recommendation(report)).encode()


def html_bytes(report: Report) -> bytes:
    """Return a report as one HTML document."""
    return html_page(report).encode()


FORMATS: dict[str, Callable[[Report], bytes]] = {
    "json": json_bytes,
    "html": html_bytes,
    "junit": junit_bytes,
    "markdown": markdown_bytes,
    "github": github_bytes,
    "csv": csv_bytes,
    "parquet": parquet_bytes,
}
"""Name for --output-format -> bytes of a report in this format."""

BINARY = frozenset({"parquet"})
"""Binary formats, which need a path."""
