"""Names of engines: local, ray, ray://HOST:PORT; without torch."""

from __future__ import annotations

import importlib.util

from robustrec.config import Settings
from robustrec.errors import RobustrecError

LOCAL = "local"


def engine_words(settings: Settings) -> str:
    """Return where the work of a command runs, in words."""
    if settings.engine == LOCAL:
        return f"local, {settings.workers} process{'es' if settings.workers > 1 else ''}"
    limit = f", at most {settings.workers} workers" if "workers" in settings.model_fields_set else ""
    return f"{settings.engine}, home folder {settings.home} shared by all machines{limit}"


def check_engine(engine: str) -> str:
    """Return the name of an engine that can be used here.

    Raises:
        RobustrecError: there is no such engine, or Ray is not installed.
    """
    if engine != LOCAL:
        address_of(engine)
        if importlib.util.find_spec("ray") is None:
            raise RobustrecError(
                "the Ray engine needs ray, but ray is not installed",
                where=f"--engine {engine}",
                fix="pip install 'robustrec[ray]', or use --engine local",
            )
    return engine


def address_of(engine: str) -> str:
    """Return the address in the name of a Ray engine, "" for the cluster of this machine.

    Raises:
        RobustrecError: it is not the name of an engine.
    """
    kind, separator, address = engine.partition("://")
    host, _, port = address.rpartition(":")
    if kind != "ray" or (separator and not (host and port.isdecimal() and 0 < int(port) < 65_536)):
        raise RobustrecError(
            f"unknown engine {engine!r}",
            where="--engine",
            fix="use local, ray, or ray://HOST:PORT with the address that ray start --head prints",
        )
    return address
