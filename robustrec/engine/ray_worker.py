"""The function that a Ray cluster runs: it answers one message of a command, in a process of any machine.

Ray keeps its processes, so that data and subjects are made once for all messages that a process gets.
"""

from __future__ import annotations

import os

# Read when torch loads OpenMP. Threads that spin while they wait for a busy core cost several times the work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import hashlib
import json
import logging
import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import robustrec
from robustrec.errors import RobustrecError
from robustrec.files import digest_sources

if TYPE_CHECKING:
    from robustrec.engine.sessions import Session


class Answer(NamedTuple):
    """Answer of a worker.

    Attributes:
        content: as of `robustrec.engine.worker`.
        faults: place of a subject in the plan -> fault of the reach check after the task, as JSON.
        logs: warnings that were logged meanwhile.
        node: the machine.
        hardware: its processor or GPU.
    """

    content: bytes
    faults: str
    logs: tuple[str, ...]
    node: str
    hardware: str


_HELD: dict[str, Session] = {}
"""The session of the last command, by the digest of its first message."""


def versions() -> dict[str, str]:
    """Return what must be equal in the command and in its workers."""
    return {
        "robustrec": robustrec.__version__,
        "robustrec's source code, sha256": digest_sources(Path(robustrec.__file__).parent)[:16],
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **{name: version(name) for name in ("torch", "numpy", "scipy", "transformers")},
    }


def hardware(device: str) -> str:
    """Return the name of the GPU, or of the processor with the instructions that torch uses of it."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    from robustrec.hardware import cpu_name

    return f"{cpu_name()}, {torch.backends.cpu.get_cpu_capability()}"


def answer(first: str, message: str) -> Answer:
    """Answer a message of a command whose first message has its settings, versions and folders, both as JSON."""
    from robustrec.engine.spread import OUTPUT
    from robustrec.engine.worker import refusal, reply
    from robustrec.hardware import full_precision
    from robustrec.own_code import folders_stay

    asked = json.loads(first)
    node = socket.gethostname()
    faults: dict[int, str] = {}
    logs: list[str] = []
    with _logged(logs), folders_stay(), full_precision():
        try:
            _check(asked, node)
        except RobustrecError as error:
            return Answer(refusal(error), "{}", (), node, "")
        content = reply(lambda: _session(first, asked), json.loads(message))
        if content[:1] == OUTPUT:  # now, since nobody can ask a lost process
            faults = _session(first, asked).faults()
    return Answer(content, json.dumps(faults), tuple(logs), node, hardware(asked["device"]))


def _session(first: str, asked: dict[str, Any]) -> Session:
    """Return the session of a command; that of another command is dropped first."""
    import torch

    from robustrec.engine.sessions import session_of
    from robustrec.hardware import set_numerics

    key = hashlib.sha256(first.encode()).hexdigest()
    if key not in _HELD:
        _HELD.clear()
        with suppress(OSError):  # relative paths and user-defined code are found where the command has them
            os.chdir(asked["folder"])
        set_numerics()
        torch.set_num_threads(asked["threads"])
        _HELD[key] = session_of(asked)
    return _HELD[key]


def _check(asked: dict[str, Any], node: str) -> None:
    """Check that this process would compute what the command does.

    Raises:
        RobustrecError: it has other versions, or another home folder.
    """
    ours = versions()
    for name, theirs in asked["versions"].items():
        if ours.get(name) != theirs:
            raise RobustrecError(
                f"the Ray worker on {node} has {name} {ours.get(name)}, but this command has {theirs}",
                where=f"--engine {asked['engine']}",
                fix="install the same versions on all machines of the cluster: "
                f"pip install 'robustrec[ray]=={asked['versions']['robustrec']}'",
            )
    token = Path(asked["token"])
    try:
        seen = token.read_text(encoding="utf-8")
    except OSError:
        seen = ""
    if seen != token.name:
        raise RobustrecError(
            f"the Ray worker on {node} does not see the home folder {token.parent} of this command",
            where=f"--home {token.parent}",
            fix="use a folder that all machines of the cluster share: --home /shared/robustrec",
        )


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a record."""
        self.lines.append(record.getMessage())


@contextmanager
def _logged(lines: list[str]) -> Iterator[None]:
    """Collect what robustrec logs as warnings."""
    handler = _Lines(lines)
    logger = logging.getLogger("robustrec")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
