"""Means over the training seeds of a subject, with intervals over seeds, draws and users.

Seeds, draws and users are crossed random factors (`robustrec.evaluation.components`). The extremes of the intervals of
the seeds are not an interval of their mean, because they do not measure the variance between trainings. If few users
change in any seed, the interval is widened to the bounds of `evaluation.sparse`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.rows import use_row
from robustrec.evaluation.bootstrap import Interval
from robustrec.evaluation.components import Decomposition, decompose
from robustrec.evaluation.kinds import ACCURACY, BEYOND, VALUE, kind_of, of_all_lists, within_range
from robustrec.evaluation.sparse import DEGREES, FEWEST_CHANGED, Bounds, count_changed, few_bounds
from robustrec.evaluation.statistics import bounds_of_values, few_differ, widened_to
from robustrec.results.arrays import USERS, Arrays, array_key, both_states
from robustrec.results.conditions import CLEAN_TEST, Condition
from robustrec.results.findings import AMONG_COLD, BASELINE, CLEAN, CONTENT_USE, Finding
from robustrec.subject import Subject

_Floats = NDArray[np.float64]
_Row = tuple[str, Condition, str, str, str]


def rows_over_seeds(findings: Sequence[Finding], arrays: Arrays, *, level: float) -> tuple[Finding, ...]:
    """Return the mean of each finding over all training seeds of a model, strategy and features.

    Its subject is that of the first seed, and its note has the number of seeds.

    Args:
        findings: of the run.
        arrays: the per-user arrays behind them.
        level: confidence level of the intervals.
    """
    groups: dict[tuple[str, str, str], dict[_Row, dict[int, Finding]]] = {}
    for row in findings:
        if row.reference != BASELINE:
            key = (row.subject.model, row.subject.strategy, row.subject.features)
            name = (row.audit, row.condition, row.metric, row.quantity, row.reference)
            groups.setdefault(key, {}).setdefault(name, {})[row.subject.seed] = row
    found: list[Finding] = []
    for rows in groups.values():
        seeds = {seed for by_seed in rows.values() for seed in by_seed}
        for by_seed in rows.values():
            if len(seeds) > 1 and set(by_seed) == seeds:
                found += _over_seeds([by_seed[seed] for seed in sorted(seeds)], arrays, level)
    return tuple(found)


def segments_over_seeds(
    segments: Sequence[Finding], places: Mapping[tuple[str, str], NDArray[np.int64]], arrays: Arrays, *, level: float
) -> tuple[Finding, ...]:
    """Return the mean of each finding of a segment of the users over training seeds, see `rows_over_seeds`.

    Args:
        segments: findings of segments, whose subjects are those of a run.
        places: by kind and name of a segment, the places [m] of its users among the test users.
        arrays: the per-user arrays of all test users.
        level: confidence level of the intervals.
    """
    found: list[Finding] = []
    for part, own in places.items():
        rows = [row for row in segments if (row.segment_by, row.segment) == part]
        names = {array_key(row.subject, row.audit, row.condition, row.metric) for row in rows}
        names |= {array_key(row.subject, CLEAN, CLEAN_TEST, row.metric) for row in rows}
        of_part = {name: arrays[name][..., own] for name in (USERS, *names) if name in arrays}
        found += rows_over_seeds(rows, of_part, level=level)
    return tuple(found)


def _over_seeds(rows: Sequence[Finding], arrays: Arrays, level: float) -> Iterator[Finding]:
    tables = _differences(rows, arrays) if rows[0].reference != CLEAN else _states(rows, arrays)
    if tables is None:
        return
    row = mean_over_seeds(rows, *tables, level=level)
    yield row
    if (use := _content_use(row)) is not None:
        yield use


def mean_over_seeds(rows: Sequence[Finding], base: _Floats, effects: _Floats, *, level: float) -> Finding:
    """Return the mean of a finding over training seeds, with its interval over seeds, draws and users.

    Args:
        rows: the finding of each seed.
        base: [S, 1, n] clean values.
        effects: [S, n_draws, n] drifts, or the values.
        level: of the interval.
    """
    first = rows[0]
    factors = ("seed", "draw", "user")
    absolute = decompose(effects, factors, level=level)
    columns: dict[str, Any] = {"ci_low": absolute.mean.low, "ci_high": absolute.mean.high}
    columns["degrees"] = max(1.0, absolute.degrees_of_freedom)
    bounds, note = _few(rows, effects, level), ""
    if bounds is not None:
        reach = widened_to(absolute.mean, bounds)
        columns |= {"ci_low": reach.low, "ci_high": reach.high, "degrees": min(DEGREES, columns["degrees"])}
    if first.quantity != "value":
        columns["n_changed"] = count_changed(_by_user(effects))
        if of_all_lists(first.metric):
            counts = [row.n_changed for row in rows if row.n_changed is not None]
            columns["n_changed"] = max(counts) if len(counts) == len(rows) else None
        few = columns["n_changed"] is not None and columns["n_changed"] < FEWEST_CHANGED
        note = few_differ(columns["n_changed"], first.n_users) if bounds is not None and few else ""
    mean, clean = absolute.mean.estimate, float(base.mean())
    if first.quantity == "value":
        _, low, high = within_range(first.metric, (mean, columns["ci_low"], columns["ci_high"]))
        columns |= {"clean": mean, "ci_low": low, "ci_high": high}
    else:
        columns |= {"clean": clean, "perturbed": clean + mean, "drift": mean}
        for name in ("users_lose", "users_gain"):
            shares = [share for row in rows if (share := getattr(row, name)) is not None]
            columns[name] = float(np.mean(shares)) if len(shares) == len(rows) else None
        if clean > 0 and all(row.relative_drift is not None for row in rows):
            columns |= _relative(effects, base, mean / clean, level, bounds)
    kept = {
        name: getattr(first, name)
        for name in (
            *("subject", "audit", "condition", "metric", "group", "modality"),
            *("segment_by", "segment", "reference", "quantity", "n_users", "n_draws", "unit"),
        )
    }
    remark = "; ".join(part for part in (seeds_words(len(rows)), _seed_share(absolute), note) if part)
    return Finding(**kept, **columns, note=remark)


def seeds_words(n: int) -> str:
    """Return how many trainings a mean is over."""
    return f"mean of {n} training seeds"


def _content_use(row: Finding) -> Finding | None:
    """Return the content use that follows from the loss of quality with other features; None for another row."""
    main = row.audit == CONTENT_USE and row.quantity == "drift" and row.group is None
    if not main or kind_of(row.metric) not in ACCURACY or row.metric.endswith(AMONG_COLD) or row.relative_drift is None:
        return None
    return use_row(row)


def _few(rows: Sequence[Finding], effects: _Floats, level: float) -> Bounds | None:
    """Return bounds of the mean if few users changed in any seed or draw, else None; see `evaluation.sparse`.

    Where nothing was done (an A/A audit) no other user could differ, which the rows of the seeds say by their width.
    """
    if kind_of(rows[0].metric) == "coverage" and all(row.ci_low is not None for row in rows):
        # As unsure which items are in few lists as for the seed where that is known best.
        reaches = []
        for row in rows:
            at = (row.clean if row.quantity == "value" else row.drift) or 0.0
            reaches.append(max((row.ci_high or 0.0) - at, at - (row.ci_low or 0.0)))
        reach, mean = min(reaches), float(effects.mean())
        return Bounds(mean - reach, mean + reach)
    if rows[0].quantity != "value" and kind_of(rows[0].metric) in (*BEYOND, *VALUE):
        # The rows of the seeds know how large a change can be, and how many lists changed.
        few = any(row.n_changed is not None and row.n_changed < FEWEST_CHANGED for row in rows)
        ends = [(row.ci_low, row.ci_high) for row in rows if row.ci_low is not None and row.ci_high is not None]
        return Bounds(min(low for low, _ in ends), max(high for _, high in ends)) if few and ends else None
    if rows[0].quantity == "value" and kind_of(rows[0].metric) == "value":
        return None  # its largest value is not known here, and few lists are worth nothing
    if rows[0].quantity == "value":
        return bounds_of_values(effects.mean(axis=(0, 1))[None, :], 1.0, level)
    if all(row.ci_low == row.ci_high == 0 for row in rows):
        return None
    # A drift, or the difference of two strategies' metrics, is no larger than 1; the difference of two drifts than 2.
    of_drifts = rows[0].reference != CLEAN and rows[0].audit != CLEAN
    return few_bounds(_by_user(effects), largest=2.0 if of_drifts else 1.0, level=level)


def _by_user(effects: _Floats) -> _Floats:
    """Return effects [seeds, draws, users] as [seeds · draws, users]."""
    return effects.reshape(-1, effects.shape[-1])


def _relative(effects: _Floats, base: _Floats, ratio: float, level: float, bounds: Bounds | None) -> dict[str, float]:
    """Return a ratio of means with the interval of its linearisation (delta method), or with bounds for few users."""
    mean = float(base.mean())
    linear = (effects - ratio * base) / mean
    reach = decompose(np.broadcast_to(linear, effects.shape), ("seed", "draw", "user"), level=level).mean
    about = Interval(ratio, ratio + reach.low - reach.estimate, ratio + reach.high - reach.estimate)
    found = widened_to(about, bounds, mean)
    return {"relative_drift": ratio, "relative_ci_low": found.low, "relative_ci_high": found.high}


def _seed_share(found: Decomposition) -> str:
    seed = sum(share for name, share in found.shares.items() if "seed" in name)
    return f"{100 * seed:.0f} % of the variance is between training seeds" if found.shares else "no variance"


def _states(rows: Sequence[Finding], arrays: Arrays) -> tuple[_Floats, _Floats] | None:
    """Return (clean, effects) [seeds, draws, users] of a value of clean quality, or of a drift."""
    states = [both_states(row, arrays) for row in rows]
    if any(each is None for each in states) or (rows[0].quantity == "value" and rows[0].audit != CLEAN):
        return None
    clean = np.stack([each[0] for each in states if each is not None])[:, None, :]
    if rows[0].quantity == "value":
        return clean, clean
    moved = [each[1] for each in states if each is not None]
    return None if len({each.shape for each in moved}) > 1 else (clean, np.stack(moved) - clean)


def _differences(rows: Sequence[Finding], arrays: Arrays) -> tuple[_Floats, _Floats] | None:
    """Return (reference, difference) of a strategy from another of the same seed.

    Of clean quality, [S, 1, n] both. Of drifts, the reference's drift and the difference of the drifts [S, n_draws, n].
    """
    ours, theirs = [], []
    for row in rows:
        other = row.subject.model_copy(update={"strategy": row.reference})
        pair = [_changes(subject, row, arrays) for subject in (row.subject, other)]
        if pair[0] is None or pair[1] is None or pair[0].shape != pair[1].shape:
            return None
        ours.append(pair[0])
        theirs.append(pair[1])
    if len({each.shape for each in ours}) > 1:
        return None
    base = np.stack(theirs)
    return base, np.stack(ours) - base


def _changes(subject: Subject, row: Finding, arrays: Arrays) -> _Floats | None:
    """Return the clean quality [1, n] of a subject, or its drift [n_draws, n] under the condition of a finding."""
    clean = arrays.get(array_key(subject, CLEAN, CLEAN_TEST, row.metric))
    if clean is None or row.audit == CLEAN:
        return None if clean is None else clean[None, :]
    after = arrays.get(array_key(subject, row.audit, row.condition, row.metric))
    return None if after is None or after.shape[-1:] != clean.shape else np.atleast_2d(after) - clean
