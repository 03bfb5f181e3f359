"""The page of a report on a console: a sheet with short names of its subjects."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from robustrec.reading.content_use import names_of
from robustrec.results.report import Report
from robustrec.sheet import Sheet
from robustrec.subject import Subject


@dataclass(frozen=True)
class Page(Sheet):
    """A sheet with the report to print.

    Attributes:
        report: the report to print.
        names: subject -> its short name, unique within the report.
        level: confidence level of the intervals, in words ("95 %").
    """

    report: Report
    names: dict[Subject, str]
    level: str


def page_of(report: Report, console: Console) -> Page:
    """Return the page of a report."""
    return Page(console, report, names_of(report), f"{100 * report.suite.level:g} %")
