"""The Ray engine: runs trainings and tasks on the machines of a Ray cluster."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import IO, Any

from robustrec.audits.results import Audited, Work
from robustrec.audits.tasks import Task
from robustrec.config import Settings
from robustrec.engine.names import address_of
from robustrec.engine.ray_worker import hardware, versions
from robustrec.engine.spread import JSON, Spread
from robustrec.errors import RobustrecError
from robustrec.files import write_atomically
from robustrec.hardware import pick_device
from robustrec.progress import Progress

LINK = ("-m", "robustrec.engine.ray_link")
"""Arguments of Python for the process that joins the cluster, before the number of its pipe."""

MOST = 256
"""Largest number of messages at a time, where `--workers` does not say."""

LOST_SECONDS = 40.0
"""Time without an answer of the head after which a cluster counts as lost."""

_JOIN_SECONDS, _CONNECT_SECONDS, _END_SECONDS = 90.0, 10.0, 10.0

_log = logging.getLogger(__name__)


class OnRay(Spread):
    """Runs the tasks of a command on a Ray cluster, with the same results to the bit as in one process.

    Args:
        engine: "ray" or "ray://HOST:PORT".
        workers: largest number of workers; None: as many as the cluster has room for.
    """

    def __init__(self, engine: str, workers: int | None = None) -> None:
        super().__init__(workers or MOST, alone=False)
        self.engine = engine
        self._link: _Link | None = None
        self._found: dict[int, str] = {}
        self._hardware: set[str] = set()
        self._token: Path | None = None

    @contextlib.contextmanager
    def encoding(self, first: dict[str, Any], settings: Settings, progress: Progress) -> Iterator[None]:
        """Join the cluster, then encode the catalog in it: without a cluster, no work starts.

        Raises:
            RobustrecError: no cluster answers, or it cannot do what is asked.
        """
        self.started(first, settings, progress)
        with super().encoding(first, settings, progress):
            yield

    def begin(self, tasks: Sequence[Task], subjects: Audited, work: Work) -> None:
        """Look for stored outputs, and give the other tasks to the cluster."""
        super().begin(tasks, subjects, work)
        self._hardware.add(hardware(work.context.prepared.device.type))

    def end(self) -> dict[int, str]:
        """Return the faults of the reach check in the workers; record if machines differ."""
        faults = super().end()
        if len(self._hardware) > 1:
            self._work.results.warnings.append(
                f"the machines have different hardware ({'; '.join(sorted(self._hardware))}): the last digits of "
                "numbers can differ from those of a run on one machine"
            )
        return faults

    def _open(self, settings: Settings, progress: Progress) -> None:
        """Join the cluster."""
        device, home = pick_device(settings.device).type, settings.home.absolute()
        # Each worker sees one GPU, and has no environment or configuration file of the command.
        given = settings.model_copy(update={"device": device, "home": home})
        self._token = home / f".cluster.{secrets.token_hex(4)}"
        write_atomically(self._token, self._token.name)
        self._first |= {
            "settings": given.model_dump_json(exclude_unset=True),
            "engine": self.engine,
            "device": device,
            "folder": str(Path.cwd()),
            "token": str(self._token),
            "versions": versions(),
            "lost_seconds": LOST_SECONDS,
        }
        try:
            self._link = _Link(self.engine, self._first, self._note)
        except BaseException:
            self._token.unlink(missing_ok=True)
            raise
        cluster = self._link.cluster
        progress("Ray cluster", 0, 1, f"{cluster['machines']} machines, {cluster['cpus']} CPUs, {cluster['gpus']} GPUs")

    def _send(self, message: dict[str, Any], what: str) -> bytes:
        assert self._link is not None
        about, content = self._link.ask(message, what)
        if "error" in about or "fault" in about:
            return JSON + json.dumps(about).encode()
        self._found |= {int(place): fault for place, fault in json.loads(about["faults"]).items()}
        self._hardware.update([about["hardware"]] if about["hardware"] else [])
        for line in about["logs"]:
            _log.warning("%s: %s", about["node"], line)
        return content

    def _stop(self, *, failed: bool) -> None:
        if self._link is not None:
            self._link.end(failed=failed)
        if self._token is not None:
            self._token.unlink(missing_ok=True)

    def _faults(self) -> dict[int, str]:
        return self._found

    def _note(self, event: Mapping[str, Any]) -> None:
        """Say what happened in the cluster."""
        if "lost" in event:
            _log.warning("a Ray worker was lost during %s (%s); it runs again elsewhere", event["lost"], event["why"])


def _reach(address: str, engine: str) -> None:
    """Check that something answers at an address; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise RobustrecError(
            f"no Ray cluster answers at {address}: {error.strerror or error}",
            where=f"--engine {engine}",
            fix="use the address that ray start --head printed, on a machine of the cluster: --engine ray://HOST:6379",
        ) from error


