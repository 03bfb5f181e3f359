"""Drift under merchant edits for all users, edited items, and other users."""

from __future__ import annotations

from typing import NamedTuple

from robustrec.evaluation.kinds import kind_of
from robustrec.reading.conditions import curve_words, without_shared_end
from robustrec.reading.glance import drift_text
from robustrec.reading.summary import Summary
from robustrec.results.conditions import Condition
from robustrec.results.findings import CLEAN, VALUE_EXPOSURE, Finding
from robustrec.results.hidden import HIDDEN, crops, shown_share
from robustrec.results.numbers import NOTHING, plain
from robustrec.subject import Subject

MOST_ROWS = 60

_COLUMNS = (
    ("all users", "{metric}"),
    ("users with an edited test item", "{metric}_edited"),
    ("rank of edited items", "rank_edited"),
    ("value of edited items", "{value_exposure}_edited"),
    ("rank of popular items", "rank_head"),
    ("rank of rare items", "rank_tail"),
    ("other users", "{metric}_untouched"),
)


class EditRow(NamedTuple):
    """Drifts of one edit, at the severity with the largest loss."""

    edit: str
    severity: str
    cells: list[str]


class EditTable(NamedTuple):
    """Edits of one subject, the largest loss first; `share` is their common share of items."""

    subject: str
    share: str
    columns: list[str]
    rows: list[EditRow]
    left_out: int


def edit_table(summary: Summary, subject: Subject) -> EditTable | None:
    """Return the table of edits of a subject, or None if there are no edits."""
    edited: dict[object, dict[Condition, list[Finding]]] = {}
    for row in summary.shown:
        wanted = row.subject == subject and row.reference == CLEAN and row.quantity == "drift"
        if wanted and row.condition.kind == "edit":
            edited.setdefault(row.condition.curve, {}).setdefault(row.condition, []).append(row)
    if not edited:
        return None
    own = [row for row in summary.shown if row.subject == subject]
    hidden = {row.condition: row.clean for row in own if row.metric == HIDDEN} if crops(own) else None
    worst = [
        min(by_condition.items(), key=lambda pair: _loss(summary, pair[1], pair[0])) for by_condition in edited.values()
    ]
    worst.sort(key=lambda pair: _loss(summary, pair[1], pair[0]))
    metrics = {row.metric for _, rows in worst for row in rows}
    value = next((name.rpartition("_")[0] for name in sorted(metrics) if kind_of(name) == VALUE_EXPOSURE), "")
    named = [(title, name.format(metric=summary.metric, value_exposure=value)) for title, name in _COLUMNS]
    shown = [(title, name) for title, name in named if name in metrics]
    edits, share = without_shared_end([curve_words(condition) for condition, _ in worst])
    rows = [
        EditRow(
            edit,
            str(each.severity),
            [
                *([] if hidden is None else [_hidden(hidden.get(each))]),
                *(_cell(row) for row in _chosen(found, [name for _, name in shown])),
            ],
        )
        for edit, (each, found) in zip(edits[:MOST_ROWS], worst, strict=False)
    ]
    columns = [] if hidden is None else ["pixels hidden from the encoder"]
    columns += [f"{title}: {name}" if "@" in name else title for title, name in shown]
    return EditTable(summary.names[subject], share, columns, rows, max(0, len(worst) - MOST_ROWS))


def _loss(summary: Summary, rows: list[Finding], condition: Condition) -> tuple[float, float]:
    """Return the drift of the headline metric; where equal, the weaker severity goes first."""
    found = next((row.relative_drift for row in rows if row.metric == summary.metric), None)
    return (0.0 if found is None else found, condition.amount)


def _chosen(rows: list[Finding], metrics: list[str]) -> list[Finding | None]:
    by_metric = {row.metric: row for row in rows}
    return [by_metric.get(metric) for metric in metrics]


def _hidden(share: float | None) -> str:
    return NOTHING if share is None else shown_share(share)


def _cell(row: Finding | None) -> str:
    if row is None:
        return NOTHING
    if row.measure == "rank":
        return f"{plain(row.clean)} → {plain(row.perturbed)}"
    return drift_text(row)
