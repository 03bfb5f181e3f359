"""The local engine: runs tasks in this process, or in several on this machine."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from multiprocessing.connection import Connection, Pipe
from typing import Any

from robustrec.engine.spread import Spread
from robustrec.errors import RobustrecError

WORKER = ("-m", "robustrec.engine.worker")
"""Arguments of Python for a worker process, before the number of its pipe."""

ATTEMPTS = 2
"""Number of times that a task is tried when its process ends."""


class Local(Spread):
    """Runs the tasks of a command in its process, or in `workers` processes of its machine.

    Attributes:
        workers: number of processes; 1 starts none.
    """

    here_if_single = True

    def __init__(self, workers: int = 1) -> None:
        super().__init__(workers, alone=workers == 1)
        self._processes: list[_Process] = []
        self._local = threading.local()

    def _send(self, message: dict[str, Any], what: str) -> bytes:
        """Let the process of this thread answer; one that ends is replaced once."""
        process: _Process | None = getattr(self._local, "process", None)
        if process is None:
            process = self._local.process = _Process(self._first)
            self._processes.append(process)
        return process.ask(message, what)

    def _stop(self, *, failed: bool) -> None:  # noqa: ARG002
        for process in self._processes:
            process.end()

    def _faults(self) -> dict[int, str]:
        faults: dict[int, str] = {}
        for process in self._processes:
            if process.alive:
                answer = json.loads(process.ask({"check": True}, "the reach check")[1:])
                faults |= {int(place): fault for place, fault in answer["faults"]}
        return faults


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
