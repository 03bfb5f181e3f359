"""The guarantee audit in sentences and as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from robustrec.reading.conditions import condition_words
from robustrec.results.conditions import Condition
from robustrec.results.findings import Finding
from robustrec.results.numbers import NOTHING, percent, plain
from robustrec.subject import Subject

GUARANTEE = "guarantee"
MOST_ROWS = 48
_COLUMNS = ("edit", "subject", "sampled", "at most", "next item", "places kept", "certified", "radius", "moved")


class GuaranteeSection(NamedTuple):
    """Results of the guarantee audit.

    Attributes:
        sentences: the statement of each condition and subject, the largest share first.
        columns: of the table.
        rows: of the table, in the same order.
        left_out: number of statements that are not shown.
        meaning: what the statements are about, and what the columns are.
        notes: what the samples do not support.
    """

    sentences: list[str]
    columns: list[str]
    rows: list[list[str]]
    left_out: int
    meaning: list[str]
    notes: list[str]


def guarantee_section(findings: Sequence[Finding], names: Mapping[Subject, str], level: str) -> GuaranteeSection:
    """Return the statements of an audit.

    Args:
        findings: its rows, at least one.
        names: short names of the subjects.
        level: the confidence level in words.
    """
    places = {(row.condition, row.subject, _kind(row)): row for row in findings}
    losing = [row for row in findings if _kind(row) == "losing"]
    losing.sort(key=lambda row: (-(row.clean or 0.0), -(row.ci_high or 0.0)))
    shown = losing[:MOST_ROWS]
    bounded = [row for row in shown if row.sampled]
    several = len({row.subject for row in losing}) > 1
    return GuaranteeSection(
        [_sentence(row, names, level, named=several) for row in bounded],
        list(_COLUMNS),
        [_cells(row, names, places) for row in shown],
        len(losing) - len(shown),
        _meaning(losing, findings, level) if losing else [],
        [f"{_place(row, names, named=several)}: {row.note}" for row in shown if row.note],
    )


def bound_text(share: float) -> str:
    """Return an upper bound as a percentage, rounded up so that it still bounds."""
    return f"{math.ceil(1000 * share - 1e-9) / 10:g} %"


def _sentence(row: Finding, names: Mapping[Subject, str], level: str, *, named: bool) -> str:
    loses = f"lose more than {100 * (row.condition.max_loss or 0):g} % of their places in the top {_k(row)}"
    where = f"under {_place(row, names, named=named)}"
    if row.condition.severity == 0:
        return f"A/A, {_place(row, names, named=named)}: {row.counted} of {row.sampled} sampled items {loses}."
    counts = f"({row.counted} of {row.sampled} sampled items)"
    if row.ci_high is None or row.ci_high >= 1:
        return f"All sampled items {loses} {where} {counts}, so no share below 100 % is an upper bound."
    return f"With {level} confidence, at most {bound_text(row.ci_high)} of the items {loses} {where} {counts}."


def _place(row: Finding, names: Mapping[Subject, str], *, named: bool) -> str:
    return _edit(row) + (f", {names.get(row.subject, row.subject.label)}" if named else "")


def _edit(row: Finding) -> str:
    return condition_words(row.condition).replace(", one item at a time", "")


def _cells(
    row: Finding, names: Mapping[Subject, str], places: Mapping[tuple[Condition, Subject, str], Finding]
) -> list[str]:
    def value(kind: str) -> float | None:
        other = places.get((row.condition, row.subject, kind))
        return other.clean if other else None

    further = value("loss_bound")
    return [
        _edit(row),
        names.get(row.subject, row.subject.label),
        f"{row.counted} of {row.sampled}" if row.sampled else NOTHING,
        bound_text(row.ci_high) if row.ci_high is not None else NOTHING,
        NOTHING if further is None else bound_text(further),
        percent(value("places_kept")),
        percent(value("places_certified")),
        plain(value("certified_radius")),
        plain(value("displacement")),
    ]


def _meaning(losing: Sequence[Finding], findings: Sequence[Finding], level: str) -> list[str]:
    row = losing[0]
    without = [each.clean for each in findings if _kind(each) == "without_place" and each.clean]
    apart = f" Up to {percent(max(without))} of the catalog holds no place and is not counted." if without else ""
    lines = [
        f"Population: the items that hold a place in the top {_k(row)} of the {row.n_users:,} audited users and that "
        f"the edit changes.{apart} Items are sampled at random without replacement; each is edited alone, with one "
        "draw of the edit, and encoded again. A statement is about pairs of an item and a draw, for this trained model "
        "and these users. Places that an item gains with other users do not count.",
        f"at most: one-sided {level} Clopper-Pearson bound of the share of items, which assumes no distribution and is "
        "conservative for a sample without replacement. next item: conformal upper bound of the share of its places "
        f"that one further item loses, which holds with a probability of {level}.",
    ]
    if any(_kind(each) == "places_certified" and each.clean is not None for each in findings):
        lines.append(
            "certified: share of the places that no displacement as long as the real edit of the item can take, in "
            "any direction, beside the share that the edit left (places kept). radius: median length of the shortest "
            "displacement that takes a place; moved: median length of the real displacement. In many dimensions edits "
            "hardly move in the worst direction, so that far fewer places are certified than kept."
        )
    elif any(_kind(each) == "places_certified" for each in findings):
        lines.append("certified: only for scores that are linear in the features of each item.")
    return lines


def _kind(row: Finding) -> str:
    return row.metric.partition("@")[0]


def _k(row: Finding) -> str:
    return row.metric.partition("@")[2]
