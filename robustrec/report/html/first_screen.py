"""The first screen of the page: verdict, gates on one axis, who is hurt most, and the facts beside them."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from robustrec.reading.advice import lines_that_matter
from robustrec.reading.first_screen import facts, hurt_most
from robustrec.reading.gate_axis import LEFT, RIGHT, GateMark, gate_marks
from robustrec.reading.summary import Summary
from robustrec.reading.verdict_words import verdict_words
from robustrec.report.html.environment import render
from robustrec.report.html.pictures import checked_jpeg

MOST_GATES = 12
"""Gates on the first screen; the others are in the table."""
_WORDS = {"pass": "Pass", "fail": "Fail", "inconclusive": "Inconclusive", "error": "Error"}


class AxisRow(NamedTuple):
    """A gate as it is drawn: places in percent of the width; `beyond_*`: the interval goes on at that end."""

    mark: GateMark
    low: float | None
    high: float | None
    estimate: float | None
    zero: float | None
    limit: float
    beyond_left: bool
    beyond_right: bool


class GateGroup(NamedTuple):
    """Blocking or warning gates with their count in words."""

    words: str
    rows: list[AxisRow]
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
        hurt=hurt,
        pictures=pictures,
        edited=any(row.condition.kind == "edit" for row in summary.report.findings),
        facts=facts(summary),
        lines=lines_that_matter(summary),
    )


def gate_groups(marks: list[GateMark]) -> list[GateGroup]:
    """Return blocking and warning gates, the worst first, with their counts by status."""
    groups = []
    for severity, name in (("error", "Blocking"), ("warn", "Warning")):
        own = [mark for mark in marks if mark.severity == severity]
        states = {"error": "not judged", "fail": "failed", "inconclusive": "inconclusive", "pass": "passed"}
        found = [mark.word.split(" ")[0].lower() for mark in own]
        counts = [f"{found.count(state)} {word}" for state, word in states.items() if state in found]
        if own:
            rows = [axis_row(mark) for mark in own[:MOST_GATES]]
            groups.append(GateGroup(f"{name}: {', '.join(counts)}", rows, len(own) - len(rows)))
    return groups


def axis_row(mark: GateMark) -> AxisRow:
    """Return the places of a gate in percent of the width of the axis, cut at its ends."""
    return AxisRow(
        mark,
        _place(mark.low),
        _place(mark.high),
        _place(mark.estimate),
        _place(mark.zero),
        _place(1.0) or 0.0,
        mark.nearest > float("-inf") and min(_ends(mark)) < LEFT,
        mark.nearest > RIGHT,
    )


def _ends(mark: GateMark) -> list[float]:
    return [end for end in (mark.low, mark.high, mark.estimate) if end is not None]


def _place(number: float | None) -> float | None:
    return None if number is None else round(100 * (min(max(number, LEFT), RIGHT) - LEFT) / (RIGHT - LEFT), 2)
