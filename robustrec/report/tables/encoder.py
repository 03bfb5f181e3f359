"""Table of the encoder audit: one row per edit, with movement of each vector and contraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from robustrec.reading.conditions import edit_words
from robustrec.report.console.sheet import Page
from robustrec.results.conditions import ALL, Condition
from robustrec.results.findings import Finding
from robustrec.results.hidden import HIDDEN, HIDDEN_WORDS, crops, shown_shares
from robustrec.results.numbers import NOTHING

_ROWS = 36
_POOLED_WORDS = {"text": "mean of text edits", "image": "mean of picture edits", "both": "mean of edits of both"}

Rows = Mapping[tuple[Condition, str], Finding]
"""(condition, metric) -> row."""


class EncoderTable(NamedTuple):
    """Movement of one vector under edits, the largest first; no rows if no edit changes it."""

    encoder: str
    vector: str
    columns: list[str]
    rows: list[list[str]]
    left_out: int


class EncoderSection(NamedTuple):
    """Results of the encoder audit: one table per vector, a legend, and the distance to the clean content."""

    tables: list[EncoderTable]
    meaning: str
    signal: list[str]


def encoder_section(findings: Sequence[Finding], level: str) -> EncoderSection:
    """Return the tables of an encoder audit from its findings, which have one subject.

    Args:
        findings: its rows.
        level: the intervals' confidence level in words.
    """
    rows = {(row.condition, row.metric): row for row in findings}
    vectors = dict.fromkeys(row.modality for row in findings if row.measure == "movement" and row.modality)
    tables = [_table(findings[0].subject.features, vector, rows) for vector in vectors]
    meaning = (
        "Movement: distance between the vectors of an item before and after the edit, relative to the median distance "
        "between two items. Size: share of edited words, or RMS of pixel differences, both from 0 to "
        "1. Contraction, with "
        f"its {level} confidence interval: movement divided by the size of the edit, with the size relative to the "
        "median size between two items. Below 1 the encoder reduces the edit, and above 1 it amplifies the edit."
    )
    if crops(findings):
        meaning += f" {HIDDEN_WORDS}"
    return EncoderSection(tables, meaning if vectors else "", _signal(rows))


def print_encoder(page: Page, findings: Sequence[Finding]) -> None:
    """Print the encoder audit: edits by vector, then the distance to the clean content if it is known."""
    section = encoder_section(findings, page.level)
    for table in section.tables:
        if not table.rows:
            page.heading(f"encoder {table.encoder}, vector {table.vector}: no edit changes it")
            continue
        page.heading(f"encoder {table.encoder}, vector {table.vector}: movement under edits")
        page.table(table.columns, table.rows, numbers_from=2)
        if table.left_out:
            page.line(f"and {table.left_out} milder edits in the JSON report", indent=1)
    if section.meaning:
        page.line(section.meaning, indent=1)
    if section.signal:
        page.heading("distance to the clean content")
    for line in section.signal:
        page.line(line, indent=1)


def _table(encoder: str, vector: str, rows: Rows) -> EncoderTable:
    edits: dict[object, dict[int, Condition]] = {}
    for condition, metric in rows:
        # The mean over edits of texts and pictures has no unit of size.
        if metric == f"movement_{vector}" and condition.modality != ALL and condition.severity is not None:
            edits.setdefault(condition.curve, {})[condition.severity] = condition
    severities = sorted({severity for by_severity in edits.values() for severity in by_severity})
    moving = [(_moved(by_severity, vector, rows), by_severity) for by_severity in edits.values()]
    moving = sorted((entry for entry in moving if entry[0] > 0), key=lambda entry: -entry[0])
    cropped = crops(rows.values())
    hidden = ["hidden %"] if cropped else []
    columns = ["edit", "of", *hidden, *(f"sev {severity}" for severity in severities), "size", "contraction"]
    shown = [_cells(by_severity, severities, vector, rows, cropped=cropped) for _, by_severity in moving[:_ROWS]]
    return EncoderTable(encoder, vector, columns, shown, max(0, len(moving) - _ROWS))


def _moved(by_severity: Mapping[int, Condition], vector: str, rows: Rows) -> float:
    return rows[by_severity[max(by_severity)], f"movement_{vector}"].clean or 0.0


def _cells(
    by_severity: Mapping[int, Condition], severities: Sequence[int], vector: str, rows: Rows, *, cropped: bool
) -> list[str]:
    worst = by_severity[max(by_severity)]
    size = rows.get((worst, "edit_size"))
    edited = size.modality if size else None
    there = [by_severity.get(severity) for severity in severities]
    return [
        edit_words(worst) if worst.modality is None else _POOLED_WORDS.get(worst.modality, worst.label),
        "picture" if edited == "image" else edited or "",
        *([_hidden(there, rows)] if cropped else []),
        *(_value(rows.get((each, f"movement_{vector}")) if each else None) for each in there),
        _value(size),
        _with_interval(rows.get((worst, f"contraction_{vector}"))),
    ]


def _hidden(conditions: Sequence[Condition | None], rows: Rows) -> str:
    """Return the hidden share at each severity; nothing for an edit of texts and for means over edits."""
    found = [rows.get((condition, HIDDEN)) if condition else None for condition in conditions]
    return shown_shares(row.clean if row else None for row in found) if any(found) else ""


def _value(row: Finding | None) -> str:
    return NOTHING if row is None or row.clean is None else f"{row.clean:.2f}"


def _with_interval(row: Finding | None) -> str:
    if row is None or row.clean is None or row.ci_low is None or row.ci_high is None:
        return _value(row)
    return f"{row.clean:.2f} [{row.ci_low:.2f}, {row.ci_high:.2f}]"


def _signal(rows: Rows) -> list[str]:
    """Say the distance to the clean content, before and after the encoder, and with capfilt."""
    lines = []
    for (condition, _), row in rows.items():
        vector = row.modality
        if row.measure == "nearer_by_encoding":
            after = rows[condition, f"distance_to_clean_{vector}"]
            lines.append(
                f"{vector}: distance to the clean vector {_with_interval(after)}, distance to the clean content "
                f"{_value_of(row, after)}, in median distances: {_said(row, 'encoding')}"
            )
        if row.measure == "nearer_by_capfilt":
            after = rows[condition, f"distance_to_clean_{vector}"]
            lines.append(
                f"{vector}: distance with capfilt {_with_interval(after)}, without {_value_of(row, after)}: "
                f"{_said(row, 'the caption filter')}"
            )
    return lines


def _value_of(nearer: Finding, after: Finding) -> str:
    return f"{(nearer.clean or 0.0) + (after.clean or 0.0):.2f}"


def _said(row: Finding, what: str) -> str:
    """Say whether something brings items nearer to what they are, by the interval."""
    if row.ci_low is None or row.ci_high is None:
        return ""
    if row.ci_high < 0:
        return f"{what} increases the distance by {-(row.clean or 0.0):.2f} [{-row.ci_high:.2f}, {-row.ci_low:.2f}]"
    by = f"by {row.clean or 0.0:.2f} [{row.ci_low:.2f}, {row.ci_high:.2f}]"
    if row.ci_low > 0:
        return f"{what} reduces the distance {by}"
    return f"the effect of {what} is inconclusive, {by}"
