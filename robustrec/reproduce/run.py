"""Run a reproduction: train, measure, and set the rows beside the tables of the paper."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from robustrec import __version__
from robustrec.audits.outcome import dataset_record, weights_record
from robustrec.comparison.budget import BUDGETS
from robustrec.comparison.run import ComparisonPlan, plan_comparison, prepared_of
from robustrec.datasets.interactions import TRAIN
from robustrec.datasets.registry import Dataset
from robustrec.errors import RobustrecError
from robustrec.hardware import describe_environment, full_precision, pick_device
from robustrec.progress import Progress, silent
from robustrec.reproduce.claims import claims_of
from robustrec.reproduce.cost import duration_words
from robustrec.reproduce.falls import falls_of
from robustrec.reproduce.improvements import improvements_of
from robustrec.reproduce.intervals import LEVEL
from robustrec.reproduce.measure import Measuring, SeedResult
from robustrec.reproduce.plan import CHOSEN, Group, Job, ReproductionPlan, What
from robustrec.reproduce.result import Reproduction, Tuned
from robustrec.reproduce.table import Failed, Found, Key, rows_found
from robustrec.reproduce.tuning import Search, tuned
from robustrec.results.report import Environment
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec, spec_json

Ahead = Callable[[ComparisonPlan, Prepared, Progress], None]
"""Trains the runs of a comparison in other processes."""


@dataclass
class State:
    """What a command has measured so far, and what it has still to train.

    Attributes:
        found: the measurements.
        failed: why a row could not be trained.
        left: trainings that were not started within the time.
        chosen: settings chosen on validation.
        tuned: the searches that chose them.
        settings: of each row, for the record.
        waiting: the trainings to come, with what their time is estimated from.
        count: number of all trainings.
    """

    found: Found = field(default_factory=dict)
    failed: Failed = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    chosen: dict[Key, CHOSEN] = field(default_factory=dict)
    tuned: list[Tuned] = field(default_factory=list)
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    waiting: dict[tuple[Key, What, int], tuple[SubjectSpec, Dataset]] = field(default_factory=dict)
    count: int = 0


@dataclass
class Command:
    """A running command: its plan, its state and its clock.

    Attributes:
        plan: the plan.
        progress: called after each epoch and training.
        ahead: trains the runs of a model in other processes, or None.
        state: what it has measured so far.
        start: when it began, in seconds.
    """

    plan: ReproductionPlan
    progress: Progress
    ahead: Ahead | None
    state: State = field(default_factory=State)
    start: float = field(default_factory=time.monotonic)

    def seconds(self, spec: SubjectSpec, dataset: Dataset) -> float:
        """Return the seconds that a training may take."""
        n_train = int((dataset.interactions.labels == TRAIN).sum())
        return self.plan.speed.seconds(spec, dataset.name, n_train, dataset.interactions.n_items)

    def allows(self, seconds: float) -> bool:
        """Return whether work of so many seconds is expected to end within the budget of time."""
        budget = self.plan.asked.budget
        return budget is None or time.monotonic() - self.start + seconds <= budget

    def report(self, name: str) -> None:
        """Report how many trainings are done, and how long the others may take."""
        waiting = self.state.waiting
        left = sum(self.seconds(spec, dataset) for spec, dataset in waiting.values())
        note = f"{name}, about {duration_words(left)} left" if waiting else name
        self.progress("trainings", self.state.count - len(waiting), self.state.count, note)


@full_precision()
def run_reproduction(
    plan: ReproductionPlan, *, command: Sequence[str], progress: Progress = silent, ahead: Ahead | None = None
) -> Reproduction:
    """Train missing runs within the budget, measure, and compare with the tables.

    Args:
        plan: the plan.
        command: the command line, as words.
        progress: called after each epoch and training.
        ahead: trains the runs of a model in other processes.

    Raises:
        RobustrecError: the home folder cannot be written.
    """
    running = Command(plan, progress, ahead)
    for group in plan.groups:
        for job, _ in plan.trainings(group):
            assert group.inputs.dataset is not None
            name = (_key(group, job.spec.model, job.spec.strategy_name), job.what, job.spec.seed)
            running.state.waiting[name] = (job.at(plan.asked.epochs), group.inputs.dataset)
    running.state.count = len(running.state.waiting)
    for group in plan.groups:
        if group.inputs.missing is None:
            _run_group(running, group)
    return _result(plan, running.state, command)


def _key(group: Group, model: str, strategy: str) -> Key:
    return group.place.name, group.kind, model, strategy


def _run_group(running: Command, group: Group) -> None:
    plan, asked, state = running.plan, running.plan.asked, running.state
    strategies = group.strategies(group.models[0])
    settings = group.settings_of(group.models[0], strategies).model_copy(update={"model": group.models})
    try:
        first = plan_comparison(settings, max(1, asked.epochs), strategies[0], progress=running.progress)
        prepared = prepared_of(first, running.progress)[1]
    except RobustrecError as error:
        for model in group.models:
            state.failed |= {_key(group, model, strategy): error for strategy in group.strategies(model)}
        return
    measuring = Measuring(prepared, plan.settings.home, asked.epochs, plan.settings.seed, asked.draws, asked.metric)
    for model in group.models:
        names = group.strategies(model)
        if not asked.trials:
            _train_ahead(running, group, model, names, prepared)
        for strategy in names:
            key = _key(group, model, strategy)
            if asked.trials:
                if not _searched(running, group, key, prepared):
                    continue
                _train_ahead(running, group, model, [strategy], prepared, state.chosen[key])
            jobs = group.jobs(model, strategy, asked.epochs, state.chosen.get(key, ()))
            state.settings["/".join(key)] = spec_json(jobs[0].spec)
            for job in jobs:
                _run_job(running, group, key, job, measuring)


def _searched(running: Command, group: Group, key: Key, prepared: Prepared) -> bool:
    """Choose the settings of a strategy on validation, and return whether the time was enough and nothing failed."""
    plan, state = running.plan, running.state

    def allows(spec: SubjectSpec) -> bool:
        return running.allows(running.seconds(spec, prepared.dataset))

    search = Search(plan.asked.trials, plan.asked.tune_epochs, plan.settings.home, plan.settings.seed, allows)
    try:
        result = tuned(group, key[2], key[3], prepared, search, running.progress)
    except RobustrecError as error:
        state.failed[key] = error
        return False
    if result is None:
        state.left.append(f"{'/'.join(key)}, trials on validation and all trainings after them")
        return False
    state.chosen[key] = result[0]
    state.tuned.append(result[1])
    return True


def _train_ahead(
    running: Command, group: Group, model: str, strategies: Sequence[str], prepared: Prepared, chosen: CHOSEN = ()
) -> None:
    """Train the runs of some strategies in other processes, if that is expected to end within the budget of time.

    What fails there fails again in this process, where it is reported.
    """
    asked = running.plan.asked
    jobs = [job for name in strategies for job in group.jobs(model, name, asked.epochs, chosen)]
    whole = sum(running.seconds(job.at(asked.epochs), prepared.dataset) for job in jobs)
    if running.ahead is None or not running.allows(whole / running.plan.settings.workers):
        return
    budgets = tuple(budget for budget in BUDGETS if any(job.what == budget for job in jobs))
    try:
        settings = group.settings_of(model, strategies, chosen)
        wanted = plan_comparison(settings, max(1, asked.epochs), strategies[0], budgets=budgets)
        running.ahead(wanted, prepared, running.progress)
    except RobustrecError:
        return


def _run_job(running: Command, group: Group, key: Key, job: Job, measuring: Measuring) -> None:
    plan, state = running.plan, running.state
    dataset = measuring.prepared.dataset
    name = f"{'/'.join(key)} seed {job.spec.seed}, {_words(job.what)}"
    stored = measuring.stored(job)
    if not stored and not running.allows(running.seconds(job.at(plan.asked.epochs), dataset)):
        state.left.append(name)
        return
    running.report(name)
    start = time.monotonic()
    try:
        noisy = job.what == "early-stop" and group.noisy(job.spec.model, job.spec.strategy_name)
        result = measuring.result(job, noisy=noisy, progress=running.progress)
    except RobustrecError as error:
        state.failed[key] = error
        return
    finally:
        state.waiting.pop((key, job.what, job.spec.seed), None)
    if not stored:
        plan.speed.learn(dataset.name, job.spec.model, result.training.gradients, time.monotonic() - start)
    results: dict[What, list[SeedResult]] = state.found.setdefault(key, {})
    results.setdefault(job.what, []).append(result)
    running.report(name)


def _words(what: What) -> str:
    return {
        "early-stop": "until early stopping",
        "epochs": "equal epochs",
        "gradients": "equal gradient evaluations",
        "noise": "trained on noisy features",
    }[what]


def _result(plan: ReproductionPlan, state: State, command: Sequence[str]) -> Reproduction:
    asked, settings = plan.asked, plan.settings
    seeds = tuple(range(settings.seed, settings.seed + settings.seeds))
    rows = rows_found(plan, state.found, state.failed, state.chosen)
    datasets = {group.inputs.dataset.digest: group.inputs.dataset for group in plan.groups if group.inputs.dataset}
    weights = {each.digest: each for group in plan.groups for each in group.inputs.weights}
    warnings = dict.fromkeys(warning for group in plan.groups for warning in group.inputs.warnings)
    return Reproduction(
        robustrec=__version__,
        command=tuple(command),
        datasets=tuple(dataset_record(each) for each in datasets.values()),
        weights=tuple(weights_record(each) for each in weights.values()),
        warnings=tuple(warnings),
        seeds=seeds,
        level=LEVEL,
        metric=asked.metric,
        epochs=asked.epochs,
        tuning="optuna" if asked.trials else "none",
        settings=state.settings,
        rows=rows,
        claims=claims_of(plan, state.found),
        improvements=improvements_of(plan, state.found),
        falls=falls_of(plan, state.found),
        tuned=tuple(state.tuned),
        left=tuple(state.left),
        environment=Environment.model_validate(describe_environment(pick_device(settings.device))),
    )
