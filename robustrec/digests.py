"""Digests of files that are remembered while the files keep their size and times."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from robustrec.errors import RobustrecError
from robustrec.files import digest_bytes, digest_file, digest_json, write_atomically
from robustrec.untrusted import UnreadableError, read_json_object

_VERSION = 1
# A file that changes twice within a clock tick keeps its stamp, so that a fresh stamp proves nothing yet.
_SETTLED_NS = 2 * 10**9

Stamp = list[int | str]


def file_stamp(path: Path) -> Stamp | None:
    """Return path, size, time of change and inode of a file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def is_settled(stamp: Stamp | None) -> bool:
    """Tell whether a file's last change is old enough for its stamp to stand for its content."""
    return stamp is None or time.time_ns() - max(int(stamp[2]), int(stamp[3])) > _SETTLED_NS


def remembered(cache: Path, name: str, state: Any, produce: Callable[[], Any], *, settled: bool) -> Any:
    """Return a JSON value kept under a name while the state stays the same, else produced now and kept.

    Args:
        cache: folder of such values; one that cannot be written costs time and is no error.
        name: what the value belongs to, such as a path.
        state: JSON value that changes when the value may.
        produce: makes the value.
        settled: whether the state can be trusted later; otherwise nothing is kept.
    """
    path = cache / f"{digest_bytes([name.encode('utf-8', 'surrogatepass')])[:32]}.json"
    key = digest_json([_VERSION, state])
    with suppress(UnreadableError):
        entry = read_json_object(path)
        if entry.get("state") == key and "value" in entry:
            return entry["value"]
    value = produce()
    if settled:
        with suppress(RobustrecError):
            write_atomically(path, json.dumps({"state": key, "value": value}))
    return value


def remembered_file_digests(files: Iterable[Path], cache: Path) -> Mapping[Path, str]:
    """Return the sha256 of files, each read only if it changed since its digest was kept in the cache."""
    digests: dict[Path, str] = {}
    for file in files:
        place = file.resolve()
        stamp = file_stamp(place)
        settled = is_settled(stamp)
        digests[file] = str(remembered(cache, f"file {place}", stamp, partial(digest_file, place), settled=settled))
    return digests
