"""Judge a finished run and create its report."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from robustrec import __version__
from robustrec.audits.against_baseline import MeasuredState, refuse_incomparable
from robustrec.audits.item_values import item_values, value_notes
from robustrec.audits.judged import judgement
from robustrec.audits.over_seeds import rows_over_seeds, segments_over_seeds
from robustrec.audits.plan import Plan
from robustrec.audits.quality import Clean, short_lists
from robustrec.audits.registry import user_audits
from robustrec.audits.rows import Intervals
from robustrec.audits.run import Measurements
from robustrec.audits.segment_groups import chosen_segments, segments_of, user_column_notes
from robustrec.audits.segments import segment_rows
from robustrec.audits.values import length_of_main
from robustrec.columns import OF_ITEMS
from robustrec.datasets.cold_start import cold_start
from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION
from robustrec.datasets.registry import Dataset
from robustrec.datasets.split_record import split_note
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.evaluation.metrics import evaluated_users
from robustrec.files import write_atomically
from robustrec.hardware import describe_environment
from robustrec.places import own_descriptor
from robustrec.reading.recommendation import with_recommendation
from robustrec.results.arrays import segment_key
from robustrec.results.findings import Finding
from robustrec.results.planned import PlannedRecord
from robustrec.results.report import (
    ArraysRecord,
    Costs,
    DatasetRecord,
    Environment,
    Filter,
    MirrorFacts,
    Report,
    SubjectRecord,
    SuiteRecord,
    TrainingRecord,
    WeightsRecord,
    write_report,
)
from robustrec.runs.prepared import Prepared
from robustrec.runs.trained import TrainedSubject
from robustrec.training.config import FEWEST_PATIENCE

ARRAYS = "users.npz"


def make_report(
    plan: Plan, run: Measurements, *, command: Sequence[str], planned: PlannedRecord | None = None
) -> tuple[Report, bytes]:
    """Judge a run's findings and return its report, with the per-user arrays as the bytes of an npz file.

    Args:
        plan: the plan of the run.
        run: the finished run.
        command: the command line, as words.
        planned: what was recorded before the run.
    """
    suite, results = plan.suite, run.results
    records = tuple(_subject_record(subject, run) for subject, _ in run.subjects)
    now = datetime.now(UTC)
    level = suite.bootstrap.level
    over_seeds = (*rows_over_seeds(results.findings, results.arrays, level=level), *results.over_seeds)
    segments, segment_means, unsegmented = _segments(plan, run)
    arrays = _npz(run)
    judged = judgement(
        suite,
        results.findings,
        results.statuses,
        _side(plan, records),
        over_seeds=(*over_seeds, *segment_means),
        segments=segments,
        arrays=results.arrays,
        baseline=plan.baseline,
        waivers=plan.waivers,
        now=now,
    )
    judged["warnings"] = (
        *([note] if (note := split_note(plan.dataset.split, len(plan.dataset.interactions.pairs(TEST)[0]))) else []),
        *_features_warnings(run),
        *judged["warnings"],
        *_warnings(run.subjects),
        *_value_notes(plan, run),
        *dict.fromkeys(results.warnings),
        *unsegmented,
    )
    report = Report(
        robustrec=__version__,
        created=now,
        command=tuple(command),
        dataset=dataset_record(plan.dataset, suite.value),
        suite=SuiteRecord(
            name=suite.name,
            digest=suite.digest,
            level=level,
            content=suite.model_dump(mode="json"),
        ),
        subjects=records,
        statuses=tuple(results.statuses),
        over_seeds=over_seeds,
        segments=segments,
        segments_over_seeds=segment_means,
        exhibits=tuple(results.exhibits),
        user_audits=user_audits(suite),
        relations=tuple(results.relations),
        seeds={"audit": run.context.seed, **{f"training {r.subject.label}": r.subject.seed for r in records}},
        environment=Environment.model_validate(describe_environment(run.prepared.device)),
        durations={stage: round(seconds, 3) for stage, seconds in results.durations.items()},
        costs=Costs(**asdict(run.context.costs)),
        arrays=ArraysRecord(file=ARRAYS, digest=hashlib.sha256(arrays).hexdigest()),
        planned=planned,
        **judged,
    )
    return with_recommendation(report), arrays


def _segments(plan: Plan, run: Measurements) -> tuple[tuple[Finding, ...], tuple[Finding, ...], list[str]]:
    """Return the findings of the segments of the suite, their means over training seeds, and lines on the others."""
    if not plan.suite.segments:
        return (), (), []
    found = segments_of(plan.suite.segments, plan.dataset, run.prepared.test.users)
    there = {each.by for each in found}
    lines = [
        f"segments by {kind}: not measured, because no item has a {kind.removeprefix(OF_ITEMS)}"
        for kind in plan.suite.segments
        if kind not in there
    ]
    lines += user_column_notes(plan.suite.segments, plan.dataset, run.prepared.test.users)
    kept, small = chosen_segments(found)
    values = item_values(plan.dataset, plan.suite.value)
    largest = None if values is None else values.largest
    intervals = Intervals(plan.suite.bootstrap, run.context.seed, plan.dataset.interactions.n_items, largest)
    rows, arrays = segment_rows(run.results.findings, run.results.arrays, kept, intervals), run.results.arrays
    places = {(each.by, each.name): each.rows for each in kept}
    members = {segment_key(each.by, each.name): run.prepared.test.users[each.rows] for each in kept}
    run.results.arrays |= members
    means = segments_over_seeds(rows, places, arrays, level=plan.suite.bootstrap.level)
    groups = run.context.metric_suite.groups
    return (
        (*rows, *run.results.segments),
        (*means, *run.results.segments_over_seeds),
        [*lines, *small, *(groups.notes if groups else ())],
    )


def _value_notes(plan: Plan, run: Measurements) -> list[str]:
    values = item_values(plan.dataset, plan.suite.value)
    clean = [(subject.subject.label, lists) for subject, lists in run.subjects]
    parts = any(audit.value_metrics for audit in plan.suite.audits)
    return list(value_notes(values, clean, length_of_main(plan.suite.metrics), parts=parts))


def check_baseline(plan: Plan) -> None:
    """Check, before any work, that the report of a plan will be comparable with its baseline.

    Raises:
        RobustrecError: it will not; the different digest is named.
    """
    if plan.baseline is not None:
        refuse_incomparable(_side(plan, ()), plan.baseline)


def _side(plan: Plan, records: Sequence[SubjectRecord]) -> MeasuredState:
    return MeasuredState(
        dataset_record(plan.dataset, plan.suite.value),
        plan.suite.model_dump(mode="json"),
        plan.settings.seed,
        {record.subject: record.parameters_digest for record in records},
        {record.subject: record.features_digest for record in records},
    )


def write_outcome(report: Report, arrays: bytes, path: Path) -> Report:
    """Write a report as JSON and return it. A regular file gets the per-user arrays beside it.

    Args:
        report: as judged.
        arrays: the bytes of its npz file.
        path: the JSON file; the arrays get its name with the ending `.users.npz`.

    Raises:
        RobustrecError: the folder cannot be written.
    """
    if own_descriptor(path) is not None or (path.exists() and not path.is_file()):
        # Nothing lies beside a pipe or a device.
        write_report(report.model_copy(update={"arrays": None}), path)
        return report
    beside = path.with_name(f"{path.stem}.{ARRAYS}")
    there = beside.exists()
    write_atomically(beside, arrays)
    if report.arrays is not None:
        report = report.model_copy(update={"arrays": report.arrays.model_copy(update={"file": beside.name})})
    try:
        write_report(report, path)
    except RobustrecError:
        if not there:  # arrays without their report are of no use
            beside.unlink(missing_ok=True)
        raise
    return report


def _npz(run: Measurements) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **run.results.arrays)
    return buffer.getvalue()


def dataset_record(dataset: Dataset, value: str | None = None) -> DatasetRecord:
    """Return the data set record of a report; `value` is the column of the values of items, if they are measured."""
    values = item_values(dataset, value)
    interactions = dataset.interactions
    train, validation, test = (int((interactions.labels == label).sum()) for label in (TRAIN, VALIDATION, TEST))
    return DatasetRecord(
        name=dataset.name,
        edition="sample" if dataset.synthetic else "full",
        synthetic=dataset.synthetic,
        digest=dataset.digest,
        n_users=interactions.n_users,
        n_items=interactions.n_items,
        n_train=train,
        n_validation=validation,
        n_test=test,
        n_test_users=len(evaluated_users(interactions, TEST)),
        item_values=None if values is None else values.digest,
        largest_value=None if values is None else values.largest,
        filters=tuple(Filter(reason=each.reason, rows=each.rows) for each in dataset.filters),
        split=dataset.split,
        cold_start=cold_start(interactions),
    )


def weights_record(used: UsedWeights) -> WeightsRecord:
    """Return the record of the weights of a network."""
    return WeightsRecord(network=used.network, name=used.name, digest=used.digest)


def _subject_record(subject: TrainedSubject, run: Measurements) -> SubjectRecord:
    record, features = subject.record, run.prepared.features
    trained = "epochs" in record  # by this tool: now, or before, in the run store
    mirror = MirrorFacts.model_validate(record["mirror"]) if trained and record["mirror"]["mirrored_steps"] else None
    return SubjectRecord(
        subject=subject.subject,
        features_digest=run.prepared.features_digest(subject.spec.shrink) if subject.tables else None,
        parameters_digest=record["parameters_digest"],
        run=subject.key,
        config={key: record[key] for key in ("model", "model_config", "training", "strategy", "seed")},
        source=record.get("source", "trained here"),
        training=_training_record(record, reused=subject.key in run.results.reused) if trained else None,
        mirror=mirror,
        notes=(*_notes(subject, run.prepared), *(run.results.notes if subject.tables else ())),
        encoder=dict(features.identity) if features and subject.tables else None,
        weights=tuple(weights_record(each) for each in (features.weights if features and subject.tables else ())),
    )


def _training_record(record: dict[str, Any], *, reused: bool) -> TrainingRecord:
    return TrainingRecord(
        epochs=record["epochs"],
        best_epoch=record["best_epoch"],
        best_validation=record["best_validation"],
        metric=record["validation_metric"],
        seconds=record["seconds"],
        n_parameters=record["n_parameters"],
        max_epochs=record["training"]["max_epochs"] if record.get("training") else None,
        cut_off=None if record.get("stopped_early") is None else not record["stopped_early"],
        gradient_evaluations=record.get("gradient_evaluations"),
        resumed=record["resumed"],
        reused=reused,
    )


def _notes(subject: TrainedSubject, prepared: Prepared) -> tuple[str, ...]:
    if not prepared.features or not subject.tables:
        return ()
    filtered = prepared.fitted[subject.spec.shrink].notes if subject.spec.shrink else ()
    return (*prepared.features.notes, *filtered)


def _features_warnings(run: Measurements) -> tuple[str, ...]:
    features = run.prepared.features
    return features.warnings if features and any(subject.tables for subject, _ in run.subjects) else ()


def _warnings(subjects: Sequence[tuple[TrainedSubject, Clean]]) -> list[str]:
    short = short_lists(subjects[0][1]) if subjects else None
    return (
        ([short] if short else [])
        + [
            f"{subject.subject.label}: training reached max_epochs ({subject.record['epochs']}) before early stopping;"
            " increase the limit with --set training.max_epochs=…"
            for subject, _ in subjects
            if not subject.record.get("stopped_early", True)
        ]
        + [
            f"{subject.subject.label}: stopped with training.patience={patience}: fewer than {FEWEST_PATIENCE}"
            " evaluations without improvement do not show that training has converged; leave patience at its default"
            for subject, _ in subjects
            if subject.record.get("stopped_early")
            and (patience := (subject.record.get("training") or {}).get("patience", FEWEST_PATIENCE)) < FEWEST_PATIENCE
        ]
    )
