"""Edits × models: the change of quality under each edit, filled only where its interval excludes 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from robustrec.reading.conditions import MEANS, curve_words, edit_words, without_shared_end
from robustrec.reading.names import headline
from robustrec.reading.summary import Summary
from robustrec.report.html.charts.cells import shade, strip
from robustrec.report.html.charts.elements import element, mark
from robustrec.report.html.charts.intervals import includes_zero
from robustrec.report.html.drift_figures import quality_rows
from robustrec.report.html.plots import drawn_subjects, groups_of, name_of
from robustrec.results.findings import Finding
from robustrec.results.numbers import bracketed, tenths
from robustrec.subject import Subject

_MIDDLE = 3
MOST_EDITS = 80


class Cell(NamedTuple):
    """One edit on one model.

    Attributes:
        kind: class of its shade, empty if the interval includes 0.
        value: change at the shown severity; empty if it was not measured.
        interval: its interval.
        users: shares of users who lose and who gain; empty if not counted.
        strip: squares of all severities.
        listed: the changes at the other severities, in words.
    """

    kind: str
    value: str = ""
    interval: str = ""
    users: str = ""
    strip: Markup = Markup("")
    listed: str = ""


class EditRow(NamedTuple):
    """One edit: words, what it touches, id of its name, and a cell for each model."""

    words: str
    touches: str
    edit: str
    cells: tuple[Cell, ...]


class Heatmap(NamedTuple):
    """Edits of a share of the items on up to four models.

    Attributes:
        title: what the edits have in common, and which part of the models.
        severity: the shown severity.
        severities: all of them.
        metric: whose change it is.
        subjects: mark and name of each model.
        rows: edits with a significant change on any model, the largest mean loss first.
        others: the other edits.
        counted: whether shares of users are known.
    """

    title: str
    severity: int
    severities: tuple[int, ...]
    metric: str
    subjects: tuple[tuple[Markup, str], ...]
    rows: tuple[EditRow, ...]
    others: tuple[EditRow, ...]
    counted: bool


def heatmaps(summary: Summary) -> list[Heatmap]:
    """Return a table for each audit, share of edited items and setting of the graphs, four models each."""
    found: list[Heatmap] = []
    for audit in summary.audits:
        rows = [
            row
            for row in quality_rows(summary, audit)
            if row.condition.kind == "edit" and row.condition.share is not None and row.condition.severity
        ]
        metric = summary.metric if any(row.metric == summary.metric for row in rows) else (headline(rows) or [""])[0]
        by_setting: dict[tuple[object, ...], list[Finding]] = {}
        for row in rows:
            if row.metric == metric:
                by_setting.setdefault((row.condition.share, row.condition.graphs), []).append(row)
        for own in by_setting.values():
            found += [_heatmap(summary, own, group) for group in groups_of(drawn_subjects(summary, own))]
    return found


def _heatmap(summary: Summary, rows: Sequence[Finding], group: Sequence[Subject]) -> Heatmap:
    own = [row for row in rows if row.subject in group]
    severities = tuple(sorted({row.condition.severity or 0 for row in own}))
    severity = _MIDDLE if _MIDDLE in severities else severities[-1]
    by_edit: dict[str, dict[tuple[Subject, int], Finding]] = {}
    for row in own:
        by_edit.setdefault(row.condition.edit or "", {})[row.subject, row.condition.severity or 0] = row
    touches = _touched(summary)

    def loss(edit: str) -> float:
        shown = [row.relative_drift for (_, at), row in by_edit[edit].items() if at == severity]
        return sum(each or 0.0 for each in shown) / max(1, len(shown))

    made = []
    for edit in sorted(by_edit, key=lambda each: (loss(each), each))[:MOST_EDITS]:
        cells = tuple(_cell(by_edit[edit], subject, severity, severities, mean=edit in MEANS) for subject in group)
        some = next(iter(by_edit[edit].values())).condition
        made.append(EditRow(edit_words(some), touches.get(edit, ""), edit, cells))
    words = [curve_words(row.condition) for row in own]
    shared = without_shared_end(words)[1] or words[0].partition(", ")[2]
    marks = tuple((_mark(style), name_of(summary, subject)) for style, subject in enumerate(group))
    sure = tuple(row for row in made if any(cell.kind for cell in row.cells))
    counted = any(row.users_lose is not None for row in own)
    return Heatmap(
        shared, severity, severities, own[0].metric, marks, sure, tuple(row for row in made if row not in sure), counted
    )


def _mark(style: int) -> Markup:
    return element("svg", mark(style, 6, 6), width=12, height=12, aria_hidden="true")


def _cell(
    rows: dict[tuple[Subject, int], Finding],
    subject: Subject,
    severity: int,
    severities: Sequence[int],
    *,
    mean: bool,
) -> Cell:
    at = [rows.get((subject, each)) for each in severities]
    listed = "; ".join(
        f"severity {each}: {_numbers(row)}"
        for each, row in zip(severities, at, strict=True)
        if row is not None and each != severity
    )
    shown = rows.get((subject, severity))
    squares = strip([shade_of(row) for row in at]) if len(severities) > 1 else Markup("")
    if shown is None:
        return Cell("", strip=squares, listed=listed)
    value, _, interval = _numbers(shown).partition(" [")
    users = "" if mean or shown.users_lose is None else _users(shown)
    return Cell(shade_of(shown), value, f"[{interval}" if interval else "", users, squares, listed)


def shade_of(row: Finding | None) -> str:
    """Return the shade of a relative drift: none where its interval includes 0."""
    if row is None:
        return ""
    sure = not includes_zero(row.relative_ci_low, row.relative_ci_high)
    return shade(row.relative_drift, significant=sure)


def _numbers(row: Finding) -> str:
    def number(value: float, *, signed: bool = False) -> str:
        return tenths(value, signed=signed)

    value = tenths(row.relative_drift, signed=True)
    return f"{value} {bracketed(row.relative_ci_low, row.relative_ci_high, number, signed=True)}".rstrip()


def _users(row: Finding) -> str:
    lose, gain = (100 * (share or 0.0) for share in (row.users_lose, row.users_gain))
    return f"{lose:.0f} % lose, {gain:.0f} % gain"


def _touched(summary: Summary) -> dict[str, str]:
    """Return edit -> what it changes in words."""
    words = {"text": "text", "image": "picture", "both": "text and picture"}
    return {
        row.condition.edit: words.get(row.modality or "", row.modality or "")
        for row in summary.report.findings
        if row.measure == "touched" and row.condition.edit is not None and row.modality
    }
