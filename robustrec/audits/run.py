"""Run a suite over its subjects: train or load them, measure and compare."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from robustrec.audits.content_use import measure_content_use
from robustrec.audits.context import AuditContext, clean_of
from robustrec.audits.item_groups import group_rows, is_of_group, item_groups
from robustrec.audits.item_values import item_values
from robustrec.audits.over_seeds import rows_over_seeds
from robustrec.audits.plan import Plan
from robustrec.audits.quality import Clean, metric_suite_of
from robustrec.audits.reach.check import refuse_zero_tables, sampled_scores
from robustrec.audits.reach.run import reach_again, reach_first
from robustrec.audits.results import AuditResults, Work, references
from robustrec.audits.rows import Intervals, drift_rows, quality_rows
from robustrec.audits.run_tasks import InProcess, run_audit, tasks_of
from robustrec.audits.strata import cold_user_rows, users_of_strata
from robustrec.audits.tasks import Engine
from robustrec.encoders.features import item_features
from robustrec.encoders.options import options_of
from robustrec.hardware import full_precision, pick_device
from robustrec.progress import Progress, silent
from robustrec.results.arrays import array_key
from robustrec.results.conditions import CLEAN_TEST
from robustrec.results.findings import CLEAN
from robustrec.runs.distinct import identity_of, indistinct
from robustrec.runs.edit_pools import make_pools
from robustrec.runs.fitting import fitted_filters
from robustrec.runs.prepared import Prepared, edit_source, prepare
from robustrec.runs.specs import SubjectSpec, check_modalities, modalities_read
from robustrec.runs.store import run_key, stored_run
from robustrec.runs.subjects import obtain_subject
from robustrec.runs.trained import TrainedSubject


@dataclass(frozen=True)
class Measurements:
    """A finished run, before it is judged and written.

    Attributes:
        prepared: data and features it ran on.
        subjects: trained subjects with their clean lists.
        results: its results.
        context: seeds and costs.
    """

    prepared: Prepared
    subjects: list[tuple[TrainedSubject, Clean]]
    results: AuditResults
    context: AuditContext


def work_of(plan: Plan, progress: Progress = silent) -> Work:
    """Encode and prepare the data of a plan, and return what its audits work with, in any process.

    Raises:
        RobustrecError: encoding failed, or the features of a modality are all zero.
    """
    results = AuditResults()
    with results.timed("features"):
        features = (
            item_features(
                plan.dataset, plan.encoder, home=plan.home, progress=progress, options=options_of(plan.settings)
            )
            if plan.encoder
            else None
        )
        fitted = fitted_filters(plan.specs, plan.dataset, features, edit_source(plan.settings), progress)
    prepared = prepare(
        plan.dataset,
        features,
        pick_device(plan.settings.device),
        mask_validation=plan.suite.mask_validation,
        users=plan.suite.users,
        fitted=fitted,
        edits=edit_source(plan.settings),
    )
    if features is not None:
        check_modalities(plan.specs, features.tables)
    for spec in plan.specs:
        refuse_zero_tables(modalities_read(spec.model, prepared.tables))
    values = item_values(plan.dataset, plan.suite.value)
    metric_suite = metric_suite_of(
        plan.suite.metrics, plan.suite.stability, prepared, None if values is None else values.values
    )
    groups = item_groups(plan.suite.segments, plan.dataset, plan.suite.metrics)
    context = AuditContext(prepared, replace(metric_suite, groups=groups), plan.settings.seed, progress)
    largest = None if values is None else values.largest
    intervals = Intervals(plan.suite.bootstrap, plan.settings.seed, prepared.problem.n_items, largest)
    return Work(plan, context, intervals, results)


@full_precision()
def measure(plan: Plan, *, progress: Progress = silent, engine: Engine | None = None) -> Measurements:
    """Run a plan: encode, train, and run every audit of the suite over every subject.

    Raises:
        RobustrecError: encoding or training failed; an audit that fails becomes a status, not an exception.
    """
    engine = engine or InProcess()
    work = work_of(plan, progress)
    results, context, intervals, prepared = work.results, work.context, work.intervals, work.context.prepared
    with results.timed("edited content"):
        make_pools(plan.specs, prepared, progress)
    with results.timed("training"):
        ahead = engine.train(plan, prepared, progress)
        trained = [
            _obtain(spec, plan, context, results, progress, trained=place in ahead)
            for place, spec in enumerate(plan.specs)
        ]
    results.notes += prepared.searches
    subjects = []
    with results.timed("clean"):
        for subject in trained:
            clean = clean_of(subject, context)
            subjects.append((subject, clean))
            results.findings += quality_rows(subject.subject, clean.per_user, intervals)
            cold_users = plan.dataset.interactions.cold_users
            results.findings += cold_user_rows(subject.subject, plan.suite.metrics, cold_users)
            for metric, values in clean.per_user.items():
                results.arrays[array_key(subject.subject, CLEAN, CLEAN_TEST, metric)] = values
    results.arrays["users"] = prepared.test.users
    results.arrays |= users_of_strata(prepared, context.metric_suite.strata)
    _compare_clean(plan, subjects, intervals, results)
    with results.timed("content use"):
        for subject, clean in subjects:
            measure_content_use(subject, clean, work)
    with results.timed("reach"):
        equal = indistinct([identity_of(subject, _scores(subject, prepared)) for subject, _ in subjects])
        checks = {
            place: reach_first(subject, work, equal.get(place, "")) for place, (subject, _) in enumerate(subjects)
        }
        sound = [subjects[place] for place, check in checks.items() if check]
    engine.begin(tasks_of(plan), sound, work)
    for audit in plan.suite.audits:
        with results.timed(audit.kind):
            run_audit(audit, sound, work, engine)
    with results.timed("reach"):
        faults = engine.end()
        for place, check in checks.items():
            if check:
                reach_again(subjects[place][0], check, work, faults.get(place, ""))
    _separate_groups(context, results, plan.suite.bootstrap.level)
    return Measurements(prepared, subjects, results, context)


def _separate_groups(context: AuditContext, results: AuditResults, level: float) -> None:
    """Move the findings of groups of items to the segments, and drop what nothing reads any more."""
    if context.metric_suite.groups is None:
        return
    groups = context.metric_suite.groups
    results.segments += group_rows(results.findings, groups)
    own = [row for row in results.findings if is_of_group(row.metric)]
    results.segments_over_seeds += group_rows(rows_over_seeds(own, results.arrays, level=level), groups)
    results.findings = [row for row in results.findings if not is_of_group(row.metric)]
    results.over_seeds = [row for row in results.over_seeds if not is_of_group(row.metric)]
    results.arrays = {
        name: values for name, values in results.arrays.items() if not is_of_group(name.rpartition("|")[2])
    }


def _obtain(
    spec: SubjectSpec, plan: Plan, context: AuditContext, results: AuditResults, progress: Progress, *, trained: bool
) -> TrainedSubject:
    if not spec.trains:
        return obtain_subject(spec, context.prepared, home=plan.home)
    name = f"training {spec.label}"
    key = run_key(spec, context.prepared)
    if stored_run(plan.home, key) and not trained:
        results.reused.add(key)
    else:
        context.costs.trainings += 1

    def report(stage: str, done: int, total: int, note: str = "", /) -> None:
        progress(name if stage == "training" else f"{name}: {stage}", done, total, note)

    return obtain_subject(spec, context.prepared, home=plan.home, progress=report)


def _scores(subject: TrainedSubject, prepared: Prepared) -> Tensor:
    """Return some clean scores of a subject, to identify equal subjects."""
    return sampled_scores(subject.represent(), prepared.test.users)


def _compare_clean(
    plan: Plan, subjects: list[tuple[TrainedSubject, Clean]], intervals: Intervals, results: AuditResults
) -> None:
    for place, other in references(plan, subjects):
        ours = {metric: values[None, :] for metric, values in subjects[place][1].per_user.items()}
        results.findings += drift_rows(
            subjects[place][0].subject,
            "clean",
            CLEAN_TEST,
            subjects[other][1].per_user,
            ours,
            intervals,
            reference=str(plan.suite.compare_with),
            note="difference in clean quality, same users",
        )
