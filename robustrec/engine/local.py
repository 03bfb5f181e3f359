"""The local engine: runs tasks in this process, or in several, and keeps their outputs until the report is written."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from multiprocessing.connection import Connection, Pipe
from types import TracebackType
from typing import Any

import torch

from robustrec.audits.context import CostCounts
from robustrec.audits.plan import Plan
from robustrec.audits.results import Audited, Work
from robustrec.audits.run_tasks import InProcess, encode
from robustrec.audits.tasks import Task, TaskOutput
from robustrec.engine.artefacts import Artefacts, unpacked
from robustrec.errors import RobustrecError
from robustrec.progress import Progress
from robustrec.runs.prepared import Prepared
from robustrec.runs.store import run_key, stored_run

WORKER = ("-m", "robustrec.engine.worker")
"""Arguments of Python for a worker process, before the number of its pipe."""

ATTEMPTS = 2
"""Number of times that a task is tried when its process ends."""


class WorkerError(Exception):
    """A worker raised an unexpected exception; the text is its traceback."""


class Local(InProcess):
    """Runs the tasks of a command in its process, or in `workers` processes with the same results to the bit.

    Outputs are stored as soon as they are there, so that an interrupted audit measures none twice; `forget` removes
    them. Tasks that encode rows run in this process. A context manager that ends its processes.

    Attributes:
        workers: number of processes; 1 starts none.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._artefacts: Artefacts | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._processes: list[_Process] = []
        self._local = threading.local()
        self._futures: dict[int, Future[TaskOutput]] = {}
        self._tasks: list[Task] = []
        self._encoded: set[int] = set()

    def __enter__(self) -> Local:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            for process in self._processes:
                process.end()
            self._pool.shutdown(wait=True, cancel_futures=True)

    def train(self, plan: Plan, prepared: Prepared, progress: Progress) -> set[int]:
        """Train the subjects that are not stored yet in several processes; with one process, nothing ahead."""
        if self.workers == 1:
            return set()
        self._start(plan)
        assert self._pool is not None
        lacking = [
            place
            for place, spec in enumerate(plan.specs)
            if spec.trains and not stored_run(plan.home, run_key(spec, prepared))
        ]
        if len(lacking) < 2:
            return set()
        jobs = [
            self._pool.submit(self._ask, {"train": place}, f"the training of {plan.specs[place].label}")
            for place in lacking
        ]
        for number, (place, job) in enumerate(zip(lacking, jobs, strict=True), start=1):
            job.result()
            progress("trainings", number, len(jobs), plan.specs[place].label)
        return set(lacking)

    def begin(self, tasks: Sequence[Task], subjects: Audited, work: Work) -> None:
        """Look for stored outputs, and give the other tasks to the processes."""
        super().begin(tasks, subjects, work)
        self._artefacts, self._tasks = Artefacts(tasks, subjects, work), list(tasks)
        if self.workers == 1:
            return
        self._start(work.plan)
        assert self._pool is not None
        places = self._places()
        for number, task in enumerate(tasks):
            if not (task.here or task.encoded or self._artefacts.stored(task)):
                self._futures[number] = self._pool.submit(self._elsewhere, task, places)

    def output(self, task: Task) -> TaskOutput:
        """Return a stored output, or run the task, or wait for its process."""
        assert self._artefacts is not None
        number = self._tasks.index(task)
        if task.encoded and self._pool is not None and number not in self._futures:
            self._encode(task.audit)
        if number in self._futures:
            output = self._futures.pop(number).result()
            self._work.context.progress("tasks", number + 1, len(self._tasks), f"{task.audit}: {task.name}")
            return output
        found = self._artefacts.find(task)
        return self._kept(task, super().output(task)) if found is None else found

    def _encode(self, audit: str) -> None:
        """Encode the rows of the tasks of an audit in order, and give each task to the processes."""
        assert self._artefacts is not None
        assert self._pool is not None
        places = self._places()
        for number, task in enumerate(self._tasks):
            if task.audit != audit or number in self._encoded or self._artefacts.stored(task):
                continue
            self._encoded.add(number)
            try:
                costs = encode(task, self._subjects, self._work)
            except RobustrecError:
                return  # the task itself ends with this error
            self._futures[number] = self._pool.submit(self._elsewhere, task, places, costs)

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
        faults: dict[int, str] = {}
        if self._pool is not None:
            self._pool.shutdown(wait=True)  # what still runs is of an audit that failed
            for process in self._processes:
                if process.alive:
                    answer = json.loads(process.ask({"check": True}, "the reach check")[1:])
                    faults |= {int(place): fault for place, fault in answer["faults"]}
        return faults

    def forget(self) -> None:
        """Remove the stored outputs, when the report has been written."""
        if self._artefacts is not None:
            self._artefacts.forget()

    def _start(self, plan: Plan) -> None:
        if self._pool is None:
            self._first = {
                "settings": plan.settings.model_dump_json(exclude_unset=True),
                "digests": [plan.dataset.digest, plan.suite.digest],
                "suite": plan.suite.model_dump(mode="json"),
                "threads": torch.get_num_threads(),
            }
            self._pool = ThreadPoolExecutor(self.workers)

    def _ask(self, message: dict[str, Any], what: str) -> bytes:
        """Let the process of this thread answer a message; one that ends is replaced once.

        Raises:
            RobustrecError: what it raised, or it ended twice.
            WorkerError: it raised an unexpected exception.
        """
        process: _Process | None = getattr(self._local, "process", None)
        if process is None:
            process = self._local.process = _Process(self._first)
            self._processes.append(process)
        answer = process.ask(message, what)
        if answer[:1] == b"o":
            return answer[1:]
        reply = json.loads(answer[1:])
        if "error" in reply:
            what, where, fix = reply["error"]
            raise RobustrecError(what, where=where, fix=fix)
        if "fault" in reply:
            raise WorkerError(reply["fault"])
        return answer[1:]


class _Process:
    """A worker process and the pipe to it."""

    def __init__(self, first: dict[str, Any]) -> None:
        self._first = first
        self._ended = False
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def ask(self, message: dict[str, Any], what: str) -> bytes:
        """Return the answer to a message.

        Raises:
            RobustrecError: the process ended twice without an answer.
        """
        code = 0
        for _ in range(ATTEMPTS):
            if not self.alive:
                self._begin()
            assert self._connection is not None
            assert self._process is not None
            try:
                self._connection.send_bytes(json.dumps(message).encode())
                return self._connection.recv_bytes()
            except (EOFError, OSError):
                self._process.kill()
                code = self._process.wait()
                if self._ended:
                    break
        raise RobustrecError(
            f"a worker process ended {ATTEMPTS} times during {what} (exit status {code})",
            where="--workers",
            fix="check the free memory, or use one process: --workers 1",
        )

    def end(self) -> None:
        """Kill the process, whatever it does."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def _begin(self) -> None:
        ours, theirs = Pipe()
        with self._lock, contextlib.closing(theirs):
            if self._ended:
                raise EOFError
            self._process = subprocess.Popen(
                [sys.executable, *WORKER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # for data of the command alone
            )
        self._connection = ours
        ours.send_bytes(json.dumps(self._first).encode())
