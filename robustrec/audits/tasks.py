"""Tasks: the parts of an audit that are measured on their own, in any process and any order.

A task is a pure function of its name, the suite, the seed and the subjects: what is drawn comes from names, never from
the order of the work. Its output is the same wherever it runs, and an engine only decides where (`robustrec.engine`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from robustrec.audits.context import CostCounts
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


def merged(done: Iterable[tuple[Task, TaskOutput]], work: Work) -> Iterator[tuple[Task, TaskOutput]]:
    """Add the outputs of tasks to the results one by one, up to the first error, and yield each."""
    for task, output in done:
        work.results.add(output.results)
        work.context.costs.add(output.costs)
        yield task, output
        if output.error:
            return
