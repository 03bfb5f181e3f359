"""Tasks: the parts of an audit that are measured on their own, in any process and any order.

A task is a pure function of its name, the suite, the seed and the subjects: what is drawn comes from names, never from
the order of the work. Its output is the same wherever it runs, and an engine only decides where (`robustrec.engine`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from robustrec.errors import RobustrecError, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from robustrec.audits.kind import AuditConfig
    from robustrec.audits.noise.audit import CostCounts
    from robustrec.audits.plan import Plan
    from robustrec.audits.results import Audited, AuditResults, Work
    from robustrec.progress import Progress
    from robustrec.runs.prepared import Prepared


@dataclass(frozen=True)
class Task:
    """A block of conditions of an audit, on all subjects or on one.

    Attributes:
        audit: kind of the audit.
        name: name within the audit, for progress.
        block: which block, as JSON.
        stored: whether its output can be stored; not if it depends on user-defined code.
        here: whether it runs in the process of the command, because it encodes rows: the last bits of a vector depend
            on the rows that are encoded with it, and so on the order of the tasks.
        encoded: whether the process of the command encodes its rows first, in order, for the same reason.
    """

    audit: str
    name: str
    block: Mapping[str, Any]
    stored: bool = True
    here: bool = False
    encoded: bool = False


@dataclass
class TaskOutput:
    """Output of a task.

    Attributes:
        results: findings, statuses, arrays, exhibits and warnings, in the order they were measured.
        costs: work that was done.
        state: what the audit needs to put its tasks together, as JSON.
        arrays: name -> array, likewise.
        error: error that ended the task; empty if it was completed.
    """

    results: AuditResults
    costs: CostCounts
    state: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    error: str = ""


class Engine(Protocol):
    """Where the tasks of a run are done."""

    def begin(self, tasks: Sequence[Task], subjects: Audited, work: Work) -> None:
        """Start on the tasks of all audits, on the subjects that passed the reach check."""
        ...

    def output(self, task: Task) -> TaskOutput:
        """Return the output of a task, when it is done.

        Raises:
            RobustrecError: the process of the task ended twice without an output.
        """
        ...

    def train(self, plan: Plan, prepared: Prepared, progress: Progress) -> set[int]:
        """Train subjects into the run store ahead, and return their places in the plan."""
        ...

    def end(self) -> dict[int, str]:
        """Return place in the plan -> fault of the reach check after the tasks, in other processes."""
        ...


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
    from robustrec.audits.own import kind_of

    return [task for audit in plan.suite.audits for task in kind_of(audit.kind).tasks(audit, plan)]


def config_of(plan: Plan, name: str) -> AuditConfig:
    """Return the settings of an audit of the suite."""
    return next(audit for audit in plan.suite.audits if audit.kind == name)


def done(task: Task, subjects: Audited, work: Work) -> TaskOutput:
    """Run a task and return its output; an error of the audit is part of it."""
    from robustrec.audits.noise.audit import CostCounts
    from robustrec.audits.own import kind_of
    from robustrec.audits.results import AuditResults

    output = TaskOutput(AuditResults(kept_bytes=sys.maxsize), CostCounts())
    part = work.part(output.results, output.costs)
    try:
        kind_of(task.audit).run_task(config_of(work.plan, task.audit), task, subjects, part, output)
    except RobustrecError as error:
        output.error = one_line(error)
    return output


def encode(task: Task, subjects: Audited, work: Work) -> CostCounts:
    """Encode the rows of a task into the store, and return the cost."""
    from robustrec.audits.noise.audit import CostCounts
    from robustrec.audits.own import kind_of
    from robustrec.audits.results import AuditResults

    costs = CostCounts()
    part = work.part(AuditResults(), costs)
    kind_of(task.audit).encode(config_of(work.plan, task.audit), task, subjects, part)
    return costs


def merged(done: Iterable[tuple[Task, TaskOutput]], work: Work) -> Iterator[tuple[Task, TaskOutput]]:
    """Add the outputs of tasks to the results one by one, up to the first error, and yield each."""
    for task, output in done:
        work.results.add(output.results)
        work.context.costs.add(output.costs)
        yield task, output
        if output.error:
            return


def run_audit(config: AuditConfig, subjects: Audited, work: Work, engine: Engine | None = None) -> None:
    """Run the tasks of one audit and put their outputs together.

    Args:
        config: its settings.
        subjects: subjects that passed the reach check.
        work: its results get findings, and a status for every subject.
        engine: an engine that has begun; by default this process.
    """
    from robustrec.audits.own import kind_of
    from robustrec.results.findings import AuditStatus

    kind, errors = kind_of(config.kind), list[str]()
    tasks = kind.tasks(config, work.plan)
    if engine is None:
        engine = InProcess()
        engine.begin(tasks, subjects, work)

    def outputs() -> Iterator[tuple[Task, TaskOutput]]:
        for task in tasks:
            output = engine.output(task)
            errors.append(output.error)
            yield task, output

    kind.finish(config, outputs(), subjects, work)
    ended = {status.subject for status in work.results.statuses if status.audit == config.kind}
    message = next(filter(None, errors), "the audit recorded no result")
    work.results.statuses += [
        AuditStatus(audit=config.kind, subject=subject.subject, status="error", message=message)
        for subject, _ in subjects
        if subject.subject not in ended
    ]
