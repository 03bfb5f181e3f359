"""The process that joins a Ray cluster for a command, and passes messages on.

Ray ends a process that loses its cluster, with an exit code that would look like a breached gate, and it changes
signal handlers and logging. So a command never joins a cluster itself.

Messages come on a pipe: JSON {"id", "what", "message"}. Answers are JSON {"id", …} and, for an answer, its bytes.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ray as ray_types

ATTEMPTS = 3
"""Number of times that a message is sent when its worker or machine is lost."""

_POLL = 0.02
"""Seconds to wait for an answer before looking for further messages."""


class _Watch:
    """Ends this process when the head of the cluster has not answered for some time; Ray would wait for longer."""

    def __init__(self, address: str, seconds: float) -> None:
        host, _, port = address.rpartition(":")
        self.address, self.seconds = (host, int(port)), seconds
        self.answered = self.looked = time.monotonic()

    def check(self) -> None:
        """Look whether the head answers, now and then."""
        now = time.monotonic()
        if now - self.looked < self.seconds / 8:
            return
        self.looked = now
        try:
            socket.create_connection(self.address, timeout=self.seconds / 8).close()
            self.answered = now
        except OSError as error:
            if now - self.answered > self.seconds:
                os.write(2, f"the head of the cluster does not answer: {error.strerror or error}\n".encode())
                os._exit(1)


@dataclass
class _Sent:
    number: int
    what: str
    message: str
    attempts: int = 1


class Link:
    """Messages on their way through a cluster.

    Args:
        connection: to the command.
        first: the first message of the command.
    """

    def __init__(self, connection: Connection, first: dict[str, Any]) -> None:
        import ray

        from robustrec.engine.ray_worker import answer

        self.connection, self.first = connection, first
        self.watch = _Watch(ray.get_runtime_context().gcs_address, first["lost_seconds"])
        self.text = json.dumps(first)
        self.sent: dict[ray_types.ObjectRef[Any], _Sent] = {}
        gpu = first["device"] == "cuda"
        self.run = ray.remote(
            num_cpus=1 if gpu else first["threads"],
            num_gpus=1 if gpu else 0,
            max_retries=0,  # counted here, and reported
            max_calls=0,  # Ray would end a process with a GPU after each task
            scheduling_strategy="SPREAD",
        )(answer)

    def serve(self) -> None:
        """Pass messages on until the command closes the pipe or says that it ends."""
        import ray

        while True:
            while self.connection.poll(0 if self.sent else None):
                try:
                    asked = json.loads(self.connection.recv_bytes())
                except EOFError:
                    asked = {"end": True}
                if "end" in asked:
                    self._cancel()
                    return
                self._send(_Sent(asked["id"], asked["what"], json.dumps(asked["message"])))
            self.watch.check()
            done, _ = ray.wait(list(self.sent), num_returns=1, timeout=_POLL)
            for ref in done:
                self._answered(ref, self.sent.pop(ref))

    def _send(self, sent: _Sent) -> None:
        self.sent[self.run.remote(self.text, sent.message)] = sent

    def _answered(self, ref: Any, sent: _Sent) -> None:
        """Send an answer to the command, or the message again if its worker was lost."""
        import ray
        from ray import exceptions as lost

        try:
            found = ray.get(ref)
        except (
            lost.WorkerCrashedError,
            lost.NodeDiedError,
            lost.ObjectLostError,
            lost.OutOfMemoryError,
            lost.LocalRayletDiedError,
        ) as error:
            kind = type(error).__name__
            if sent.attempts == ATTEMPTS:
                self._reply(sent, {"error": _lost_too_often(sent, kind, self.first["engine"])})
                return
            self.connection.send_bytes(json.dumps({"lost": sent.what, "why": kind, "attempt": sent.attempts}).encode())
            sent.attempts += 1
            self._send(sent)
        except lost.RayTaskError as error:
            self._reply(sent, _failed(str(error), self.first["engine"]))
        except lost.RayError as error:
            self._reply(sent, {"error": _of_ray(error, self.first["engine"])})
        else:
            about = {"faults": found.faults, "logs": found.logs, "node": found.node, "hardware": found.hardware}
            self._reply(sent, about, found.content)

    def _reply(self, sent: _Sent, about: dict[str, Any], content: bytes = b"") -> None:
        self.connection.send_bytes(json.dumps({"id": sent.number, **about}).encode())
        if "node" in about:
            self.connection.send_bytes(content)

    def _cancel(self) -> None:
        """End what still runs in the cluster."""
        import ray

        for ref in self.sent:
            ray.cancel(ref, force=True)
        self.sent.clear()


def _lost_too_often(sent: _Sent, kind: str, engine: str) -> list[str]:
    return [
        f"{ATTEMPTS} Ray workers were lost during {sent.what} ({kind})",
        f"--engine {engine}",
        "check the free memory of the machines of the cluster (ray status); what was finished is kept, so run the"
        " same command again",
    ]


def _failed(text: str, engine: str) -> dict[str, Any]:
    """Return what became of a message that a worker did not answer."""
    if "No module named 'robustrec" in text:
        from robustrec import __version__

        what = f"a Ray worker has no robustrec {__version__}"
        fix = f"on all machines of the cluster: pip install 'robustrec[ray]=={__version__}'"
        return {"error": [what, f"--engine {engine}", fix]}
    return {"fault": text}


def _of_ray(error: BaseException, engine: str) -> list[str]:
    line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return [f"Ray: {line.strip()[:300]}", f"--engine {engine}", "check the cluster: ray status"]


def joined(address: str, first: dict[str, Any]) -> dict[str, Any]:
    """Join a cluster, and return what it has, or an error.

    Args:
        address: of the cluster; "" for RAY_ADDRESS, else the cluster of this machine.
        first: the first message of the command.
    """
    import ray

    engine = f"--engine {first['engine']}"
    try:
        ray.init(
            address=address or os.environ.get("RAY_ADDRESS", "auto"),
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        what = " ".join(str(error).split())[:300]
        fix = "start a cluster on this machine (ray start --head), or name one: --engine ray://HOST:6379"
        return {"error": [f"no Ray cluster: {what}", engine, fix]}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    cpus = int(max((node.get("CPU", 0) for node in nodes), default=0))
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if first["device"] == "cuda" and not gpus:
        return {"error": ["the Ray cluster has no GPU", engine, "add a machine with a GPU, or use --device cpu"]}
    if first["device"] != "cuda" and cpus < first["threads"]:
        what = f"a worker needs {first['threads']} CPUs, but no machine of the Ray cluster has more than {cpus}"
        return {"error": [what, engine, f"use fewer threads: --threads {max(cpus, 1)}"]}
    return {"machines": len(nodes), "cpus": int(sum(node.get("CPU", 0) for node in nodes)), "gpus": gpus}


def main(descriptor: int) -> None:
    """Serve a command."""
    connection = Connection(descriptor)
    address, first = json.loads(connection.recv_bytes())
    cluster = joined(address, first)
    connection.send_bytes(json.dumps(cluster).encode())
    if "error" not in cluster:
        import ray

        Link(connection, first).serve()
        ray.shutdown()


if __name__ == "__main__":
    # The command ends this process itself when it is interrupted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(int(sys.argv[1]))
