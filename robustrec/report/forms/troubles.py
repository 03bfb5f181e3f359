"""What a report has to tell a build: audits that ended in an error, expired waivers, and gates that did not pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from robustrec.reading.summary import GateLine, gate_lines
from robustrec.results.report import Report
from robustrec.results.verdict import WORST_FIRST


class Trouble(NamedTuple):
    """One thing that a build shows.

    Attributes:
        kind: what it is about: an audit of a subject, a waiver, a gate, or the verdict as a whole.
        name: name of the gate, or of what the waiver or error is about.
        decisive: whether the verdict is FAIL or ERROR because of it.
        undecided: whether nothing is known to be wrong: an inconclusive gate.
        title: in a few words.
        text: in a sentence.
        waiver: reason of the waiver of a gate; empty if there is none.
    """

    kind: Literal["audit", "waiver", "gate", "verdict"]
    name: str
    decisive: bool
    undecided: bool
    title: str
    text: str
    waiver: str = ""


def troubles(report: Report) -> Iterator[Trouble]:
    """Yield what is wrong with a report, the worst first; something if and only if not every gate passed."""
    shown = False
    for status in report.statuses:
        if status.status == "error":
            name = f"{status.audit} of {status.subject.label}"
            yield Trouble("audit", name, True, False, name, status.message)
            shown = True
    for waiver in report.waivers:
        if waiver.state == "expired":
            yield Trouble("waiver", waiver.gate, True, False, f"waiver of {waiver.gate}", waiver.sentence)
    lines = [line for line in gate_lines(report) if line.status != "pass"]
    for line in sorted(lines, key=_badness):
        decisive = line.status == "error" or (line.counts_as == "fail" and line.severity == "error")
        where = ", ".join(part for part in (line.subject, line.condition and line.condition.label) if part)
        text = f"{where + ': ' if where else ''}{line.message}"
        undecided = line.counts_as == "inconclusive"
        yield Trouble("gate", line.name, decisive, undecided, f"{line.word}: {line.name}", text, line.waiver)
        shown |= line.status == "error"
    if report.verdict == "error" and not shown:
        yield Trouble("verdict", "verdict", True, False, "verdict", report.verdict_reason)


def _badness(line: GateLine) -> tuple[int, bool, float]:
    return WORST_FIRST.index(line.counts_as), line.severity != "error", line.margin if line.margin is not None else 0.0
