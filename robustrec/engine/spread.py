"""What engines with several processes share: they send messages to them, and keep the output of each task."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

import torch

from robustrec.audits.context import CostCounts
from robustrec.audits.plan import Plan
from robustrec.audits.results import Audited, Work
from robustrec.audits.run_tasks import InProcess, encode
from robustrec.audits.tasks import Task, TaskOutput
from robustrec.comparison.run import ComparisonPlan
from robustrec.config import Settings
from robustrec.datasets.registry import Dataset
from robustrec.encoders.elsewhere import Shard, encoded_by
from robustrec.engine.artefacts import Artefacts, unpacked
from robustrec.errors import RobustrecError
from robustrec.progress import Progress, silent
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.store import run_key, stored_run

JSON, OUTPUT = b"j", b"o"
"""First byte of an answer: JSON, or the bytes of an output."""


class WorkerError(Exception):
    """A worker raised an unexpected exception; the text is its traceback."""


class Spread(InProcess, ABC):
    """Runs tasks in `workers` processes, with the same results to the bit as in one.

    Outputs are stored as soon as they are there, so that an interrupted audit measures none twice; `forget` removes
    them. Tasks that encode rows run in this process. A context manager that ends its processes.

    Attributes:
        workers: largest number of messages at a time; with 1, `alone` decides whether there are processes at all.
        alone: whether this process does all the work.
        here_if_single: whether a single training runs in this process.
    """

    here_if_single = False

    def __init__(self, workers: int, *, alone: bool) -> None:
        self.workers, self.alone = workers, alone
        self._artefacts: Artefacts | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._first: dict[str, Any] = {}
        self._futures: dict[int, Future[TaskOutput]] = {}
        self._tasks: list[Task] = []
        self._encoded: set[int] = set()

    @abstractmethod
    def _send(self, message: dict[str, Any], what: str) -> bytes:
        """Return the answer of a process to a message; a lost process is replaced.

        Raises:
            RobustrecError: processes were lost too often.
        """

    @abstractmethod
    def _stop(self, *, failed: bool) -> None:
        """End the processes; if `failed`, whatever they do."""

    @abstractmethod
    def _faults(self) -> dict[int, str]:
        """Return place in the plan -> fault that the reach check found in a process after its tasks."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._stop(failed=kind is not None)
            self._pool.shutdown(wait=True, cancel_futures=True)

    def train(self, plan: Plan, prepared: Prepared, progress: Progress) -> set[int]:
        """Train the subjects that are not stored yet in the processes; alone, nothing ahead."""
        return self._train(audit_message(plan), plan.settings, plan.specs, prepared, progress)

    def train_comparison(self, plan: ComparisonPlan, prepared: Prepared, progress: Progress) -> None:
        """Train the runs of a comparison that are not stored yet in the processes; alone, nothing ahead."""
        self._train(comparison_message(plan), plan.settings, plan.distinct, prepared, progress)

    def _train(
        self,
        first: dict[str, Any],
        settings: Settings,
        specs: Sequence[SubjectSpec],
        prepared: Prepared,
        progress: Progress,
    ) -> set[int]:
        lacking = [
            place
            for place, spec in enumerate(specs)
            if spec.trains and not stored_run(settings.home, run_key(spec, prepared))
        ]
        if self.alone or not lacking or (self.here_if_single and len(lacking) < 2):
            return set()
        pool = self.started(first, settings, progress)
        jobs = {
            pool.submit(self._ask, {"train": place}, f"the training of {specs[place].label}"): place
            for place in lacking
        }
        for number, job in enumerate(as_completed(jobs), start=1):
            job.result()
            progress("trainings", number, len(jobs), specs[jobs[job]].label)
        return set(lacking)

    @contextmanager
    def encoding(self, first: dict[str, Any], settings: Settings, progress: Progress) -> Iterator[None]:
        """Encode the catalog in the processes while a block runs; alone, in this one.

        Args:
            first: of `audit_message`, `comparison_message` or `encoding_message`.
            settings: of the command.
            progress: reports what happens in the processes.
        """

        def encode_shards(shards: Sequence[Shard], report: Progress | None) -> None:
            pool, total, held = self.started(first, settings, progress), sum(each.rows for each in shards), 0
            stage = f"encoding with {shards[0].network}"
            jobs = {
                pool.submit(self._ask, {"encode": asdict(shard)}, f"{stage}, unit {number}"): shard
                for number, shard in enumerate(shards, start=1)
            }
            for job in as_completed(jobs):
                job.result()
                held += jobs[job].rows
                if report is not None:
                    report(stage, held, total)

        with encoded_by(None if self.alone else encode_shards):
            yield

    def begin(self, tasks: Sequence[Task], subjects: Audited, work: Work) -> None:
        """Look for stored outputs, and give the other tasks to the processes."""
        super().begin(tasks, subjects, work)
        self._artefacts, self._tasks = Artefacts(tasks, subjects, work), list(tasks)
        if self.alone:
            return
        pool = self.started(audit_message(work.plan), work.plan.settings, work.context.progress)
        places = self._places()
        for number, task in enumerate(tasks):
            if not (task.here or task.encoded or self._artefacts.stored(task)):
                self._futures[number] = pool.submit(self._elsewhere, task, places)

    def output(self, task: Task) -> TaskOutput:
        """Return a stored output, or run the task, or wait for its process."""
        assert self._artefacts is not None
        number = self._tasks.index(task)
        if task.encoded and self._pool is not None and number not in self._futures:
            self._encode(task.audit, self._pool)
        if number in self._futures:
            output = self._futures.pop(number).result()
            self._work.context.progress("tasks", number + 1, len(self._tasks), f"{task.audit}: {task.name}")
            return output
        found = self._artefacts.find(task)
        return self._kept(task, super().output(task)) if found is None else found

    def _encode(self, audit: str, pool: ThreadPoolExecutor) -> None:
        """Encode the rows of the tasks of an audit in order, and give each task to the processes."""
        assert self._artefacts is not None
        places = self._places()
        for number, task in enumerate(self._tasks):
            if task.audit != audit or number in self._encoded or self._artefacts.stored(task):
                continue
            self._encoded.add(number)
            try:
                costs = encode(task, self._subjects, self._work)
            except RobustrecError:
                return  # the task itself ends with this error
            self._futures[number] = pool.submit(self._elsewhere, task, places, costs)

    def _places(self) -> list[int]:
        return [self._work.plan.specs.index(subject.spec) for subject, _ in self._subjects]

    def _elsewhere(self, task: Task, places: list[int], before: CostCounts | None = None) -> TaskOutput:
        """Return the output of a task in another process, with the cost of what was done before."""
        message = {"task": asdict(task), "places": places}
        output = unpacked(self._ask(message, f"{task.audit} audit, {task.name}"))
        output.costs.add(before or CostCounts())
        return self._kept(task, output)

    def _kept(self, task: Task, output: TaskOutput) -> TaskOutput:
        """Store an output unless it is an error, and return it."""
        if self._artefacts is not None and not output.error:
            self._artefacts.keep(task, output)
        return output

    def end(self) -> dict[int, str]:
        """Return the faults that the reach check finds in the processes after the tasks."""
        for future in self._futures.values():
            future.cancel()
        if self._pool is None:
            return {}
        self._pool.shutdown(wait=True)  # what still runs is of an audit that failed
        return self._faults()

    def forget(self) -> None:
        """Remove the stored outputs, when the report has been written."""
        if self._artefacts is not None:
            self._artefacts.forget()

    def started(self, first: dict[str, Any], settings: Settings, progress: Progress = silent) -> ThreadPoolExecutor:
        """Return the threads that send messages, one each at a time; the first call gets ready to send.

        Args:
            first: what the processes make data and subjects of.
            settings: of the command.
            progress: reports what happens in the processes.
        """
        if self._pool is None:
            self._first = {
                "settings": settings.model_dump_json(exclude_unset=True),
                "threads": torch.get_num_threads(),
                **first,
            }
            self._open(settings, progress)
            self._pool = ThreadPoolExecutor(self.workers)
        return self._pool

    def _open(self, settings: Settings, progress: Progress) -> None:
        """Get ready to send messages."""

    def _ask(self, message: dict[str, Any], what: str) -> bytes:
        """Let a process answer a message.

        Raises:
            RobustrecError: what it raised, or it was lost too often.
            WorkerError: it raised an unexpected exception.
        """
        answer = self._send(message, what)
        if answer[:1] == OUTPUT:
            return answer[1:]
        reply = json.loads(answer[1:])
        if "error" in reply:
            what, where, fix = reply["error"]
            raise RobustrecError(what, where=where, fix=fix)
        if "fault" in reply:
            raise WorkerError(reply["fault"])
        return answer[1:]


def audit_message(plan: Plan) -> dict[str, Any]:
    """Return what a worker makes the data and subjects of an audit from, besides the settings."""
    return {
        "of": "audit",
        "digests": [plan.dataset.digest, plan.suite.digest],
        "suite": plan.suite.model_dump(mode="json"),
    }


def comparison_message(plan: ComparisonPlan) -> dict[str, Any]:
    """Return what a worker makes the data of a comparison from, besides the settings."""
    return {
        "of": "comparison",
        "digests": [plan.dataset.digest],
        "epochs": plan.epochs,
        "reference": plan.reference,
        "budgets": list(plan.budgets),
    }


def encoding_message(dataset: Dataset) -> dict[str, Any]:
    """Return what a worker makes the catalog of a command from, besides the settings."""
    return {"of": "encoding", "digests": [dataset.digest]}
