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

from robustrec.audits.tasks import Task
from robustrec.encoders.elsewhere import Shard
from robustrec.engine.sessions import AuditSession, Session, TrainingSession, session_of
from robustrec.engine.spread import JSON, OUTPUT
from robustrec.errors import RobustrecError
from robustrec.hardware import full_precision, set_numerics
from robustrec.in_use import marking_use
from robustrec.object_store import using
from robustrec.own_code import folders_stay


def reply(session: Callable[[], Session], message: dict[str, Any]) -> bytes:
    """Return the answer to a message; an error is one too.

    Args:
        session: returns the session, which it makes at the first message.
        message: what to do.
    """
    try:
        made = session()
        with using(made.store):
            return _answer(made, message)
    except RobustrecError as error:
        return refusal(error)
    except Exception:
        return JSON + json.dumps({"fault": traceback.format_exc()}).encode()


def refusal(error: RobustrecError) -> bytes:
    """Return the answer that says an error."""
    return JSON + json.dumps({"error": [error.what, error.where, error.fix]}).encode()


def _answer(session: Session, message: dict[str, Any]) -> bytes:
    if "train" in message:
        assert isinstance(session, TrainingSession)
        session.train(message["train"])
        return JSON + b"{}"
    if "encode" in message:
        session.encode(Shard(**message["encode"]))
        return JSON + b"{}"
    if "task" in message:
        assert isinstance(session, AuditSession)
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
            made.append(session_of(first))
        return made[0]

    with folders_stay(), full_precision(), marking_use():
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
