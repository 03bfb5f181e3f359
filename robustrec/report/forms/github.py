"""The gates as GitHub workflow commands, and the job's step summary."""

from __future__ import annotations

import os
from pathlib import Path

from robustrec.files import unwritable
from robustrec.reading.recommendation import recommend
from robustrec.reading.summary import cautions, summary_of
from robustrec.reading.texts import shortened, visible
from robustrec.report.forms.markdown import markdown
from robustrec.report.forms.troubles import Trouble, troubles
from robustrec.results.report import Report

MOST_ANNOTATIONS = 10
"""Largest number of annotations of each kind that GitHub shows for a step."""
MOST_SUMMARY_BYTES = 1 << 20
_ROOM_TO_SPARE = 1024
_LONGEST = 2000


def github_bytes(report: Report) -> bytes:
    """Return the ten worst findings as annotations, the number of others, and notices.

    The notices have the verdict and the recommendation. One more annotation has all warnings of the report.
    """
    found = [each for each in troubles(report) if each.kind != "verdict"]  # a notice of its own
    lines = [_annotation(each) for each in found[:MOST_ANNOTATIONS]]
    if len(found) > MOST_ANNOTATIONS:
        more = len(found) - MOST_ANNOTATIONS
        level = _level(found[MOST_ANNOTATIONS])
        lines[-1] = _command(level, "and more", f"{more + 1} more findings are in the report")
    edition = " on a SAMPLE EDITION" if report.dataset.synthetic else ""
    title = f"robustrec: {report.verdict.upper()}{edition}"
    lines.append(_command("notice", title, report.verdict_reason))
    advice = recommend(summary_of(report))
    commands = "".join(f"\n{command}" for command in advice.commands)
    lines.append(_command("notice", "robustrec: recommendation", f"{advice.headline}{commands}"))
    if warnings := cautions(report):
        lines.append(_command("warning", "robustrec: warnings", "\n".join(warnings)))
    return ("\n".join(lines) + "\n").encode()


def _annotation(trouble: Trouble) -> str:
    excuse = f"; waived: {trouble.waiver}" if trouble.waiver else ""
    return _command(_level(trouble), trouble.title, f"{trouble.text}{excuse}")


def _level(trouble: Trouble) -> str:
    return "error" if trouble.decisive else "warning"


def _command(level: str, title: str, text: str) -> str:
    return f"::{level} title={escaped_property(shortened(visible(title), _LONGEST))}::{escaped_data(text)}"


def escaped_data(text: str) -> str:
    """Return a text as a workflow command takes it after the second pair of colons."""
    shown = shortened(visible(text), _LONGEST)
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escaped_property(text: str) -> str:
    """Return a text as a workflow command takes it as a property's value."""
    return escaped_data(text).replace(":", "%3A").replace(",", "%2C")


def append_step_summary(report: Report) -> bool:
    """Append the short report to the file $GITHUB_STEP_SUMMARY; return whether there is one.

    Raises:
        RobustrecError: the file cannot be written.
    """
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return False
    path = Path(name)
    try:
        there = path.stat().st_size if path.exists() else 0
        room = MOST_SUMMARY_BYTES - there - _ROOM_TO_SPARE
        if room > _ROOM_TO_SPARE:
            with path.open("a", encoding="utf-8") as file:
                file.write(markdown(report, room))
    except OSError as error:
        raise unwritable(path, error) from error
    return True