class _Link:
    """The process that joins the cluster, and the answers that are awaited."""

    def __init__(self, engine: str, first: dict[str, Any], note: Any) -> None:
        address = address_of(engine)
        if address:
            _reach(address, engine)
        self.engine, self.note = engine, note
        self._waiting: dict[int, Future[tuple[dict[str, Any], bytes]]] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._ending = False
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - Ray's own messages, for an error
        self._connection, theirs = Pipe()
        with contextlib.closing(theirs):
            self._process = subprocess.Popen(
                [sys.executable, *LINK, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
            )
        try:
            self._join(address, first)
        except BaseException:
            self._kill()
            self._errors.close()
            raise
        self._reader = threading.Thread(target=self._read, name="ray", daemon=True)
        self._reader.start()

    def _join(self, address: str, first: dict[str, Any]) -> None:
        try:
            self._connection.send_bytes(json.dumps([address, first]).encode())
            if not self._connection.poll(_JOIN_SECONDS):
                raise EOFError
            self.cluster = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise self._lost(f"cannot join the Ray cluster within {_JOIN_SECONDS:.0f} s") from None
        if "error" in self.cluster:
            what, where, fix = self.cluster["error"]
            raise RobustrecError(what, where=where, fix=fix)

    def ask(self, message: dict[str, Any], what: str) -> tuple[dict[str, Any], bytes]:
        """Return what is said about an answer, and the answer.

        Raises:
            RobustrecError: the cluster was lost.
        """
        answer: Future[tuple[dict[str, Any], bytes]] = Future()
        with self._lock:
            self._number += 1
            number = self._number
            self._waiting[number] = answer
            try:
                self._connection.send_bytes(json.dumps({"id": number, "what": what, "message": message}).encode())
            except OSError:
                self._waiting.pop(number, None)
                raise self._lost("the connection to the Ray cluster was lost") from None
        return answer.result()

    def _read(self) -> None:
        """Give answers to those who wait for them, until the process ends."""
        try:
            while True:
                about = json.loads(self._connection.recv_bytes())
                if "id" not in about:
                    self.note(about)
                    continue
                content = self._connection.recv_bytes() if "node" in about else b""
                self._waiting.pop(about["id"]).set_result((about, content))
        except (EOFError, OSError):
            error = self._lost("the connection to the Ray cluster was lost")
            with self._lock:
                self._connection.close()
                for answer in self._waiting.values():
                    answer.set_exception(error)
                self._waiting.clear()

    def _lost(self, what: str) -> RobustrecError:
        return RobustrecError(
            f"{what}{self._last_words()}",
            where=f"--engine {self.engine}",
            fix="check the cluster (ray status), then run the same command again; what was finished is kept",
        )

    def _last_words(self) -> str:
        """Return the last line that Ray printed, or nothing."""
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        text = "".join(char for char in lines[-1] if char.isprintable()) if lines else ""
        return f" ({text[:300]})" if text else ""

    def end(self, *, failed: bool) -> None:
        """Leave the cluster; what still runs in it is cancelled."""
        with contextlib.suppress(OSError), self._lock:
            self._connection.send_bytes(json.dumps({"end": failed}).encode())
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill()
        self._reader.join()
        self._errors.close()

    def _kill(self) -> None:
        self._process.kill()  # Ray ends the workers of a command whose process ended
        self._process.wait()
