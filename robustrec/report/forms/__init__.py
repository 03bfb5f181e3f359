"""Output formats of a report; each is a function of the report, imported at its first use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robustrec.results.report import Report

Form = Callable[["Report"], bytes]


def json_bytes(report: Report) -> bytes:
    """Return a report as JSON for `read_report`, with its recommendation and warnings."""
    from robustrec.reading.recommendation import with_recommendation
    from robustrec.results.report import report_json

    return report_json(with_recommendation(report)).encode()


def html_bytes(report: Report) -> bytes:
    """Return a report as one HTML document."""
    from robustrec.report.html import html_page

    return html_page(report).encode()


def _at_first_use(module: str, function: str) -> Form:
    def form(report: Report) -> bytes:
        content: bytes = getattr(import_module(f"robustrec.report.forms.{module}"), function)(report)
        return content

    return form


FORMATS: dict[str, Form] = {
    "json": json_bytes,
    "html": html_bytes,
    "junit": _at_first_use("junit", "junit_bytes"),
    "markdown": _at_first_use("markdown", "markdown_bytes"),
    "github": _at_first_use("github", "github_bytes"),
    "comment": _at_first_use("comment", "comment_bytes"),
    "openmetrics": _at_first_use("openmetrics", "openmetrics_bytes"),
    "sarif": _at_first_use("static_analysis", "sarif_bytes"),
    "codequality": _at_first_use("static_analysis", "codequality_bytes"),
    "csv": _at_first_use("findings_table", "csv_bytes"),
    "parquet": _at_first_use("findings_table", "parquet_bytes"),
}
"""Name for --output-format -> bytes of a report in this format."""

BINARY = frozenset({"parquet"})
"""Binary formats, which need a path."""
