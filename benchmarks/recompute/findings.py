"""The findings of a report, from the raw arrays beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.recompute.intervals import (
    FEW,
    SAME,
    Bootstrap,
    Floats,
    Numbers,
    Paired,
    bounds_of_few,
    changed_users,
    crossed,
    stream,
    stringer,
    wider,
)

Row = Mapping[str, Any]
Arrays = Mapping[str, Floats]
QUALITY = ("recall", "precision", "ndcg", "map", "hit_rate", "mrr", "value_ndcg")
UNDISTURBED = {"overlap": 1.0, "rbo": 1.0, "changed": 0.0}
ALL_LISTS = ("coverage", "gini")
LARGEST = {"novelty": 32.0, "ild": 2.0}


class Recomputed(NamedTuple):
    """A number of a finding: as reported, and from the arrays."""

    finding: Row
    field: str
    reported: float | None
    found: float | None


def label_of(row: Row) -> str:
    """Return the subject of a finding, as arrays are named."""
    subject = row["subject"]
    return f"{subject['model']}:{subject['strategy']}:{subject['features']}:seed {subject['seed']}"


def kind(metric: str) -> str:
    """Return a metric without its list length and group."""
    return metric.partition("@")[0]


def recompute(report: Row, arrays: Arrays) -> Iterator[Recomputed]:
    """Yield every number of the findings and of their means over seeds that follows from the arrays."""
    settings = report["suite"]["content"].get("bootstrap", {})
    level, replicates = settings.get("level", 0.95), settings.get("replicates", 2000)
    seed = report["seeds"].get("audit", 0)
    items = report["dataset"]["n_items"]
    for row in report["findings"]:
        states = _states(row, arrays)
        if states is None or row["reference"] == "baseline":
            continue
        names = ["clean"] if row["audit"] == "clean" and row["reference"] == "clean" else []
        names = names or [row["audit"], row["condition"]["label"]]
        bootstrap = Bootstrap(stream(seed, "bootstrap", *names), replicates, level)
        yield from _compared(row, _numbers(row, states, bootstrap, items))
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in report["findings"]:
        groups.setdefault(_without_seed(row), []).append(row)
    for row in report["over_seeds"]:
        trainings = sorted(groups[_without_seed(row)], key=lambda each: int(each["subject"]["seed"]))
        found = [_states(each, arrays) for each in trainings]
        if all(each is not None for each in found) and kind(row["metric"]) not in (*ALL_LISTS, *LARGEST, "value"):
            yield from _compared(row, _mean_over_seeds(row, trainings, [each for each in found if each], level))


def _without_seed(row: Row) -> tuple[str, ...]:
    subject = row["subject"]
    own = (subject["model"], subject["strategy"], subject["features"])
    return (*own, row["audit"], row["condition"]["label"], row["metric"], row["quantity"], row["reference"])


class _States(NamedTuple):
    """Values of the users: before [n], after [D, n]; of a comparison with a strategy those of both subjects."""

    before: Floats
    after: Floats
    their_before: Floats | None = None
    their_after: Floats | None = None


def _states(row: Row, arrays: Arrays) -> _States | None:
    own = _of_subject(row, label_of(row), arrays)
    if row["reference"] == "clean" or own is None:
        return own
    other = {**row, "subject": {**row["subject"], "strategy": row["reference"]}}
    theirs = _of_subject(row, label_of(other), arrays)
    return None if theirs is None else _States(*own[:2], *theirs[:2])


def _of_subject(row: Row, label: str, arrays: Arrays) -> _States | None:
    metric = row["metric"]
    clean = arrays.get(f"{label}|clean|test|{metric}")
    if row["audit"] == "clean":
        return None if clean is None else _States(clean, clean[None])
    after = arrays.get(f"{label}|{row['audit']}|{row['condition']['label']}|{metric}")
    if after is None:
        return None
    after = np.atleast_2d(after)
    if clean is None:
        if kind(metric) not in UNDISTURBED:
            return None
        clean = np.full(after.shape[1], UNDISTURBED[kind(metric)])
    return _States(clean, after)


def _numbers(row: Row, states: _States, bootstrap: Bootstrap, items: int) -> dict[str, float | None]:
    before, after, their_before, their_after = states
    metric = row["metric"]
    largest = None if kind(metric) in (*ALL_LISTS, "value") else LARGEST.get(kind(metric), 1.0)
    idle = row["ci_low"] == 0 == row["ci_high"] and not changed_users(after - before)
    if row["quantity"] == "value":
        found = bootstrap.paired(before[None], None, largest, values=True)
        low, high = found.drift.low, found.drift.high
        if kind(metric) in ALL_LISTS:
            low, high = _of_range(metric, found, items, len(before), bootstrap.level)
        return {"clean": found.drift.estimate, "ci_low": low, "ci_high": high, "degrees": found.drift.degrees}
    if their_before is None or their_after is None:
        found = bootstrap.paired(after - before, before, None if idle else largest)
        means = float(before.mean()), float(after.mean())
    elif row["audit"] == "clean":
        found = bootstrap.paired(before[None] - their_before, their_before, largest)
        means = float(their_before.mean()), float(before.mean())
    else:
        ours, theirs = after - before, their_after - their_before
        most = largest if largest is None or np.abs(before - their_before).max() <= SAME else 2 * largest
        idle = row["ci_low"] == 0 == row["ci_high"] and not changed_users(ours - theirs)
        found = bootstrap.paired(ours - theirs, before, None if idle else most)
        means = float(theirs.mean()), float(ours.mean())
    if kind(metric) in ALL_LISTS:
        return {"clean": means[0], "perturbed": means[1], "drift": found.drift.estimate}
    kept = len(after) if row["audit"] != "clean" else 0
    if row["n_draws"] > 1 and kept == 1:  # the means over the draws, which were too large to keep
        return {"clean": means[0], "perturbed": means[1], "drift": found.drift.estimate}
    numbers = _drift_numbers(found.drift, found.relative, means) | {"n_changed": found.changed}
    if row["reference"] != "clean" and row["audit"] != "clean":
        numbers = {name: value for name, value in numbers.items() if not name.startswith("relative")}
    if kind(metric) in QUALITY[:6] and (row["reference"] == "clean" or row["audit"] == "clean"):
        change = after - before if their_before is None else before[None] - their_before
        numbers |= {"users_lose": float((change < -SAME).mean()), "users_gain": float((change > SAME).mean())}
    return numbers


def _drift_numbers(drift: Numbers, relative: Numbers | None, means: tuple[float, float]) -> dict[str, float | None]:
    return {
        "clean": means[0],
        "perturbed": means[1],
        "drift": drift.estimate,
        "ci_low": drift.low,
        "ci_high": drift.high,
        "relative_drift": relative and relative.estimate,
        "relative_ci_low": relative and relative.low,
        "relative_ci_high": relative and relative.high,
        "degrees": drift.degrees,
    }


def _of_range(metric: str, found: Paired, items: int, n: int, level: float) -> tuple[float, float]:
    """Return the interval of a value of all lists, within [0, 1]; coverage by the rule of three of items at least."""
    ends = found.drift.low, found.drift.high
    if kind(metric) == "coverage":
        reach = n * stringer([], n, (1 - level) / 2) / items
        ends = wider(ends, (found.drift.estimate - reach, found.drift.estimate + reach))
    return max(0.0, ends[0]), min(1.0, ends[1])


def _mean_over_seeds(row: Row, rows: Sequence[Row], states: Sequence[_States], level: float) -> dict[str, float | None]:
    """Return the mean over trainings of a finding, by variance components of seed, draw and user."""
    of_drifts = row["reference"] != "clean" and row["audit"] != "clean"
    if row["reference"] == "clean":
        base = np.stack([each.before for each in states])[:, None]
        effects = base if row["quantity"] == "value" else np.stack([each.after for each in states]) - base
    elif of_drifts:
        base = np.stack([each.their_after - each.their_before for each in states])  # type: ignore[operator]
        effects = np.stack([each.after - each.before for each in states]) - base
    else:
        base = np.stack([each.their_before for each in states if each.their_before is not None])[:, None]
        effects = np.stack([each.before for each in states])[:, None] - base
    found, _ = crossed(effects, level)
    flat = effects.reshape(-1, effects.shape[-1])
    few = None
    still = row["quantity"] != "value" and all(each["ci_low"] == 0 == each["ci_high"] for each in rows)
    if row["quantity"] == "value":
        mean_of_user = effects.mean(axis=(0, 1))[None]
        if changed_users(mean_of_user) < FEW and mean_of_user.min() >= 0:
            few = 0.0, bounds_of_few(mean_of_user, 1.0, level)[1]
    elif changed_users(flat) < FEW and not still:
        few = bounds_of_few(flat, 2.0 if of_drifts else 1.0, level)
    low, high = wider((found.low, found.high), few)
    degrees = max(1.0, found.degrees) if few is None else min(8.0, max(1.0, found.degrees))
    if row["quantity"] == "value":
        return {"clean": found.estimate, "ci_low": low, "ci_high": high, "degrees": degrees}
    clean = float(base.mean())
    numbers: dict[str, float | None]
    numbers = {"clean": clean, "perturbed": clean + found.estimate, "drift": found.estimate, "degrees": degrees}
    numbers |= {"ci_low": low, "ci_high": high, "n_changed": changed_users(flat)}
    if clean > 0 and all(each["relative_drift"] is not None for each in rows):
        ratio = found.estimate / clean
        line, _ = crossed(np.broadcast_to((effects - ratio * base) / clean, effects.shape), level)
        ends = wider((ratio + line.low - line.estimate, ratio + line.high - line.estimate), few, clean)
        numbers |= {"relative_drift": ratio, "relative_ci_low": ends[0], "relative_ci_high": ends[1]}
    return numbers


def _compared(row: Row, numbers: Mapping[str, float | None]) -> Iterator[Recomputed]:
    for field, found in numbers.items():
        yield Recomputed(row, field, row[field], found)
