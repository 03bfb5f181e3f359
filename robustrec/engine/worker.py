"""A worker process: trains subjects and runs tasks for a command, as that process would.

It makes data, features and subjects again from the settings and the stores, and answers one message at a time on a
pipe: JSON in; JSON, or the bytes of an output, out.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from robustrec.audits.context import clean_of
from robustrec.audits.plan import make_plan
from robustrec.audits.reach.check import ReachCheck
from robustrec.audits.reach.run import require_reach
from robustrec.audits.results import Audited
from robustrec.audits.run import work_of
from robustrec.audits.run_tasks import done
from robustrec.audits.suites import recorded_suite
from robustrec.audits.tasks import Task
from robustrec.config import Settings
from robustrec.engine.artefacts import packed
from robustrec.errors import RobustrecError
from robustrec.hardware import full_precision, set_numerics
from robustrec.own_code import folders_stay
from robustrec.runs.subjects import obtain_subject

JSON, OUTPUT = b"j", b"o"
"""First byte of an answer."""


class Session:
    """Data and subjects of a worker.

    Args:
        settings: as JSON, of the command.
        digests: of data and suite, which must be those of the command.
        suite: its content.

    Raises:
        RobustrecError: the data changed since the command began.
    """

    def __init__(self, settings: str, digests: list[str], suite: dict[str, Any]) -> None:
        by = recorded_suite(suite, source="the suite of the command")
        self.plan = plan = make_plan(Settings.model_validate_json(settings), suite=by)
        if [plan.dataset.digest, plan.suite.digest] != digests:
            raise RobustrecError(
                "the data set or the suite changed while the command ran",
                where=f"--dataset {plan.settings.dataset}, --suite {plan.settings.suite}",
                fix="run the command again",
            )
        self.work = work_of(plan)
        self.context = self.work.context
        self._subjects: Audited | None = None
        self._checks: dict[int, ReachCheck] = {}

    def train(self, place: int) -> None:
        """Train a subject into the run store."""
        obtain_subject(self.plan.specs[place], self.context.prepared, home=self.plan.home)

    def run(self, task: Task, places: list[int]) -> bytes:
        """Return the output of a task on the subjects at some places in the plan, as bytes."""
        if self._subjects is None:
            trained = [
                (place, obtain_subject(self.plan.specs[place], self.context.prepared, home=self.plan.home))
                for place in places
            ]
            self._checks = {place: require_reach(subject, self.context) for place, subject in trained}
            self._subjects = [(subject, clean_of(subject, self.context)) for _, subject in trained]
        return packed(done(task, self._subjects, self.work))

    def faults(self) -> dict[int, str]:
        """Return place in the plan -> fault of the reach check after the tasks."""
        return {place: fault for place, check in self._checks.items() if (fault := check.after())}


def reply(session: Callable[[], Session], message: dict[str, Any]) -> bytes:
    """Return the answer to a message; an error is one too.

    Args:
        session: returns the session, which it makes at the first message.
        message: what to do.
    """
    try:
        return _answer(session(), message)
    except RobustrecError as error:
        return JSON + json.dumps({"error": [error.what, error.where, error.fix]}).encode()
    except Exception:
        return JSON + json.dumps({"fault": traceback.format_exc()}).encode()


def _answer(session: Session, message: dict[str, Any]) -> bytes:
    if "train" in message:
        session.train(message["train"])
        return JSON + b"{}"
    if "task" in message:
        return OUTPUT + session.run(Task(**message["task"]), message["places"])
    return JSON + json.dumps({"faults": list(session.faults().items())}).encode()


def serve(connection: Connection) -> None:
    """Answer the messages of a command until it closes the pipe."""
    first = json.loads(connection.recv_bytes())
    set_numerics()
    torch.set_num_threads(first["threads"])
    made: list[Session] = []

    def session() -> Session:
        if not made:
            made.append(Session(first["settings"], first["digests"], first["suite"]))
        return made[0]

    with folders_stay(), full_precision():
        while True:
            try:
                message = json.loads(connection.recv_bytes())
            except EOFError:
                return
            answer = reply(session, message)
            try:
                connection.send_bytes(answer)
            except OSError:  # the command has ended
                return


if __name__ == "__main__":
    # The command stops its workers itself when it is interrupted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Connection(int(sys.argv[1])))
