"""Runs the tasks of audits in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, Protocol, cast

from robustrec.audits.context import CostCounts
from robustrec.audits.kind import AuditConfig
from robustrec.audits.plan import Plan
from robustrec.audits.registry import kind_of
from robustrec.audits.results import Audited, AuditResults, Work
from robustrec.audits.tasks import Engine, Task, TaskOutput
from robustrec.errors import RobustrecError, one_line
from robustrec.progress import Progress
from robustrec.results.findings import AuditStatus
from robustrec.runs.prepared import Prepared


class Measurements(Protocol):
    """Functions of the module that a kind names in `measured_in`."""

    def tasks_of(self, config: Any, plan: Plan) -> list[Task]:
        """Return the tasks of the audit."""
        ...

    def encode(self, config: Any, task: Task, subjects: Audited, work: Work) -> None:
        """Encode the rows of a task with `encoded` into the store, so that another process only reads them."""
        ...

    def run_task(self, config: Any, task: Task, subjects: Audited, work: Work, output: TaskOutput) -> None:
        """Measure a task: findings, exhibits and warnings go to `work.results`, what `finish` needs to `output`.

        Args:
            config: the settings.
            task: of `tasks_of`.
            subjects: subjects that passed the reach check.
            work: data, metrics and seed.
            output: state and arrays for `finish`.

        Raises:
            RobustrecError: the audit failed.
        """
        ...

    def finish(self, config: Any, done: Iterable[tuple[Task, TaskOutput]], subjects: Audited, work: Work) -> None:
        """Put the outputs of all tasks together: findings in order, differences of subjects, a status for each.

        Args:
            config: the settings.
            done: the tasks of `tasks_of` with their outputs, in order.
            subjects: subjects that passed the reach check.
            work: data, metrics and seed; its results get those of the audit.
        """
        ...


def measurements(kind: str) -> Measurements:
    """Return the module that measures a kind of audit."""
    return cast("Measurements", import_module(kind_of(kind).measured_in))


class InProcess:
    """Runs every task when its output is asked for, in this process."""

    def begin(self, tasks: Sequence[Task], subjects: Audited, work: Work) -> None:  # noqa: ARG002
        """Keep the subjects; no task runs before its output is asked for."""
        self._subjects, self._work = subjects, work

    def output(self, task: Task) -> TaskOutput:
        """Run a task."""
        return done(task, self._subjects, self._work)

    def train(self, plan: Plan, prepared: Prepared, progress: Progress) -> set[int]:  # noqa: ARG002
        """Train nothing ahead: a subject is trained when it is needed."""
        return set()

    def end(self) -> dict[int, str]:
        """Return no faults: this process checks its own subjects."""
        return {}


def tasks_of(plan: Plan) -> list[Task]:
    """Return the tasks of all audits of a plan, in the order of the suite."""
    return [task for audit in plan.suite.audits for task in measurements(audit.kind).tasks_of(audit, plan)]


def config_of(plan: Plan, name: str) -> AuditConfig:
    """Return the settings of an audit of the suite."""
    return next(audit for audit in plan.suite.audits if audit.kind == name)


def done(task: Task, subjects: Audited, work: Work) -> TaskOutput:
    """Run a task and return its output; an error of the audit is part of it."""
    output = TaskOutput(AuditResults(kept_bytes=sys.maxsize), CostCounts())
    part = work.part(output.results, output.costs)
    try:
        measurements(task.audit).run_task(config_of(work.plan, task.audit), task, subjects, part, output)
    except RobustrecError as error:
        output.error = one_line(error)
    return output


def encode(task: Task, subjects: Audited, work: Work) -> CostCounts:
    """Encode the rows of a task into the store, and return the cost."""
    costs = CostCounts()
    part = work.part(AuditResults(), costs)
    measurements(task.audit).encode(config_of(work.plan, task.audit), task, subjects, part)
    return costs


def run_audit(config: AuditConfig, subjects: Audited, work: Work, engine: Engine | None = None) -> None:
    """Run the tasks of one audit and put their outputs together.

    Args:
        config: its settings.
        subjects: subjects that passed the reach check.
        work: its results get findings, and a status for every subject.
        engine: an engine that has begun; by default this process.
    """
    measured, errors = measurements(config.kind), list[str]()
    tasks = measured.tasks_of(config, work.plan)
    if engine is None:
        engine = InProcess()
        engine.begin(tasks, subjects, work)

    def outputs() -> Iterator[tuple[Task, TaskOutput]]:
        for task in tasks:
            output = engine.output(task)
            errors.append(output.error)
            yield task, output

    measured.finish(config, outputs(), subjects, work)
    ended = {status.subject for status in work.results.statuses if status.audit == config.kind}
    message = next(filter(None, errors), "the audit recorded no result")
    work.results.statuses += [
        AuditStatus(audit=config.kind, subject=subject.subject, status="error", message=message)
        for subject, _ in subjects
        if subject.subject not in ended
    ]
