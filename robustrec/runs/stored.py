"""The stored trainings of a home folder, and trainings by the beginning of their keys; read without torch."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from robustrec.config import home_words
from robustrec.errors import RobustrecError
from robustrec.home_folders import PARTIAL, Entry, entries_in
from robustrec.runs.records import RECORD, read_record

SHORTEST_PREFIX = 4
_SHOWN_KEY = 8
_PREFIX = re.compile(r"[0-9a-f]{4,32}")


@dataclass(frozen=True)
class StoredRun:
    """A stored training.

    Attributes:
        key: its key.
        short: the beginning of the key that no other run of the store has.
        entry: its folder with size and time of last use.
        stored: when the training ended, or was fetched from a store.
        record: its record; empty if it cannot be read.
        reports: names of the reports of the reports folder that use it.
        features: name of the item features; empty if nothing says it.
        problem: why the record cannot be read, or "".
    """

    key: str
    short: str
    entry: Entry
    stored: datetime
    record: Mapping[str, Any] = field(default_factory=dict)
    reports: tuple[str, ...] = ()
    features: str = ""
    problem: str = ""

    @property
    def strategy(self) -> str:
        """Name of the strategy."""
        settings = self.record.get("strategy")
        return str(settings.get("name", "")) if isinstance(settings, dict) else ""

    @property
    def dataset(self) -> str:
        """Name and edition of the data set."""
        data = self.record.get("dataset")
        return f"{data.get('name', '')} ({data.get('edition', '')})" if isinstance(data, dict) else ""

    @property
    def stopped(self) -> str:
        """Why the training ended."""
        if not self.record:
            return ""
        if self.record.get("stopped_early"):
            return "early stop"
        return "max. epochs"


def stored_runs(
    home: Path, used: Mapping[str, Sequence[tuple[str, str]]] | None = None, *, keys: Sequence[str] | None = None
) -> list[StoredRun]:
    """Return the stored trainings, the newest first.

    Args:
        home: the home folder.
        used: run key -> the name of each report that uses it with its name of the features.
        keys: read only these; None: all.
    """
    entries = [each for each in entries_in(home, "runs") if not PARTIAL.fullmatch(each.name)]
    names = [each.name for each in entries]
    found = []
    for entry in entries:
        if keys is not None and entry.name not in keys:
            continue
        record_file = entry.path / RECORD
        try:
            stored = datetime.fromtimestamp(record_file.lstat().st_mtime, UTC)
        except OSError:
            stored = datetime.fromtimestamp(entry.used, UTC)
        try:
            if record_file.is_symlink() or record_file.parent.is_symlink():
                raise RobustrecError(f"{RECORD} is a link", where=str(record_file), fix="remove it")
            record, problem = read_record(entry.path), ""
        except RobustrecError as error:
            record, problem = {}, error.what
        reports = (used or {}).get(entry.name, ())
        named = str(record.get("features") or next((name for _, name in reports if name), ""))
        found.append(
            StoredRun(
                key=entry.name,
                short=shortest(entry.name, names),
                entry=entry,
                stored=stored,
                record=record,
                reports=tuple(dict.fromkeys(name for name, _ in reports)),
                features=named or ("" if record.get("features_digest") or problem else "none"),
                problem=problem,
            )
        )
    return sorted(found, key=lambda run: (run.stored, run.key), reverse=True)


def shortest(key: str, keys: Sequence[str]) -> str:
    """Return the shortest beginning of a key, of at least 8 digits, that no other key has."""
    for length in range(_SHOWN_KEY, len(key)):
        if sum(other.startswith(key[:length]) for other in keys) <= 1:
            return key[:length]
    return key


def list_command(home: Path) -> str:
    """Return the command that lists the stored runs of a home folder."""
    return shlex.join(["robustrec", "runs", "list", *home_words(home)])


def find_run(given: str, home: Path, *, where: str) -> str | None:
    """Return the key of the stored run that a text is the key of, or its unique beginning; None if it is neither.

    Args:
        given: what the user gave.
        home: the home folder.
        where: the option or argument, for errors.

    Raises:
        RobustrecError: several keys begin so.
    """
    if not _PREFIX.fullmatch(given):
        return None
    keys = [each.name for each in entries_in(home, "runs") if not PARTIAL.fullmatch(each.name)]
    matching = [key for key in keys if key.startswith(given)]
    if len(matching) > 1:
        raise RobustrecError(
            f"{given!r} is the beginning of {len(matching)} run keys: {', '.join(matching[:8])}"
            + (f" and {len(matching) - 8} more" if len(matching) > 8 else ""),
            where=where,
            fix=f"give more of the key: {list_command(home)}",
        )
    return matching[0] if matching else None


def found_run(given: str, home: Path, *, where: str) -> str:
    """Return the key of a stored run by its key or the unique beginning of it.

    Raises:
        RobustrecError: there is none, or there are several.
    """
    key = find_run(given, home, where=where)
    if key is None:
        short = f"; a key has at least {SHORTEST_PREFIX} hexadecimal digits" if not _PREFIX.fullmatch(given) else ""
        raise RobustrecError(
            f"run {given!r} not found{short}", where=where, fix=f"list the stored runs: {list_command(home)}"
        )
    return key
