"""Findings from per-user arrays, with paired bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.quality import PerUser, changed_lists
from robustrec.audits.suites import Bootstrap
from robustrec.evaluation.bootstrap import Interval
from robustrec.evaluation.kinds import (
    ACCURACY,
    KINDS,
    kind_of,
    largest_changes,
    of_all_lists,
    parse_metric,
    within_range,
)
from robustrec.evaluation.sparse import DEGREES, FEWEST_CHANGED, Bounds, bounds_of_change, count_changed, stringer_bound
from robustrec.evaluation.statistics import (
    ONE_DRAW,
    PairedIntervals,
    differences_of_drifts,
    few_differ,
    paired_intervals,
    value_intervals,
    widened_to,
)
from robustrec.results.conditions import CLEAN_TEST, Condition
from robustrec.results.findings import CONTENT_USE, USE, Finding, Group, stratum_of
from robustrec.seeds import derive_seed
from robustrec.subject import Subject

Draws = dict[str, NDArray[np.float64]]
"""Metric name -> float64 [n_draws, n]."""


_ROUNDING = 1e-12  # values of a user that differ by less are equal but for the order of their sum
ONE_TRAINING = "one training each: the interval accounts for users only"


class Options(TypedDict):
    """Keyword arguments of the statistics functions."""

    seed: int
    level: float
    replicates: int


@dataclass(frozen=True)
class Intervals:
    """Settings of intervals: the bootstrap of the suite, the seed of its resampling, and the items of the data set.

    `largest_value` is that of an item, for metrics of values.
    """

    bootstrap: Bootstrap
    seed: int
    n_items: int = 0
    largest_value: float | None = None

    def options(self, *names: str) -> Options:
        """Return the keyword arguments of the statistics functions for one table of metrics."""
        return {
            "seed": derive_seed(self.seed, "bootstrap", *names),
            "level": self.bootstrap.level,
            "replicates": self.bootstrap.replicates,
        }

    def largest(self, metrics: Iterable[str]) -> dict[str, float | None]:
        """Return the largest change of a user by metric, see `kinds.largest_changes`."""
        return largest_changes(metrics, self.largest_value)


def unit_of(metric: str) -> str:
    """Return the unit of a metric of lists, or of the share of their places."""
    kind = KINDS.get(kind_of(metric))
    return kind.unit if kind else "share"


def _items_unsure(
    metric: str, found: PairedIntervals, base: float, intervals: Intervals, *, states: int = 1
) -> PairedIntervals:
    """Return an interval of coverage that is at least as wide as the rule of three for items of each state.

    The jackknife sees no variance where every item is in two lists or more, or in none.
    """
    if kind_of(metric) != "coverage" or not intervals.n_items:
        return found
    tail, n = (1 - intervals.bootstrap.level) / 2, found.n_users
    reach = states * n * stringer_bound(np.zeros(0), n, tail) / intervals.n_items
    drift, relative = found.drift, found.relative
    if relative is not None:
        around = relative.estimate * base
        relative = widened_to(relative, Bounds(around - reach, around + reach), base)
    return found._replace(
        drift=widened_to(drift, Bounds(drift.estimate - reach, drift.estimate + reach)), relative=relative
    )


def _of_all_lists(
    found: Mapping[str, PairedIntervals], clean: PerUser, states: Sequence[Draws], intervals: Intervals
) -> dict[str, PairedIntervals]:
    """Return the drifts of metrics of all lists with the number of lists that changed, and wider where they are few.

    One of n lists has at most k of I items, which is k/I of coverage, and 1/n of the exposure, of which a change alters
    the Gini coefficient by at most 2/n. The share of lists that change is bounded as where few users differ (`sparse`).
    """
    result = {}
    for metric in filter(of_all_lists, found):
        name, base = changed_lists(metric), abs(float(clean[metric].mean()))
        of_metric = _items_unsure(metric, found[metric], base, intervals, states=2 * len(states))
        if any(name not in state for state in states):
            result[metric] = of_metric._replace(n_changed=None)
            continue
        lists = np.maximum.reduce([state[name] for state in states])
        k, n, n_changed = parse_metric(metric).k, lists.shape[-1], count_changed(lists)
        result[metric] = of_metric._replace(n_changed=n_changed)
        if n_changed < FEWEST_CHANGED:
            share = len(states) * bounds_of_change(lists, largest=1.0, level=intervals.bootstrap.level).high
            reach = share * (n * k / intervals.n_items if kind_of(metric) == "coverage" else 2.0)
            bounds, relative = Bounds(-reach, reach), of_metric.relative
            result[metric] = result[metric]._replace(
                drift=widened_to(of_metric.drift, bounds),
                relative=relative and widened_to(relative, bounds, base),
                note="; ".join(part for part in (of_metric.note, few_differ(n_changed, n)) if part),
                degrees=min(DEGREES, of_metric.degrees),
            )
    return result


def quality_rows(subject: Subject, per_user: PerUser, intervals: Intervals) -> list[Finding]:
    """Return the clean quality of a subject on the test split, one finding per metric."""
    values = value_intervals(per_user, **intervals.options("clean"), largest=intervals.largest(per_user))
    values |= {name: _items_unsure(name, each, 1.0, intervals) for name, each in values.items() if of_all_lists(name)}
    found = {name: each._replace(drift=Interval(*within_range(name, each.drift))) for name, each in values.items()}
    return [
        value_row(subject, "clean", CLEAN_TEST, metric, interval, unit_of(metric), n_users=len(per_user[metric]))
        for metric, interval in found.items()
    ]


def value_row(
    subject: Subject,
    audit: str,
    condition: Condition,
    metric: str,
    value: float | PairedIntervals,
    unit: str,
    *,
    modality: str | None = None,
    n_users: int = 0,
    n_draws: int = 0,
    note: str = "",
) -> Finding:
    """Return the finding of a number that is not a drift, with the interval if one is given."""
    found = value if isinstance(value, PairedIntervals) else None
    return Finding(
        subject=subject,
        audit=audit,
        condition=condition,
        metric=metric,
        group=stratum_of(metric),
        modality=modality,
        quantity="value",
        clean=found.drift.estimate if found else value,
        ci_low=found.drift.low if found else None,
        ci_high=found.drift.high if found else None,
        degrees=found.degrees if found else None,
        n_users=n_users,
        n_draws=n_draws,
        unit=unit,
        note=note,
    )


def use_row(main: Finding) -> Finding:
    """Return the content use that a loss of quality with other features says: the loss as a share of the clean value.

    Args:
        main: the drift of the quality.
    """
    use, low, high = main.relative_drift, main.relative_ci_low, main.relative_ci_high
    note = "; ".join(text for text in (f"loss of {main.metric} as a share of its clean value", main.note) if text)
    row = value_row(
        main.subject, CONTENT_USE, main.condition, USE, 0.0, "share", n_users=main.n_users, n_draws=main.n_draws
    )
    return row.model_copy(
        update={
            "clean": None if use is None else 0.0 - use,
            "ci_low": None if high is None else 0.0 - high,
            "ci_high": None if low is None else 0.0 - low,
            "degrees": main.degrees,
            "note": note,
        }
    )


def drift_rows(
    subject: Subject,
    audit: str,
    condition: Condition,
    clean: PerUser,
    perturbed: Draws,
    intervals: Intervals,
    *,
    reference: str = "clean",
    note: str = "",
    idle: bool = False,
    groups: Mapping[str, Group] | None = None,
) -> list[Finding]:
    """Return the drift of every metric between two states of the same users.

    Args:
        subject: subject of the findings.
        audit: name of the audit.
        condition: the condition.
        clean: metric -> [n] before.
        perturbed: metric -> [n_draws, n] after.
        intervals: settings of the intervals; the resampling is the same for all subjects, so that they are paired.
        reference: reference of the findings: "clean", or a strategy.
        note: note of every finding.
        idle: whether the perturbation is zero (an A/A audit), so that no user can change.
        groups: metric -> group, for metrics of a group of users or items.
    """
    largest = None if idle else intervals.largest(clean)
    found = paired_intervals(clean, perturbed, **intervals.options(audit, condition.label), largest=largest)
    if not idle:
        found |= _of_all_lists(found, clean, [perturbed], intervals)
    return [
        drift_row(
            subject,
            audit,
            condition,
            metric,
            (float(clean[metric].mean()), float(perturbed[metric].mean())),
            interval,
            reference=reference,
            note=note,
            group=(groups or {}).get(metric),
        ).model_copy(update=users_who_differ(metric, clean[metric], perturbed[metric]))
        for metric, interval in found.items()
    ]


def users_who_differ(
    metric: str, clean: NDArray[np.float64], perturbed: NDArray[np.float64]
) -> dict[str, float | None]:
    """Return the share of users with a lower value than clean and with a higher one, mean over the draws.

    Args:
        metric: their metric; of others than accuracy, nothing is counted.
        clean: [n] values before.
        perturbed: [n_draws, n] values after.
    """
    if kind_of(metric) not in ACCURACY or not clean.size:
        return {}
    change = perturbed - clean
    return {
        "users_lose": float((change < -_ROUNDING).mean()),
        "users_gain": float((change > _ROUNDING).mean()),
    }


def drift_row(
    subject: Subject,
    audit: str,
    condition: Condition,
    metric: str,
    means: tuple[float, float],
    found: PairedIntervals,
    *,
    reference: str = "clean",
    note: str = "",
    group: Group | None = None,
) -> Finding:
    """Return the finding of one drift with a known interval; `means` are before and after."""
    row = _row(subject, audit, condition, metric, reference, found, note)
    row |= {"clean": means[0], "perturbed": means[1], "group": group or stratum_of(metric)}
    if relative := found.relative:
        row["relative_drift"] = relative.estimate
        row |= {"relative_ci_low": relative.low, "relative_ci_high": relative.high}
    return Finding.model_validate(row)


def without_draws(row: Finding) -> Finding:
    """Return the finding of a perturbation in which nothing is random: no other draw could differ."""
    note = "; ".join(part for part in row.note.split("; ") if part != ONE_DRAW)
    return row.model_copy(update={"n_draws": 0, "note": note})


def difference_rows(
    subject: Subject,
    reference: str,
    audit: str,
    condition: Condition,
    ours: tuple[PerUser, Draws],
    theirs: tuple[PerUser, Draws],
    intervals: Intervals,
    *,
    idle: bool = False,
) -> list[Finding]:
    """Return the difference in drift from a reference subject, on the same users and draws.

    Args:
        subject: subject of the findings.
        reference: strategy of the reference subject.
        audit: name of the audit.
        condition: the condition.
        ours: (clean [n], perturbed [n_draws, n]) by metric, of the subject.
        theirs: the same of the reference.
        intervals: settings of the intervals.
        idle: as in `drift_rows`.
    """
    largest = None if idle else intervals.largest(ours[0])
    found = differences_of_drifts(*ours, *theirs, **intervals.options(audit, condition.label), largest=largest)
    if not idle:
        found |= _of_all_lists(found, ours[0], [ours[1], theirs[1]], intervals)
    rows = []
    for metric, interval in found.items():
        row = _row(subject, audit, condition, metric, reference, interval, "")
        means = {
            "clean": float((theirs[1][metric] - theirs[0][metric]).mean()),
            "perturbed": float((ours[1][metric] - ours[0][metric]).mean()),
        }
        rows.append(Finding.model_validate(row | means))
    return rows


def _row(
    subject: Subject,
    audit: str,
    condition: Condition,
    metric: str,
    reference: str,
    found: PairedIntervals,
    note: str,
) -> dict[str, Any]:
    """Return the common fields of drift findings."""
    between_clean = audit == "clean"
    # Between two clean subjects nothing is drawn; what one of each leaves out is another training.
    caveat = found.note.replace(ONE_DRAW, ONE_TRAINING) if between_clean else found.note
    return {
        "subject": subject,
        "audit": audit,
        "condition": condition,
        "metric": metric,
        "group": stratum_of(metric),
        "reference": reference,
        "quantity": "drift",
        "drift": found.drift.estimate,
        "ci_low": found.drift.low,
        "ci_high": found.drift.high,
        "degrees": found.degrees,
        "n_users": found.n_users,
        "n_changed": found.n_changed,
        "n_draws": 0 if between_clean else found.n_draws,
        "unit": unit_of(metric),
        "note": "; ".join(text for text in (note, caveat) if text),
    }
