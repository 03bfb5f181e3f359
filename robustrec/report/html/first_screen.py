"""The first screen of the page: verdict, gates on one axis, who is hurt most, and the facts beside them."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from robustrec.reading.advice import lines_that_matter
from robustrec.reading.first_screen import facts, hurt_most
from robustrec.reading.gate_axis import GateMark, gate_marks
from robustrec.reading.summary import Summary
from robustrec.reading.verdict_words import verdict_words
from robustrec.report.html.charts.gate_row import gate_axis, gate_row
from robustrec.report.html.environment import render
from robustrec.report.html.pictures import checked_jpeg

MOST_GATES = 12
"""Gates on the first screen; the others are in the table."""
KEPT_GATES = 4
"""Gates of each severity that are shown at least, if there are as many."""
_WORDS = {"pass": "Pass", "fail": "Fail", "inconclusive": "Inconclusive", "error": "Error"}


class GateGroup(NamedTuple):
    """Blocking or warning gates with their count in words."""

    words: str
    rows: list[tuple[GateMark, Markup]]
    left_out: int


def first_screen(summary: Summary) -> Markup:
    """Return the first screen of a report."""
    hurt = hurt_most(summary)
    pictures = [checked_jpeg(look.picture) for look in (hurt.exhibit.before, hurt.exhibit.after)] if hurt else []
    return render(
        "first.html.j2",
        summary=summary,
        verdict=verdict_words(summary),
        word=_WORDS[summary.report.verdict],
        groups=gate_groups(gate_marks(summary.report)),
        axis=gate_axis(),
        hurt=hurt,
        pictures=pictures,
        edited=any(row.condition.kind == "edit" for row in summary.report.findings),
        facts=facts(summary),
        lines=lines_that_matter(summary),
    )


def gate_groups(marks: list[GateMark]) -> list[GateGroup]:
    """Return blocking and warning gates, the worst first, with their counts by status."""
    groups: list[GateGroup] = []
    warnings = sum(mark.severity == "warn" for mark in marks)
    room = MOST_GATES - min(KEPT_GATES, warnings)
    for severity, name in (("error", "Blocking"), ("warn", "Warning")):
        own = [mark for mark in marks if mark.severity == severity]
        states = {"error": "not judged", "fail": "failed", "inconclusive": "inconclusive", "pass": "passed"}
        found = [mark.word.split(" ")[0].lower() for mark in own]
        counts = [f"{found.count(state)} {word}" for state, word in states.items() if state in found]
        if own:
            rows = [(mark, _drawn(mark)) for mark in own[:room]]
            groups.append(GateGroup(f"{name}: {', '.join(counts)}", rows, len(own) - len(rows)))
        room = MOST_GATES - (len(groups[0].rows) if groups else 0)
    return groups


def _drawn(mark: GateMark) -> Markup:
    kind = {"inconclusive": "open", "error": "fail"}.get(mark.state, mark.state)
    return gate_row(mark.places, kind, kind)
