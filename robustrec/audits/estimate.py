"""Time and disk of a plan before it runs, from what stored trainings and reports of the home folder took.

Trainings: seconds per gradient evaluation and epochs of stored trainings of the same model and data. The rest: the
rates below, multiplied by the median over reports of the same data of measured by expected seconds. Without such
trainings or reports, the rates as they are, which were measured on one thread of a usual CPU; they are only a guide.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from robustrec.audits.kind import Cost
from robustrec.audits.plan import Plan, cost_of
from robustrec.datasets.interactions import TRAIN
from robustrec.home_folders import tree_size
from robustrec.results.reports_folder import MAX_BYTES, report_files
from robustrec.runs.specs import SubjectSpec, evaluations_per_step, spec_json
from robustrec.runs.stored import StoredRun, stored_runs
from robustrec.untrusted import UnreadableError, parse_json, read_text

_SECONDS_PER_GRADIENT = 0.008  # of a batch of 512, of a small model
_EPOCHS = 50
_SECONDS_PER_PAIR = 2e-8  # ranking: user × item
_SECONDS_PER_RANKING = 0.005
_SECONDS_PER_CURVATURE = 2.5e-6  # a gradient over the training graph, per interaction
_SECONDS_PER_ROW = {"tiny-blip": 0.005, "basic": 0.001, "imported": 0.0}
_BYTES_PER_ROW = {"tiny-blip": 1200, "basic": 1200, "imported": 0}
_BYTES_PER_OTHER_ROW = 6200  # two vectors of 768 numbers
_BYTES_PER_REPORT = 1_000_000
_VECTOR = 64
_NOT_MEASURING = ("training", "features", "edited content")
_MOST_READ = 12


class Step(NamedTuple):
    """A step of a plan: its work in words, its seconds and bytes; None where no rate is known."""

    name: str
    work: str
    seconds: float | None
    size: int


class Estimate(NamedTuple):
    """The steps of a plan, where the rates come from, and the free disk in bytes."""

    steps: tuple[Step, ...]
    sources: tuple[str, ...]
    free: int

    @property
    def seconds(self) -> float | None:
        """Seconds of all steps, None if one is not known."""
        known = [step.seconds for step in self.steps if step.seconds is not None]
        return sum(known) if len(known) == len(self.steps) else None

    @property
    def size(self) -> int:
        """Bytes of all steps."""
        return sum(step.size for step in self.steps)


class _Past(NamedTuple):
    """What a report measured: counts, seconds without trainings, encoder, bytes of its files."""

    cost: Cost
    seconds: float
    encoder: str
    size: int


def estimate_of(plan: Plan) -> Estimate:
    """Return time and disk of a plan, of one process."""
    cost, encoder = cost_of(plan), plan.encoder or "imported"
    runs = [run for run in stored_runs(plan.home) if _of_data(run, plan)]
    past = [each for each in _past(plan) if each.encoder == encoder or plan.encoder is None]
    train, trained_from = _training(plan, runs)
    measuring, measured_from = _measuring(plan, cost, past, encoder)
    size = round(median([each.size for each in past])) if past else _BYTES_PER_REPORT
    steps = (train, *measuring, Step("report", "per-user arrays, JSON and HTML page", 0.0, size))
    home = next((each for each in (plan.home, *plan.home.parents) if each.exists()), Path.cwd())
    return Estimate(steps, (trained_from, measured_from), shutil.disk_usage(home).free)


def _of_data(run: StoredRun, plan: Plan) -> bool:
    data = run.record.get("dataset")
    return isinstance(data, dict) and data.get("digest") == plan.dataset.digest


def _training(plan: Plan, runs: Sequence[StoredRun]) -> tuple[Step, str]:
    seconds, size, stored, measured = 0.0, 0, 0, True
    n_train = int((plan.dataset.interactions.labels == TRAIN).sum())
    trained = [spec for spec in plan.specs if spec.trains]
    for spec in trained:
        if any(_is(run, spec, plan) for run in runs):
            stored += 1
            continue
        own = [run.record for run in runs if run.record.get("model") == spec.model and run.record.get("seconds")]
        rates = [each["seconds"] / each["gradient_evaluations"] for each in own if each.get("gradient_evaluations")]
        measured = measured and bool(rates)
        batch = spec.training.batch_size
        rate = median(rates) if rates else _SECONDS_PER_GRADIENT * max(1.0, batch / 512)
        epochs = min(spec.training.max_epochs, median([each["epochs"] for each in own]) if own else _EPOCHS)
        seconds += rate * epochs * -(-n_train // batch) * evaluations_per_step(spec)
        sizes = [run.entry.size for run in runs if run.record.get("model") == spec.model]
        rows = plan.dataset.interactions.n_users + plan.dataset.interactions.n_items
        size += round(median(sizes)) if sizes else 4 * _VECTOR * rows
    most = max((spec.training.max_epochs for spec in trained), default=0)
    new = len(trained) - stored
    work = f"{new} {'training' if new == 1 else 'trainings'}, at most {most:,} epochs" if new else "no training"
    work += f"; {stored} stored" if stored else ""
    if not new:
        return Step("train", work, 0.0, 0), "trainings: stored already, or none"
    source = "stored trainings of this model and data" if measured else "shipped rates: no stored training of this data"
    return Step("train", work, seconds, size), f"trainings: {source}"


def _is(run: StoredRun, spec: SubjectSpec, plan: Plan) -> bool:
    """Return whether a stored training is that of a subject, by its settings, data and name of the features."""
    wanted: dict[str, Any] = spec_json(spec)
    same = all(run.record.get(key) == value for key, value in wanted.items())
    return same and run.features.partition("+")[0] in ("none", plan.encoder)


def _measuring(plan: Plan, cost: Cost, past: Sequence[_Past], encoder: str) -> tuple[list[Step], str]:
    rate = _SECONDS_PER_ROW.get(encoder)
    expected = _ranking_seconds(plan, cost)
    factors, rates = [], []
    for each in past:
        known = _ranking_seconds(plan, each.cost)
        if rate is not None:
            total = known + rate * each.cost.encodings
            factors += [each.seconds / total] if total else []
        elif each.cost.encodings:
            rates.append(max(0.0, each.seconds - known) / each.cost.encodings)
    factor = median(factors) if factors else 1.0
    rate = rate if rate is not None else (median(rates) if rates else None)
    encoding = 0.0 if not cost.encodings else None if rate is None else factor * rate * cost.encodings
    bytes_per_row = _BYTES_PER_ROW.get(encoder, _BYTES_PER_OTHER_ROW)
    ranked = f"{cost.rankings:,} full rankings"
    ranked += f", {cost.gradients:,} gradients" if cost.gradients else ""
    steps = [
        Step("encode", f"at most {cost.encodings:,} edited items", encoding, bytes_per_row * cost.encodings),
        Step("rank", ranked, factor * expected, 0),
    ]
    if past and (factors or rates):
        n = len(past)
        return steps, f"the rest: {n} {'report' if n == 1 else 'reports'} of this data and encoder on this machine"
    if encoding is None:
        return steps, f"the rest: shipped rates; the time of encoding is not known before a first run with {encoder}"
    return steps, "the rest: shipped rates: no report of this data and encoder in the reports folder"


def _ranking_seconds(plan: Plan, cost: Cost) -> float:
    interactions = plan.dataset.interactions
    pairs = interactions.n_users * interactions.n_items
    gradients = _SECONDS_PER_CURVATURE * len(interactions.labels) * cost.gradients
    return cost.rankings * (_SECONDS_PER_RANKING + _SECONDS_PER_PAIR * pairs) + gradients


def _past(plan: Plan) -> list[_Past]:
    """Return what the newest reports of the same data measured on the CPU; damaged ones are left out."""
    found: list[_Past] = []
    for path in sorted(report_files(plan.home), reverse=True):
        if len(found) >= _MOST_READ:
            break
        if f"-{plan.dataset.name}-" not in path.name:
            continue
        try:
            content: Any = parse_json(read_text(path, most=MAX_BYTES))
            if content["dataset"]["digest"] != plan.dataset.digest:
                continue
            if not content["environment"]["device"].startswith("cpu"):  # "cpu (x86_64)"
                continue
            costs, durations = content["costs"], content["durations"]
            seconds = sum(float(value) for stage, value in durations.items() if stage not in _NOT_MEASURING)
            counts = Cost(0, int(costs["rankings"]), int(costs["encodings"]), int(costs["gradients"]))
            encoders = [each["subject"]["features"].partition("+")[0] for each in content["subjects"]]
        except (UnreadableError, KeyError, TypeError, ValueError, AttributeError):
            continue
        files = path.parent.glob(f"{path.stem}.*")
        found.append(_Past(counts, seconds, next(iter(encoders), ""), sum(tree_size(each) for each in files)))
    return found
