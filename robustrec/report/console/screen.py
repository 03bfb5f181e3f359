"""Report on one screen: verdict, main results, gates and files.

At most about 40 lines at 80 columns. `console` prints the full report.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from robustrec.reading.advice import lines_that_matter
from robustrec.reading.conditions import condition_words
from robustrec.reading.recommendation import recommend
from robustrec.reading.summary import SAMPLE, GateLine, cautions, summary_of
from robustrec.reading.texts import shortened
from robustrec.report.console.console import STYLES, print_last, verdict_word
from robustrec.report.console.sheet import Page, page_of
from robustrec.results.report import Report
from robustrec.results.verdict import WORST_FIRST, FailOn
from robustrec.results.wording import weights_lines

MOST_GATES = 6
_MOST_CAUTIONS = 4
_LONGEST = 230  # letters of a line: three lines at 80 columns


def print_screen(
    report: Report,
    console: Console,
    *,
    location: Path | None = None,
    pages: Sequence[Path] = (),
    fail_on: FailOn = "error",
) -> None:
    """Print a report on one screen.

    Args:
        report: the report to print.
        console: output console; its width and encoding set the layout.
        location: JSON file of the report.
        pages: other files of the report, such as the HTML page.
        fail_on: threshold of the exit code, which is printed at the end.
    """
    page = page_of(report, console)
    summary = summary_of(report)
    if report.dataset.synthetic:
        page.line(SAMPLE, "bold yellow")
    page.paragraph(Text.assemble(verdict_word(report), f"  {shortened(report.verdict_reason, 2 * _LONGEST)}"))
    data = report.dataset
    page.line(
        f"suite {report.suite.name} on {shortened(data.name, 80)} ({data.edition} edition), "
        f"{data.n_users:,} users, {data.n_items:,} items; {sum(report.durations.values()):.0f} s"
    )
    for line in weights_lines(report):
        page.line(f"features {shortened(line, 2 * _LONGEST)}")
    print_recommendation(page)
    page.heading("main results")
    for line in lines_that_matter(summary):
        page.paragraph(Text(f"- {shortened(line, _LONGEST)}"), indent=1, hanging=2)
    _print_gates(page, summary.gates)
    _print_cautions(page)
    console.print()
    for path in pages:
        page.line(f"HTML report: {path}")
    if location is not None:
        page.line(f"all numbers: {location}")
        page.line(f"all tables: robustrec report show --full {shlex.quote(str(location))}")
    print_last(page, fail_on)


def print_recommendation(page: Page) -> None:
    """Print the recommendation with its conditions, and the commands that meet those that are not met."""
    found = recommend(summary_of(page.report))
    page.heading("recommendation")
    page.paragraph(Text(found.headline), indent=1, hanging=1)
    if found.commands:
        page.line("to meet the conditions:", indent=1)
    for command in found.commands:
        page.command(command, indent=3)


def _print_gates(page: Page, gates: Sequence[GateLine]) -> None:
    page.heading("gates" if gates else "gates: none")
    worst = sorted(gates, key=lambda gate: (WORST_FIRST.index(gate.counts_as), WORST_FIRST.index(gate.status)))
    for gate in worst[:MOST_GATES]:
        if gate.status == "pass":
            text = f"{gate.name}: {gate.margin_text}"
        else:
            condition = condition_words(gate.condition) if gate.condition else ""
            where = ", ".join(part for part in (gate.subject, condition) if part)
            waiver = f"; waived: {gate.waiver}" if gate.waiver else ""
            picked = f"worst of {gate.selected}: " if gate.selected > 1 else ""
            text = f"{gate.name}: {picked}{where + ': ' if where else ''}{gate.message}{waiver}"
        style = STYLES[gate.counts_as]
        page.paragraph(Text.assemble((gate.word, style), f"  {shortened(text, _LONGEST)}"), indent=1, hanging=3)
    rest = worst[MOST_GATES:]
    if rest:
        counts = {word: sum(gate.word == word for gate in rest) for word in dict.fromkeys(gate.word for gate in rest)}
        page.line(f"and {len(rest)} more: {', '.join(f'{count} {word}' for word, count in counts.items())}", indent=1)


def _print_cautions(page: Page) -> None:
    lines = [line for line in cautions(page.report) if line != SAMPLE]  # that stands at the top
    if lines:
        page.heading("warnings")
    for line in lines[:_MOST_CAUTIONS]:
        page.paragraph(Text(shortened(line, _LONGEST)), indent=1, hanging=2)
    if len(lines) > _MOST_CAUTIONS:
        page.line(f"and {len(lines) - _MOST_CAUTIONS} more (show them with --full)", indent=1)
