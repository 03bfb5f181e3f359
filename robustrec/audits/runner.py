"""Run a suite over its subjects: train or fetch them, measure, compare, judge, and hand back one report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.measure import Clean, Yardstick
from robustrec.audits.noise import NoiseCondition, add_noise, standard_noise
from robustrec.audits.noise_audit import (
    Bench,
    Measured,
    break_point_row,
    clean_of,
    conditions_of,
    measure_condition,
    measure_trained,
    snr_rows,
    touched,
    training_conditions_of,
)
from robustrec.audits.plan import Plan
from robustrec.audits.reach import Reach, check_reach
from robustrec.audits.rows import Intervals, difference_rows, drift_rows, quality_rows
from robustrec.audits.suites import NoiseAudit
from robustrec.encoders.features import item_features
from robustrec.encoders.options import options_of
from robustrec.errors import RobustrecError, one_line
from robustrec.hardware import pick_device
from robustrec.progress import Progress, silent
from robustrec.reporting.findings import AuditStatus, Finding
from robustrec.runs.prepared import Prepared, prepare
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.store import run_key, stored_run
from robustrec.runs.subjects import obtain_subject
from robustrec.runs.trained import TrainedSubject

TRAINING_ONLY = "features shape its training only, its scores do not follow them: noise at inference changes nothing"
NOT_RETRAINED = "noise in training: not applicable, the subject is not trained here"
# Beyond this, arrays are kept as means over the draws: enough to compare two reports user by user, and they fit.
KEPT_BYTES = 512 * 2**20


@dataclass
class Ledger:
    """What a run has gathered so far.

    Attributes:
        findings: rows of the table, in the order they were measured.
        statuses: how each audit of each subject ended.
        arrays: name -> per-user arrays behind the rows: [n], or [n_draws, n] while they are few enough to keep.
        durations: seconds by stage.
        reused: keys of the runs that were in the store already.
    """

    findings: list[Finding] = field(default_factory=list)
    statuses: list[AuditStatus] = field(default_factory=list)
    arrays: dict[str, NDArray[np.float64] | NDArray[np.int64]] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)

    def keep(self, name: str, values: NDArray[np.float64]) -> None:
        """Keep the per-user values [n_draws, n] behind a row, or their mean over the draws where they are too many."""
        held = sum(array.nbytes for array in self.arrays.values())
        self.arrays[name] = values if held + values.nbytes <= KEPT_BYTES else values.mean(axis=0)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time a block takes to its stage."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.durations[stage] = self.durations.get(stage, 0.0) + time.monotonic() - started


@dataclass(frozen=True)
class Measurements:
    """A finished run, before it is judged and written.

    Attributes:
        prepared: data and features it ran on.
        subjects: trained subjects with their clean lists.
        ledger: what was found.
        bench: seeds and costs.
    """

    prepared: Prepared
    subjects: list[tuple[TrainedSubject, Clean]]
    ledger: Ledger
    bench: Bench


def measure(plan: Plan, *, progress: Progress = silent) -> Measurements:
    """Carry out a plan: encode, train, and run every audit of the suite over every subject.

    Raises:
        RobustrecError: encoding or training failed; an audit that fails becomes a status, not an exception.
    """
    ledger = Ledger()
    device = pick_device(plan.settings.device)
    with ledger.timed("features"):
        features = (
            item_features(
                plan.dataset, plan.encoder, home=plan.home, progress=progress, options=options_of(plan.settings)
            )
            if plan.encoder
            else None
        )
    prepared = prepare(plan.dataset, features, device, mask_validation=plan.suite.mask_validation)
    yardstick = Yardstick(plan.suite.metrics, plan.suite.stability, prepared.problem.n_items)
    _ = yardstick.length  # refused before training, not after
    bench = Bench(prepared, yardstick, plan.settings.seed, progress)
    with ledger.timed("training"):
        trained = [_obtain(spec, plan, bench, ledger, progress) for spec in plan.specs]
    intervals = Intervals(plan.suite.bootstrap, plan.settings.seed)
    subjects = []
    with ledger.timed("clean"):
        for subject in trained:
            clean = clean_of(subject, bench)
            subjects.append((subject, clean))
            ledger.findings += quality_rows(subject.subject, clean.per_user, intervals)
            for metric, values in clean.per_user.items():
                ledger.arrays[_array_name(subject, "clean", "test", metric)] = values
    ledger.arrays["users"] = prepared.test.users
    _compare_clean(plan, subjects, intervals, ledger)
    with ledger.timed("reach"):
        sound = [pair for pair in subjects if _reach(pair[0], plan, ledger)]
    for audit in plan.suite.audits:
        with ledger.timed(audit.kind):
            _run_noise(audit, sound, plan, bench, intervals, ledger)
    return Measurements(prepared, subjects, ledger, bench)


def _obtain(spec: SubjectSpec, plan: Plan, bench: Bench, ledger: Ledger, progress: Progress) -> TrainedSubject:
    if not spec.trains:
        return obtain_subject(spec, bench.prepared, home=plan.home)
    name = f"training {spec.model}/{spec.strategy_name} seed {spec.seed}"
    key = run_key(spec, bench.prepared)
    if stored_run(plan.home, key):
        ledger.reused.add(key)
    else:
        bench.costs.trainings += 1

    def report(stage: str, done: int, total: int, note: str = "", /) -> None:
        progress(name if stage == "training" else f"{name}: {stage}", done, total, note)

    return obtain_subject(spec, bench.prepared, home=plan.home, progress=report)


def _array_name(subject: TrainedSubject, audit: str, condition: str, metric: str) -> str:
    return "|".join([subject.subject.label.replace("/", ":"), audit, condition, metric])


def _reach(subject: TrainedSubject, plan: Plan, ledger: Ledger) -> bool:
    """Run the reach check of a subject, record its end, and tell whether its audits may count."""
    everything = ("reach", *(each.kind for each in plan.suite.audits))
    if not subject.tables:
        message = f"{subject.spec.model} reads no item features: there is nothing to perturb"
        ledger.statuses += [
            AuditStatus(audit=audit, subject=subject.subject, status="not_applicable", message=message)
            for audit in everything
        ]
        return False
    claimed = subject.scored_tables
    try:
        reaches = check_reach(subject.represent, subject.tables, seed=plan.settings.seed, claimed=claimed)
        wrong = "; ".join(_reach_fault(reach) for reach in reaches if reach.reached != reach.claimed)
    except RobustrecError as error:
        wrong = one_line(error)
    if wrong:
        ledger.statuses += [
            AuditStatus(audit=audit, subject=subject.subject, status="error", message=wrong) for audit in everything
        ]
        return False
    deaf = [modality for modality in subject.tables if modality not in claimed]
    message = f"checked: scores do not follow the {' and '.join(deaf)} features" if deaf else ""
    ledger.statuses.append(AuditStatus(audit="reach", subject=subject.subject, status="ok", message=message))
    return True


def _reach_fault(reach: Reach) -> str:
    noise = f"noise as large as the {reach.modality} features, added to them,"
    if reach.claimed:
        return (
            f"perturbation did not reach the scores: {noise} moved no score by more than {reach.change:.1e} of the"
            " scores' spread"
        )
    return f"the model declares that its scores do not follow the {reach.modality} features, yet {noise} moved them"


def _references(plan: Plan, subjects: Sequence[tuple[TrainedSubject, Clean]]) -> Iterator[tuple[int, int]]:
    """Yield (place of a subject, place of the reference it is compared with): same model and seed, other strategy."""
    places = {(s.spec.model, s.spec.seed, s.spec.strategy_name): i for i, (s, _) in enumerate(subjects)}
    for place, (subject, _) in enumerate(subjects):
        other = places.get((subject.spec.model, subject.spec.seed, plan.suite.compare_with or ""))
        if other is not None and other != place:
            yield place, other


def _compare_clean(
    plan: Plan, subjects: list[tuple[TrainedSubject, Clean]], intervals: Intervals, ledger: Ledger
) -> None:
    for place, other in _references(plan, subjects):
        ours = {metric: values[None, :] for metric, values in subjects[place][1].per_user.items()}
        ledger.findings += drift_rows(
            subjects[place][0].subject,
            "clean",
            "test",
            subjects[other][1].per_user,
            ours,
            intervals,
            reference=str(plan.suite.compare_with),
            note="difference in clean quality, same users",
        )


def _run_noise(
    audit: NoiseAudit,
    subjects: list[tuple[TrainedSubject, Clean]],
    plan: Plan,
    bench: Bench,
    intervals: Intervals,
    ledger: Ledger,
) -> None:
    for condition in conditions_of(audit):
        chosen = [pair for pair in subjects if touched(pair[0], condition)]
        measured = measure_condition(chosen, condition, audit.draws, bench) if chosen else []
        _record(chosen, measured, condition, plan, intervals, ledger)
    for condition in training_conditions_of(audit):
        draws = audit.training.draws if audit.training else 0
        trainable = [pair for pair in subjects if pair[0].spec.can_train]
        measured = [
            measure_trained(subject, clean, _Retrain(subject, plan, bench), condition, draws, bench)
            for subject, clean in trainable
        ]
        _record(trainable, measured, condition, plan, intervals, ledger)
    if audit.break_point:
        served = [pair for pair in subjects if pair[0].scored_tables]
        ledger.findings += [break_point_row(subject, clean, audit.break_point, bench) for subject, clean in served]
    ledger.statuses += [_noise_status(audit, subject) for subject, _ in subjects]


def _noise_status(audit: NoiseAudit, subject: TrainedSubject) -> AuditStatus:
    """Return how the noise audit of a subject ended, and what of it had nothing to measure there."""
    retrained = audit.training is not None and subject.spec.can_train
    left_out = [] if subject.scored_tables else [f"{subject.spec.model}: {TRAINING_ONLY}"]
    if audit.training is not None and not retrained:
        left_out.append(NOT_RETRAINED)
    measured = bool(subject.scored_tables) or retrained
    status: Literal["ok", "not_applicable"] = "ok" if measured else "not_applicable"
    return AuditStatus(audit="noise", subject=subject.subject, status=status, message="; ".join(left_out))


@dataclass(frozen=True)
class _Retrain:
    """Train a subject once more, on features with one draw of a condition's noise."""

    subject: TrainedSubject
    plan: Plan
    bench: Bench

    def __call__(self, condition: NoiseCondition, draw: int) -> TrainedSubject:
        tables = self.bench.prepared.tables
        noise = standard_noise(tables, seed=self.bench.seed, draw=draw)
        name = f"{condition.label} seed {self.bench.seed} draw {draw}"
        spec = replace(self.subject.spec, training_noise=name, checkpoint=None)
        if not stored_run(self.plan.home, run_key(spec, self.bench.prepared)):
            self.bench.costs.trainings += 1
        return obtain_subject(
            spec,
            self.bench.prepared,
            home=self.plan.home,
            tables=add_noise(tables, noise, condition),
            progress=self.bench.progress,
        )


def _record(
    subjects: list[tuple[TrainedSubject, Clean]],
    measured: list[Measured],
    condition: NoiseCondition,
    plan: Plan,
    intervals: Intervals,
    ledger: Ledger,
) -> None:
    for (subject, _), each in zip(subjects, measured, strict=True):
        ledger.findings += snr_rows(subject, condition)
        ledger.findings += drift_rows(subject.subject, "noise", condition.label, each.clean, each.perturbed, intervals)
        for metric, values in each.perturbed.items():
            ledger.keep(_array_name(subject, "noise", condition.label, metric), values)
    for place, other in _references(plan, subjects):
        ledger.findings += difference_rows(
            subjects[place][0].subject,
            str(plan.suite.compare_with),
            "noise",
            condition.label,
            (measured[place].clean, measured[place].perturbed),
            (measured[other].clean, measured[other].perturbed),
            intervals,
        )
