"""Table of the encoder audit: one row per edit, with movement of each vector and contraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from robustrec.report.console.sheet import Page
from robustrec.results.conditions import Condition, edit_words, parse_condition
from robustrec.results.findings import Finding
from robustrec.results.numbers import NOTHING

_POOLED = "edits of "
_ROWS = 36
_KINDS = {"words edited": "text", "RMS of pixel": "picture", "mean of words": "both"}
"""Prefix of the unit of an edit's size -> modality of the edit."""
_POOLED_WORDS = {"text": "mean of text edits", "image": "mean of picture edits", "both": "mean of edits of both"}

Rows = Mapping[tuple[str, str], Finding]
"""(condition, metric) -> row."""


class EncoderTable(NamedTuple):
    """Movement of one vector under edits, the largest first; no rows if no edit changes it."""

    encoder: str
    vector: str
    columns: list[str]
    rows: list[list[str]]
    left_out: int


class EncoderTold(NamedTuple):
    """Results of the encoder audit: one table per vector, a legend, and the distance to the clean content."""

    tables: list[EncoderTable]
    meaning: str
    signal: list[str]


def encoder_told(findings: Sequence[Finding], level: str) -> EncoderTold:
    """Return the tables of an encoder audit from its findings, which have one subject.

    Args:
        findings: its rows.
        level: the intervals' confidence level in words.
    """
    rows = {(row.condition, row.metric): row for row in findings}
    vectors = dict.fromkeys(
        row.metric.removeprefix("movement_") for row in findings if row.metric.startswith("movement_")
    )
    tables = [_table(findings[0].subject.features, vector, rows) for vector in vectors]
    meaning = (
        "Movement: distance between the vectors of an item before and after the edit, relative to the median distance "
        "between two items. Size: share of edited words, or RMS of pixel differences, both from 0 to "
        "1. Contraction, with "
        f"its {level} confidence interval: movement divided by the size of the edit, with the size relative to the "
        "median size between two items. Below 1 the encoder reduces the edit, and above 1 it amplifies the edit."
    )
    return EncoderTold(tables, meaning if vectors else "", _signal(rows))


def print_encoder(page: Page, findings: Sequence[Finding]) -> None:
    """Print the encoder audit: edits by vector, then the distance to the clean content if it is known."""
    told = encoder_told(findings, page.level)
    for table in told.tables:
        if not table.rows:
            page.heading(f"encoder {table.encoder}, vector {table.vector}: no edit changes it")
            continue
        page.heading(f"encoder {table.encoder}, vector {table.vector}: movement under edits")
        page.table(table.columns, table.rows, numbers_from=2)
        if table.left_out:
            page.line(f"and {table.left_out} milder edits in the JSON report", indent=1)
    if told.meaning:
        page.line(told.meaning, indent=1)
    if told.signal:
        page.heading("distance to the clean content")
    for line in told.signal:
        page.line(line, indent=1)


def _table(encoder: str, vector: str, rows: Rows) -> EncoderTable:
    conditions = {name: parse_condition(name) for name, metric in rows if metric == f"movement_{vector}"}
    edits: dict[str, dict[float, str]] = {}
    for name, condition in conditions.items():
        if condition.kind == "edit":
            edits.setdefault(condition.family, {})[condition.amount or 0.0] = name
        elif name.startswith(_POOLED):
            edits.setdefault(name.partition(" severity")[0], {})[_severity(condition)] = name
    severities = sorted({severity for names in edits.values() for severity in names})
    moving = [(_moved(names, vector, rows), names) for names in edits.values()]
    moving = sorted((entry for entry in moving if entry[0] > 0), key=lambda entry: -entry[0])
    columns = ["edit", "of", *(f"sev {severity:g}" for severity in severities), "size", "contraction"]
    shown = [_cells(conditions, names, severities, vector, rows) for _, names in moving[:_ROWS]]
    return EncoderTable(encoder, vector, columns, shown, max(0, len(moving) - _ROWS))


def _severity(condition: Condition) -> float:
    return float(condition.keys.get("severity", "0"))


def _moved(names: Mapping[float, str], vector: str, rows: Rows) -> float:
    return rows[names[max(names)], f"movement_{vector}"].clean or 0.0


def _cells(
    conditions: Mapping[str, Condition],
    names: Mapping[float, str],
    severities: Sequence[float],
    vector: str,
    rows: Rows,
) -> list[str]:
    worst = names[max(names)]
    size = rows.get((worst, "edit_size"))
    condition = conditions[worst]
    return [
        edit_words(condition) if condition.kind == "edit" else _POOLED_WORDS.get(worst.split()[-2], worst),
        next((kind for unit, kind in _KINDS.items() if size and size.unit.startswith(unit)), ""),
        *(_value(rows.get((names.get(severity, ""), f"movement_{vector}"))) for severity in severities),
        _value(size),
        _with_interval(rows.get((worst, f"contraction_{vector}"))),
    ]


def _value(row: Finding | None) -> str:
    return NOTHING if row is None or row.clean is None else f"{row.clean:.2f}"


def _with_interval(row: Finding | None) -> str:
    if row is None or row.clean is None or row.ci_low is None or row.ci_high is None:
        return _value(row)
    return f"{row.clean:.2f} [{row.ci_low:.2f}, {row.ci_high:.2f}]"


def _signal(rows: Rows) -> list[str]:
    """Say the distance to the clean content, before and after the encoder, and with capfilt."""
    lines = []
    for (condition, metric), row in rows.items():
        vector = metric.removeprefix("nearer_by_encoding_")
        if vector != metric:
            after = rows[condition, f"distance_to_clean_{vector}"]
            lines.append(
                f"{vector}: distance to the clean vector {_with_interval(after)}, distance to the clean content "
                f"{_value_of(row, after)}, in median distances: {_said(row, 'encoding')}"
            )
        vector = metric.removeprefix("nearer_by_capfilt_")
        if vector != metric:
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
