"""A reproduction as an HTML and a Markdown page."""

from __future__ import annotations

import shlex

from robustrec.reading.texts import one_line
from robustrec.report.html.environment import render
from robustrec.reproduce.result import Reproduction
from robustrec.reproduce.sections import headline, sections_of

TITLE = "The tables of the SGBD paper, beside what is measured"


def reproduction_page(report: Reproduction) -> str:
    """Return a reproduction as one HTML document, the same bytes for the same reproduction."""
    return str(
        render(
            "reproduce.html.j2",
            title=TITLE,
            report=report,
            headline=headline(report),
            command=shlex.join(report.command),
            sections=sections_of(report),
            sample={"synthetic": any(each.synthetic for each in report.datasets)},
        )
    )


def reproduction_markdown(report: Reproduction) -> str:
    """Return a reproduction as a Markdown page."""
    lines = [f"# {TITLE}", "", f"**{_text(headline(report))}**", "", f"    {one_line(shlex.join(report.command))}", ""]
    if any(each.synthetic for each in report.datasets):
        lines += ["Synthetic data: the numbers do not apply to real users.", ""]
    lines += [f"- warning: {_text(each)}" for each in report.warnings]
    for section in sections_of(report):
        lines += ["", f"## {_text(section.title)}", ""]
        lines += [f"- {_text(line)}" for line in section.lines]
        if section.columns:
            lines += ["", _row(section.columns), f"|{'---|' * len(section.columns)}"]
            lines += [_row(row) for row in section.rows]
    return "\n".join(lines) + "\n"


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(_text, cells))} |"


def _text(value: str) -> str:
    """Return a text that Markdown shows as it is."""
    shown = one_line(value)
    for letter in "\\`*_[]<>|#":
        shown = shown.replace(letter, f"\\{letter}" if letter not in "<>" else {"<": "&lt;", ">": "&gt;"}[letter])
    return shown
