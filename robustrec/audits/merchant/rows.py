"""Findings of the merchant audit from its measurements."""

from __future__ import annotations

import numpy as np

from robustrec.audits.merchant.conditions import PARTS, EvaluationTargets, Tally
from robustrec.audits.rows import Intervals, drift_row, value_row
from robustrec.evaluation.cells import Cells, cell_intervals
from robustrec.results.conditions import Condition
from robustrec.results.findings import Finding, Group
from robustrec.results.hidden import HIDDEN
from robustrec.subject import Subject

AUDIT = "merchant"
PLACES = "places"
_FEWEST = 2  # users that an interval needs


def part_rows(
    subject: Subject, condition: Condition, tally: Tally, draws: int, intervals: Intervals, *, idle: bool = False
) -> list[Finding]:
    """Return the findings of edited items, with head and tail, and of other items.

    Their intervals are over users, items and draws. A part that concerns fewer than two users has no rows. `idle` is
    as in `drift_rows`.
    """
    rows: list[Finding] = []
    for name in PARTS:
        part = tally.of_part(name)
        clean, perturbed, cells = part.clean, part.perturbed, part.cells
        if name in ("edited", "untouched"):
            of_users = tally.of_users(name)
            clean, perturbed = clean | of_users[0], perturbed | of_users[1]
            cells = cells | tally.cells_of_users(name)
        for metric, of_metric in cells.items():
            if len(clean[metric]) >= _FEWEST:
                means = float(clean[metric].mean()), float(perturbed[metric].mean())
                rows.append(
                    _part_row(
                        subject,
                        condition,
                        metric,
                        name,
                        means,
                        of_metric,
                        None if idle else _largest_change(metric, name, tally.targets),
                        intervals,
                    )
                )
        if name == "edited" and len(part.shifts):
            n_users, shift = len(part.clean["rank_edited"]), float(np.median(part.shifts))
            row = _value(subject, condition, "median_rank_shift_edited", shift, PLACES, draws, n_users)
            rows.append(row.model_copy(update={"group": name}))
    return rows


def share_rows(
    subject: Subject,
    condition: Condition,
    modality: str,
    touched: float,
    seen: float | None,
    draws: int,
) -> list[Finding]:
    """Return the share of the chosen items that the edit changed, and of those the share whose vectors changed.

    The first has what the edit is made to change as its modality: text, image or both.
    """
    rows = [
        _value(subject, condition, "touched", touched, "share of chosen items", draws).model_copy(
            update={"note": modality, "modality": modality}
        )
    ]
    if seen is not None:
        rows.append(_value(subject, condition, "seen", seen, "share of touched items", draws))
    return rows


def hidden_row(subject: Subject, condition: Condition, modality: str, hidden: float, draws: int) -> Finding:
    """Return the share of the changed pixels that the encoder does not see; `modality` is what the edit changes."""
    row = _value(subject, condition, HIDDEN, hidden, "share of changed pixels", draws)
    return row.model_copy(update={"modality": modality})


def _largest_change(metric: str, group: Group, targets: EvaluationTargets) -> float:
    """Return the largest change of a value of a user: an item falls from the first to the last rank."""
    return float(len(targets.strata) - 1) if metric == f"rank_{group}" else 1.0


def _part_row(
    subject: Subject,
    condition: Condition,
    metric: str,
    group: Group,
    means: tuple[float, float],
    cells: Cells,
    largest: float | None,
    intervals: Intervals,
) -> Finding:
    found = cell_intervals(cells, level=intervals.bootstrap.level, largest=largest)
    row = drift_row(subject, AUDIT, condition, metric, means, found, group=group)
    return row.model_copy(update={"unit": PLACES}) if row.measure == "rank" else row


def _value(
    subject: Subject, condition: Condition, metric: str, value: float, unit: str, draws: int, n_users: int = 0
) -> Finding:
    return value_row(subject, AUDIT, condition, metric, value, unit, n_users=n_users, n_draws=draws)
