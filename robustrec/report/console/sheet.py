"""The page of a report on a console: a sheet with short names of its subjects."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from robustrec.reading.over_seeds import shown_findings, shown_names
from robustrec.results.findings import Finding
from robustrec.results.report import Report
from robustrec.sheet import Sheet
from robustrec.subject import Subject


@dataclass(frozen=True)
class Page(Sheet):
    """A sheet with the report to print.

    Attributes:
        report: the report to print.
        findings: of the report for tables, with the mean over training seeds in the place of each seed's.
        names: subject -> its short name, unique within the report, and the name of each mean over seeds.
        level: confidence level of the intervals, in words ("95 %").
    """

    report: Report
    findings: list[Finding]
    names: dict[Subject, str]
    level: str


def page_of(report: Report, console: Console) -> Page:
    """Return the page of a report."""
    return Page(console, report, shown_findings(report), shown_names(report), f"{100 * report.suite.level:g} %")
