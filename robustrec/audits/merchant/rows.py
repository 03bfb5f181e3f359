"""Findings of the merchant audit from its measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from robustrec.audits.merchant.conditions import PARTS, EvaluationTargets, Part, Tally
from robustrec.audits.over_seeds import mean_over_seeds, seeds_words
from robustrec.audits.rows import Intervals, drift_row, value_row
from robustrec.evaluation.cells import Cells, cell_intervals, cell_intervals_over_seeds
from robustrec.evaluation.statistics import PairedIntervals
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
        for metric, (means, of_metric) in _of_part(tally, name, part).items():
            largest = None if idle else _largest_change(metric, name, tally.targets)
            found = cell_intervals(of_metric, level=intervals.bootstrap.level, largest=largest)
            rows.append(_part_row(subject, condition, metric, name, means, found))
        if name == "edited" and len(part.shifts):
            n_users, shift = len(part.clean["rank_edited"]), float(np.median(part.shifts))
            row = _value(subject, condition, "median_rank_shift_edited", shift, PLACES, draws, n_users)
            rows.append(row.model_copy(update={"group": name}))
    return rows


def _of_part(tally: Tally, name: Group, part: Part) -> dict[str, tuple[tuple[float, float], Cells]]:
    """Return metric -> (means before and after, cells), without those of fewer than two users."""
    clean, perturbed, cells = part.clean, part.perturbed, part.cells
    if name in ("edited", "untouched"):
        of_users = tally.of_users(name)
        clean, perturbed = clean | of_users[0], perturbed | of_users[1]
        cells = cells | tally.cells_of_users(name)
    return {
        metric: ((float(clean[metric].mean()), float(perturbed[metric].mean())), of_metric)
        for metric, of_metric in cells.items()
        if len(clean[metric]) >= _FEWEST
    } | _of_values(tally, name)


def _of_values(tally: Tally, name: Group) -> dict[str, tuple[tuple[float, float], Cells]]:
    cells = tally.value_cells(name)
    if cells is None or len(np.unique(cells.users)) < _FEWEST:
        return {}
    means = float(cells.weights @ cells.before), float(cells.weights @ cells.after)
    return {tally.value_exposure(name): (means, cells)}


def part_rows_over_seeds(
    tallies: Mapping[Subject, Tally],
    condition: Condition,
    findings: Sequence[Finding],
    intervals: Intervals,
    *,
    idle: bool = False,
) -> list[Finding]:
    """Return the means over training seeds of `part_rows` and of the exposure of edited items, with their intervals.

    Intervals are over seeds, users, items and draws, and those of the exposure over seeds, users and draws.

    Args:
        tallies: of each training, which differ in their seed only.
        condition: the condition.
        findings: with those of the trainings under the condition.
        intervals: settings of the intervals.
        idle: as in `drift_rows`.
    """
    subjects = sorted(tallies, key=lambda each: each.seed)
    own = [tallies[subject] for subject in subjects]
    rows: list[Finding] = []
    for name in PARTS:
        parts = [_of_part(tally, name, tally.of_part(name)) for tally in own]
        for metric in parts[0]:
            seeds = [part[metric] for part in parts]
            largest = None if idle else _largest_change(metric, name, own[0].targets)
            found = cell_intervals_over_seeds(
                [cells for _, cells in seeds], level=intervals.bootstrap.level, largest=largest
            )
            note = "; ".join(text for text in (seeds_words(len(own)), found.note) if text)
            before, after = (float(np.mean([means[state] for means, _ in seeds])) for state in (0, 1))
            rows.append(_part_row(subjects[0], condition, metric, name, (before, after), found._replace(note=note)))
    for states in ([tally.of_all({}) for tally in own], [tally.of_values() for tally in own]):
        for metric in [name for name in states[0][0] if name in (own[0].exposure, own[0].value_exposure("all"))]:
            places = [(subject, condition, metric) for subject in subjects]
            exposures = [
                next(row for row in findings if (row.subject, row.condition, row.metric) == place) for place in places
            ]
            clean = np.stack([before[metric] for before, _ in states])[:, None, :]
            moved = np.stack([perturbed[metric] for _, perturbed in states])
            rows.append(mean_over_seeds(exposures, clean, moved - clean, level=intervals.bootstrap.level))
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
    found: PairedIntervals,
) -> Finding:
    row = drift_row(subject, AUDIT, condition, metric, means, found, group=group)
    return row.model_copy(update={"unit": PLACES}) if row.measure == "rank" else row


def _value(
    subject: Subject, condition: Condition, metric: str, value: float, unit: str, draws: int, n_users: int = 0
) -> Finding:
    return value_row(subject, AUDIT, condition, metric, value, unit, n_users=n_users, n_draws=draws)
