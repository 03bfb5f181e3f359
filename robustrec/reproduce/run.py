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
from robustrec.errors import RobustrecError
from robustrec.hardware import describe_environment, full_precision, pick_device
from robustrec.progress import Progress, silent
from robustrec.reproduce.claims import claims_of
from robustrec.reproduce.cost import duration_words
from robustrec.reproduce.falls import falls_of
from robustrec.reproduce.improvements import improvements_of
from robustrec.reproduce.intervals import LEVEL
from robustrec.reproduce.measure import Measuring, SeedResult
from robustrec.reproduce.plan import CHOSEN, Asked, Group, Job, ReproductionPlan, What
from robustrec.reproduce.result import Reproduction, Tuned
from robustrec.reproduce.table import Failed, Found, Key, rows_found
from robustrec.reproduce.tuning import Search, tuned
from robustrec.results.report import Environment
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec, spec_json

Ahead = Callable[[ComparisonPlan, Prepared, Progress], None]
"""Trains the runs of a comparison in other processes."""


@dataclass
class Clock:
    """The time that a command has used, and what is left to do.

    Attributes:
        budget: seconds after which no further training starts; None for no limit.
        left: expected seconds of all trainings that are not done.
    """

    budget: float | None
    left: float = 0.0
    _start: float = field(default_factory=time.monotonic)

    def allows(self, seconds: float) -> bool:
        """Return whether a training of so many seconds is expected to end within the budget."""
        return self.budget is None or time.monotonic() - self._start + seconds <= self.budget


@dataclass
class State:
    """What a command has measured so far."""

    found: Found = field(default_factory=dict)
    failed: Failed = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    chosen: dict[Key, CHOSEN] = field(default_factory=dict)
    tuned: list[Tuned] = field(default_factory=list)
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    done: int = 0


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
    state, clock = State(), Clock(plan.asked.budget)
    every = {id(group): list(plan.trainings(group)) for group in plan.groups}
    clock.left = sum(seconds for own in every.values() for _, seconds in own) + sum(map(plan.searches, plan.groups))
    n_jobs = sum(map(len, every.values()))
    for group in plan.groups:
        if group.inputs.missing is None:
            _run_group(plan, group, state, clock, n_jobs, progress, ahead)
    return _result(plan, state, command)


def _run_group(
    plan: ReproductionPlan,
    group: Group,
    state: State,
    clock: Clock,
    n_jobs: int,
    progress: Progress,
    ahead: Ahead | None,
) -> None:
    asked = plan.asked
    try:
        first = plan_comparison(
            group.settings_of(group.models[0], group.strategies(group.models[0])).model_copy(
                update={"model": group.models}
            ),
            max(1, asked.epochs),
            group.strategies(group.models[0])[0],
            progress=progress,
        )
        prepared = prepared_of(first, progress)[1]
    except RobustrecError as error:
        for model in group.models:
            for strategy in group.strategies(model):
                state.failed[group.place.name, group.kind, model, strategy] = error
        return
    measuring = Measuring(prepared, plan.settings.home, asked.epochs, plan.settings.seed, asked.draws, asked.metric)
    for model in group.models:
        for strategy in group.strategies(model):
            key = (group.place.name, group.kind, model, strategy)
            if asked.trials and not _searched(plan, group, key, prepared, state, clock, progress):
                continue
            jobs = group.jobs(model, strategy, asked.epochs, state.chosen.get(key, ()))
            state.settings["/".join(key)] = spec_json(jobs[0].spec)
            if ahead is not None and clock.allows(0):
                _train_ahead(group, model, strategy, jobs, asked, state.chosen.get(key, ()), prepared, progress, ahead)
            for job in jobs:
                _run_job(plan, group, key, job, measuring, state, clock, n_jobs, progress)


def _searched(
    plan: ReproductionPlan,
    group: Group,
    key: Key,
    prepared: Prepared,
    state: State,
    clock: Clock,
    progress: Progress,
) -> bool:
    """Choose the settings of a strategy on validation, and return whether the time was enough and nothing failed."""
    dataset = prepared.dataset
    n_train, n_items = len(prepared.positives.users), dataset.interactions.n_items

    def allows(spec: SubjectSpec) -> bool:
        return clock.allows(plan.speed.seconds(spec, dataset.name, n_train, n_items))

    search = Search(plan.asked.trials, plan.asked.tune_epochs, plan.settings.home, plan.settings.seed, allows)
    try:
        result = tuned(group, key[2], key[3], prepared, search, progress)
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
    group: Group,
    model: str,
    strategy: str,
    jobs: Sequence[Job],
    asked: Asked,
    chosen: CHOSEN,
    prepared: Prepared,
    progress: Progress,
    ahead: Ahead,
) -> None:
    """Train the runs of a row in other processes; what fails there fails again, and is reported, in this one."""
    budgets = tuple(budget for budget in BUDGETS if any(job.what == budget for job in jobs))
    try:
        wanted = plan_comparison(
            group.settings_of(model, [strategy], chosen), max(1, asked.epochs), strategy, budgets=budgets
        )
        ahead(wanted, prepared, progress)
    except RobustrecError:
        return


def _run_job(
    plan: ReproductionPlan,
    group: Group,
    key: Key,
    job: Job,
    measuring: Measuring,
    state: State,
    clock: Clock,
    n_jobs: int,
    progress: Progress,
) -> None:
    assert group.inputs.dataset is not None
    dataset = group.inputs.dataset
    n_train = int((dataset.interactions.labels == TRAIN).sum())
    expected = plan.speed.seconds(job.at(plan.asked.epochs), dataset.name, n_train, dataset.interactions.n_items)
    name = f"{'/'.join(key)} seed {job.spec.seed}, {_words(job.what)}"
    stored = measuring.stored(job)
    if not stored and not clock.allows(expected):
        state.left.append(name)
        return
    progress("trainings", state.done, n_jobs, f"{name}, about {duration_words(clock.left)} left")
    start = time.monotonic()
    try:
        noisy = job.what == "early-stop" and group.noisy(job.spec.model, job.spec.strategy_name)
        result = measuring.result(job, noisy=noisy, progress=progress)
    except RobustrecError as error:
        state.failed[key] = error
        return
    finally:
        state.done += 1
        clock.left = max(0.0, clock.left - expected)
    if not stored:
        plan.speed.learn(dataset.name, job.spec.model, result.training.gradients, time.monotonic() - start)
    results: dict[What, list[SeedResult]] = state.found.setdefault(key, {})
    results.setdefault(job.what, []).append(result)
    progress("trainings", state.done, n_jobs, name)


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
