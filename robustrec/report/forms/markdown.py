"""Short report as Markdown, for a pull request comment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from robustrec.reading.advice import lines_that_matter
from robustrec.reading.cold_start import cold_table
from robustrec.reading.glance import at_a_glance
from robustrec.reading.recommendation import recommend
from robustrec.reading.summary import Summary, cautions, summary_of
from robustrec.reading.texts import one_line, shortened
from robustrec.reading.worst import worst_section
from robustrec.results.report import Report
from robustrec.results.verdict import WORST_FIRST

MOST_BYTES = 60_000
"""Size limit in bytes; GitHub allows 65,536 characters in a comment."""
MOST_ROWS = 60
_LONGEST_CELL = 400
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~^$])")
_STARTS_LIST = re.compile(r"^(\d*)([-=]+|\.)(?=\s|$)")
_JOINER = "\N{WORD JOINER}"
_NOT_MENTIONED = f"@{_JOINER}"
_REFERENCE = re.compile(r"[#!](?=\d)|(?i:\bwww(?=\.)|\bGH(?=-\d))")
SYMBOLS = {"pass": "✅", "fail": "❌", "inconclusive": "❔", "error": "⛔"}


def markdown_bytes(report: Report) -> bytes:
    """Return verdict, recommendation, warnings, main results, gates and candidates, below 60 KB."""
    return markdown(report, MOST_BYTES).encode()


def markdown(report: Report, most_bytes: int) -> str:
    """Return a short report of fewer than `most_bytes` bytes in UTF-8."""
    summary = summary_of(report)
    parts = [f"## {SYMBOLS[report.verdict]} robustrec: {report.verdict.upper()}", escaped(report.verdict_reason)]
    if report.dataset.synthetic:
        parts.append("> **SAMPLE EDITION**: synthetic data. These numbers do not apply to real users.")
    parts.append(
        f"Suite {escaped(report.suite.name)} on {escaped(report.dataset.name)}, {report.dataset.edition} edition."
        + (f" Split: {escaped(report.dataset.split.words)}." if report.dataset.split else "")
    )
    parts += _recommendation(summary)
    parts.append("\n".join(f"- {escaped(line)}" for line in lines_that_matter(summary)))
    if warnings := cautions(report):
        parts += ["### Warnings", "\n".join(f"- {escaped(line, _LONGEST_CELL)}" for line in warnings[:MOST_ROWS])]
    parts += _gates(summary)
    parts += _candidates(summary)
    parts += _cold_start(summary)
    parts += _worst(report)
    text = "\n\n".join(part for part in parts if part)
    return within(text, most_bytes)


def _recommendation(summary: Summary) -> list[str]:
    found = recommend(summary)
    parts = [f"**{escaped(found.headline)}**"]
    if found.commands:
        commands = "\n".join(f"    {one_line(command)}" for command in found.commands)
        parts += ["To meet the conditions:", commands]
    return parts


def escaped(text: str, longest: int = 4000) -> str:
    """Return a text on one line, escaped for Markdown: no markup, no HTML, no mentions."""
    shown = _SPECIAL.sub(r"\\\1", shortened(one_line(text), longest))
    shown = _STARTS_LIST.sub(r"\1\\\2", shown)
    shown = shown.replace("&", "&amp;").replace("://", f":{_JOINER}//")
    # GitHub and GitLab link www., #1, !1 and GH-1 without markup, and show the mention of an issue at the issue too.
    shown = _REFERENCE.sub(f"\\g<0>{_JOINER}", shown)
    if shown.startswith("/"):  # at the start of a line, GitLab would run it
        shown = f"\\{shown}"
    return re.sub(r"(?<![A-Za-z0-9])@|@(?=[A-Za-z])", _NOT_MENTIONED, shown)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def cell(text: str) -> str:
    """Return a text for a cell, escaped and shortened."""
    return escaped(text, _LONGEST_CELL)


def _gates(summary: Summary) -> list[str]:
    gates = sorted(summary.gates, key=lambda gate: (WORST_FIRST.index(gate.status), gate.severity != "error"))
    if not gates:
        return ["### Gates", "No gate was judged."]
    rows = [
        [
            f"{SYMBOLS[gate.status]} {gate.word}",
            cell(gate.name),
            cell(f"{gate.subject + ': ' if gate.subject else ''}{gate.message}"),
            cell(gate.margin_text),
        ]
        for gate in gates[:MOST_ROWS]
    ]
    more = [f"… and {len(gates) - MOST_ROWS} more gates."] if len(gates) > MOST_ROWS else []
    return ["### Gates", table(["result", "gate", "deciding finding", "margin"], rows), *more]


def _candidates(summary: Summary) -> list[str]:
    glance = at_a_glance(summary)
    if not glance.rows:
        return []
    rows = [
        [cell(row.name), row.standing, *(cell(" ".join(part for part in each if part)) for each in row.cells)]
        for row in glance.rows[:MOST_ROWS]
    ]
    columns = ["subject", "gates", *(cell(" ".join(part for part in column if part)) for column in glance.columns)]
    more = [f"… and {len(glance.rows) - MOST_ROWS} more."] if len(glance.rows) > MOST_ROWS else []
    return ["### Models and strategies", table(columns, rows), *more]


def _cold_start(summary: Summary) -> list[str]:
    found = cold_table(summary)
    if found is None:
        return []
    rows = [table(found.columns, ([cell(each) for each in row] for row in found.rows[:MOST_ROWS]))]
    lines = "\n".join(f"- {escaped(line)}" for line in found.lines)
    return ["### Cold start", lines, *(rows if found.rows else [])]


def _worst(report: Report) -> list[str]:
    found = worst_section(report)
    if found is None:
        return []
    rows = table(found.columns, ([cell(each) for each in row] for row in found.rows[:MOST_ROWS]))
    return ["### Worst and best edits of an item", rows, "\n".join(f"- {escaped(line)}" for line in found.lines)]


def within(text: str, most_bytes: int) -> str:
    """Return a text cut at the end of a line where it is too long."""
    content = f"{text}\n"
    if len(content.encode()) < most_bytes:
        return content
    note = "\n\n… shortened here. The HTML report has the full text.\n"
    kept = content.encode()[: most_bytes - len(note.encode()) - 1].decode(errors="ignore")
    return kept.rpartition("\n")[0] + note
