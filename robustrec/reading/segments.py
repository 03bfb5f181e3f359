"""Segments of the users, and groups of items, whose numbers fell or rose, the largest losses first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from robustrec.evaluation.kinds import ACCURACY, kind_of
from robustrec.reading.conditions import condition_words
from robustrec.reading.names import headline
from robustrec.reading.over_seeds import shown_findings, shown_segments
from robustrec.results.findings import CLEAN, EXPOSURE, Finding
from robustrec.results.numbers import bracketed, percent
from robustrec.results.report import Report
from robustrec.subject import Subject

MOST_ROWS = 24


class SegmentSection(NamedTuple):
    """Drifts of segments.

    Attributes:
        columns: of the table.
        rows: segments of which the interval of the relative drift excludes 0, the largest losses first.
        lines: what is not shown, and what the table is.
    """

    columns: list[str]
    rows: list[list[str]]
    lines: list[str]


def segment_section(report: Report, names: Mapping[Subject, str], level: str) -> SegmentSection | None:
    """Return the segments with a drift of the main metric, or None for a report without segments."""
    drifts = [
        row
        for row in shown_segments(report)
        if row.quantity == "drift" and row.audit != CLEAN and kind_of(row.metric) in ACCURACY
    ]
    if not drifts:
        return None
    metric = headline(drifts)[0]
    drifts = [row for row in drifts if row.metric == metric]
    telling, shown, lines = _telling(drifts, "drifts of segments", level)
    overall = {_place(row): row for row in shown_findings(report) if row.metric == metric and row.reference == CLEAN}
    opposite = _opposite(telling, overall)
    if opposite:
        lines.insert(0, f"Segments move in opposite directions, which the mean over all users hides: {opposite}")
    return SegmentSection(
        ["segment", "subject", "audit", "condition", "users", f"relative drift of {metric}", level, "all users"],
        [_cells(row, names, overall.get(_place(row))) for row in shown],
        lines,
    )


def exposure_section(report: Report, names: Mapping[Subject, str], level: str) -> SegmentSection | None:
    """Return the groups of items whose exposure changed, or None for a report without groups of items."""
    drifts = [row for row in shown_segments(report) if row.quantity == "drift" and kind_of(row.metric) == EXPOSURE]
    if not drifts:
        return None
    _, shown, lines = _telling(drifts, "drifts of the exposure of groups", level)
    return SegmentSection(
        ["items", "subject", "audit", "condition", "clean", "perturbed", "relative drift", level],
        [
            [
                segment_words(row),
                names.get(row.subject, row.subject.label),
                row.audit,
                condition_words(row.condition),
                percent(row.clean),
                percent(row.perturbed),
                percent(row.relative_drift, signed=True),
                bracketed(row.relative_ci_low, row.relative_ci_high, percent, signed=True),
            ]
            for row in shown
        ],
        [
            f"{drifts[0].metric}: share of all positions in the lists with an item of the group. Positions that a group"
            " loses go to others, so that not all groups can lose.",
            *lines,
        ],
    )


def _telling(drifts: Sequence[Finding], what: str, level: str) -> tuple[list[Finding], list[Finding], list[str]]:
    """Return the drifts whose interval excludes 0, the largest losses first, those shown, and lines on the others."""
    telling = sorted((row for row in drifts if _excludes_zero(row)), key=lambda row: row.relative_drift or 0.0)
    shown = telling if len(telling) <= MOST_ROWS else _both_ends(telling)
    lines = [f"and {len(telling) - len(shown)} more in the JSON report"] if len(telling) > len(shown) else []
    lines.append(
        f"{len(drifts) - len(telling)} of {len(drifts)} {what} have a {level} interval with 0 in it, or none. Each "
        "interval is by itself: of those that do not move, some exclude 0 by chance; gates are corrected for it."
    )
    return telling, shown, lines


def segment_words(row: Finding) -> str:
    """Return the segment of a finding: "category: Shoes"."""
    return f"{row.segment_by}: {row.segment}"


def _opposite(telling: Sequence[Finding], overall: Mapping[tuple[object, ...], Finding]) -> str:
    """Return the widest pair of opposite segments of one kind and condition, where the mean shows no change."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for row in telling:
        groups.setdefault((*_place(row), row.segment_by), []).append(row)
    best, words = 0.0, ""
    for rows in groups.values():
        low, high = (pick(rows, key=lambda each: each.relative_drift or 0.0) for pick in (min, max))
        whole = overall.get(_place(low))
        first, last = low.relative_drift or 0.0, high.relative_drift or 0.0
        if first < 0 < last and whole is not None and not _excludes_zero(whole) and last - first > best:
            best = last - first
            words = (
                f"{segment_words(low)} {percent(first, signed=True)}, {segment_words(high)} "
                f"{percent(last, signed=True)}, all users {percent(whole.relative_drift, signed=True)} "
                f"({low.audit}, {condition_words(low.condition)})"
            )
    return words


def _both_ends(rows: list[Finding]) -> list[Finding]:
    """Return the largest losses, and the largest gains after them."""
    gains = [row for row in rows if (row.relative_drift or 0.0) > 0][-MOST_ROWS // 4 :]
    return [*rows[: MOST_ROWS - len(gains)], *gains]


def _cells(row: Finding, names: Mapping[Subject, str], whole: Finding | None) -> list[str]:
    return [
        segment_words(row),
        names.get(row.subject, row.subject.label),
        row.audit,
        condition_words(row.condition),
        f"{row.n_users:,}",
        percent(row.relative_drift, signed=True),
        bracketed(row.relative_ci_low, row.relative_ci_high, percent, signed=True),
        percent(whole.relative_drift if whole else None, signed=True),
    ]


def _excludes_zero(row: Finding) -> bool:
    low, high = row.relative_ci_low, row.relative_ci_high
    return low is not None and high is not None and (low > 0 or high < 0)


def _place(row: Finding) -> tuple[object, ...]:
    return row.subject, row.audit, row.condition
