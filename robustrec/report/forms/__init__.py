"""The forms that a report can be written in; each is a function of the report alone, made again at any time."""

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
    """Return a report as the JSON that `read_report` reads, its recommendation and cautions included."""
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
"""Name, as --output-format takes it -> a report's bytes in that form."""

BINARY = frozenset({"parquet"})
"""Forms that are no text and need a path."""
