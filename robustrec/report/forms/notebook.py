"""A report as a short piece of HTML for a notebook: verdict, main results, gates and candidates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from robustrec.reading.advice import lines_that_matter
from robustrec.reading.glance import at_a_glance
from robustrec.reading.recommendation import recommend
from robustrec.reading.summary import SAMPLE, cautions, summary_of
from robustrec.reading.texts import one_line, shortened
from robustrec.results.report import Report

MOST_ROWS = 40
LONGEST = 400


def notebook_html(report: Report) -> str:
    """Return the summary of a report as HTML without scripts and styles; every text is escaped."""
    summary = summary_of(report)
    parts = [Markup("<h3>robustrec: {}</h3>").format(report.verdict.upper()), _paragraph(report.verdict_reason)]
    if report.dataset.synthetic:
        parts.append(_paragraph(SAMPLE))
    parts.append(_paragraph(recommend(summary).headline))
    parts.append(_list(lines_that_matter(summary)))
    parts.append(_list(f"Warning: {line}" for line in cautions(report)))
    gates = [
        [gate.word, gate.name, f"{gate.subject + ': ' if gate.subject else ''}{gate.message}", gate.margin_text]
        for gate in summary.gates[:MOST_ROWS]
    ]
    parts.append(_table(["result", "gate", "deciding finding", "margin"], gates))
    glance = at_a_glance(summary)
    columns = ["subject", "gates", *(" ".join(part for part in column if part) for column in glance.columns)]
    rows = [
        [row.name, row.standing, *(" ".join(part for part in cell if part) for cell in row.cells)]
        for row in glance.rows[:MOST_ROWS]
    ]
    parts.append(_table(columns, rows))
    return str(Markup("").join(parts))


def _text(text: str) -> Markup:
    return escape(shortened(one_line(text), LONGEST))


def _paragraph(text: str) -> Markup:
    return Markup("<p>{}</p>").format(_text(text))


def _list(lines: Iterable[str]) -> Markup:
    items = Markup("").join(Markup("<li>{}</li>").format(_text(line)) for line in lines)
    return Markup("<ul>{}</ul>").format(items) if items else Markup("")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    if not rows:
        return Markup("")
    head = Markup("").join(Markup("<th>{}</th>").format(_text(name)) for name in columns)
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(_text(cell)) for cell in row))
        for row in rows
    )
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)
