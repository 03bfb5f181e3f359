"""From what was measured to rows of the findings table."""

from __future__ import annotations

import numpy as np

from robustrec.audits.measure import PerUser
from robustrec.audits.merchant_measure import PARTS, Tally
from robustrec.audits.rows import Intervals, drift_rows
from robustrec.evaluation.statistics import ONE_DRAW
from robustrec.reporting.findings import Finding, Subject

AUDIT = "merchant"
PLACES = "places"
BY_USER = "the draws edit other items: the interval covers users only"
_FEWEST = 2  # users that an interval needs


def part_rows(subject: Subject, condition: str, tally: Tally, draws: int, intervals: Intervals) -> list[Finding]:
    """Return the rows of the edited items, head and tail among them, and of the untouched ones.

    A part that concerns fewer than two users has no rows.
    """
    rows: list[Finding] = []
    for name in PARTS:
        part = tally.of_part(name)
        clean, perturbed = part.clean, part.perturbed
        if name == "edited":  # the same users, resampled once for all three metrics
            of_users = tally.of_users(name)
            clean, perturbed = clean | of_users[0], perturbed | of_users[1]
        rows += _user_rows(subject, condition, clean, perturbed, draws, intervals)
        if name == "edited" and len(part.shifts):
            n_users, shift = len(part.clean["rank_edited"]), float(np.median(part.shifts))
            rows.append(_value(subject, condition, "median_rank_shift_edited", shift, PLACES, draws, n_users))
    return rows + _user_rows(subject, condition, *tally.of_users("untouched"), draws, intervals)


def share_rows(
    subject: Subject, condition: str, modality: str, touched: float, seen: float | None, draws: int
) -> list[Finding]:
    """Return the share of the chosen items that the edit changed, and of those the share whose vectors changed.

    The first has what the edit is made to change as its note: text, image or both.
    """
    rows = [
        _value(subject, condition, "touched", touched, "share of chosen items", draws).model_copy(
            update={"note": modality}
        )
    ]
    if seen is not None:
        rows.append(_value(subject, condition, "seen", seen, "share of touched items", draws))
    return rows


def _user_rows(
    subject: Subject, condition: str, clean: PerUser, perturbed: PerUser, draws: int, intervals: Intervals
) -> list[Finding]:
    if min(len(values) for values in clean.values()) < _FEWEST:
        return []
    one = {metric: values[None, :] for metric, values in perturbed.items()}
    rows = drift_rows(subject, AUDIT, condition, clean, one, intervals)
    return [_of_draws(row, draws) for row in rows]


def _of_draws(row: Finding, draws: int) -> Finding:
    """Return a row whose one column was the mean of several draws."""
    notes = [note for note in row.note.split("; ") if note and note != ONE_DRAW]
    unit = PLACES if row.metric.startswith("rank_") else row.unit
    note = "; ".join([BY_USER if draws > 1 else ONE_DRAW, *notes])
    return row.model_copy(update={"n_draws": draws, "unit": unit, "note": note})


def _value(
    subject: Subject, condition: str, metric: str, value: float, unit: str, draws: int, n_users: int = 0
) -> Finding:
    return Finding(
        subject=subject,
        audit=AUDIT,
        condition=condition,
        metric=metric,
        quantity="value",
        clean=value,
        n_users=n_users,
        n_draws=draws,
        unit=unit,
    )
