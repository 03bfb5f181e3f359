"""The folders of the home folder: their entries, sizes and times of last use, and which entries may be removed.

Links are never followed: a linked folder has no entries here, and a linked entry is none.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from robustrec.files import remove_leftovers
from robustrec.in_use import InUseError, remove_entry

_KEY = re.compile(r"[0-9a-f]{32}")
PARTIAL = re.compile(r"\.partial-([0-9a-f]{32})(-\d+)?\.checkpoint")


class Folder(NamedTuple):
    """A folder of the home folder.

    Attributes:
        name: its name.
        what: what it holds.
        names: what the names of its entries look like; None for a folder from which nothing is removed.
        lock: the lock file of an entry, relative to the folder, or "" if its makers hold none.
    """

    name: str
    what: str
    names: re.Pattern[str] | None = None
    lock: str = ""


FOLDERS = (
    Folder("data", "imported data sets"),
    Folder("reports", "reports and comparisons"),
    Folder("downloads", "pictures from addresses"),
    Folder("digests", "digests of files"),
    Folder("runs", "trainings", _KEY, ".locks/{}"),
    Folder("features", "item features", _KEY, ".{}.lock"),
    Folder("encodings", "vectors of texts and pictures", _KEY, ".{}.lock"),
    Folder("pools", "edited content for training", _KEY, ".{}.lock"),
    Folder("races", "scores of recipe races", re.compile(r"[0-9a-f]{32}\.json")),
    Folder("measured", "parts of unfinished audits", re.compile(r"[0-9a-f]{64}")),
    Folder("planned", "plans of unfinished audits", re.compile(r"[0-9a-f]{64}\.json")),
    Folder("samples", "generated sample data", re.compile(r"[a-z0-9-]+-[0-9a-f]{12}"), ".{}.lock"),
)
PRUNABLE = tuple(folder.name for folder in FOLDERS if folder.names is not None)


class Entry(NamedTuple):
    """An entry that can be made again.

    Attributes:
        folder: name of its folder.
        name: its name there.
        path: where it is.
        size: bytes of its files.
        used: time of last use, in seconds since 1970.
        lock: lock file of the processes that make it, or None.
    """

    folder: str
    name: str
    path: Path
    size: int
    used: float
    lock: Path | None


class FolderSize(NamedTuple):
    """Size of a folder.

    Attributes:
        name: its name in the home folder.
        what: what it holds.
        entries: number of entries; None where they are not counted.
        size: bytes of all its files.
        used: time of the last use of an entry, or None.
        note: why it is not read, or "".
    """

    name: str
    what: str
    entries: int | None
    size: int
    used: float | None
    note: str = ""


def tree_size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder, without following links; 0 for what has vanished."""
    try:
        status = os.lstat(path)
    except OSError:
        return 0
    if not stat.S_ISDIR(status.st_mode):
        return status.st_size if stat.S_ISREG(status.st_mode) else 0
    return sum(tree_size(Path(each)) for each in _listed(path))


def _listed(folder: Path) -> list[str]:
    """Return the paths in a folder that is no link, sorted; none where it cannot be read."""
    try:
        if folder.is_symlink():
            return []
        with os.scandir(folder) as found:
            return sorted(each.path for each in found)
    except OSError:
        return []


def entries_in(home: Path, name: str) -> list[Entry]:
    """Return the entries of a folder of the home folder that can be removed, by name.

    Args:
        home: the home folder.
        name: one of PRUNABLE.
    """
    folder = next(each for each in FOLDERS if each.name == name)
    found = []
    for path in map(Path, _listed(home / name)):
        key = path.name
        if name == "runs" and (partial := PARTIAL.fullmatch(path.name)):
            key = partial[1]
        elif folder.names is None or not folder.names.fullmatch(path.name):
            continue
        try:
            status = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISLNK(status.st_mode):
            continue
        lock = home / name / folder.lock.format(key) if folder.lock else None
        found.append(Entry(name, path.name, path, tree_size(path), status.st_mtime, lock))
    return found


def home_sizes(home: Path) -> list[FolderSize]:
    """Return the size of every folder of the home folder, known ones first, and of everything else."""
    known = {folder.name: folder for folder in FOLDERS}
    there = {Path(path).name: Path(path) for path in _listed(home)}
    found = []
    for name, folder in known.items():
        path = there.pop(name, None)
        if path is None:
            continue
        if path.is_symlink():
            found.append(FolderSize(name, folder.what, None, 0, None, f"a link to {path.readlink()}: not followed"))
            continue
        entries = entries_in(home, name) if folder.names is not None else None
        used = max((each.used for each in entries or ()), default=None)
        found.append(FolderSize(name, folder.what, None if entries is None else len(entries), tree_size(path), used))
    rest = sum(tree_size(path) for path in there.values())
    return [*found, *([FolderSize("other", "other files", None, rest, None)] if there else [])]


def chosen(
    entries: Iterable[Entry],
    *,
    now: float,
    older_than: float | None = None,
    max_size: int | None = None,
    total: int = 0,
    unused: Callable[[Entry], bool] | None = None,
) -> list[Entry]:
    """Return the entries that fit at least one criterion, the least recently used first.

    Args:
        entries: those that may be removed.
        now: time in seconds since 1970.
        older_than: seconds since the last use.
        max_size: largest size of the home folder, in bytes.
        total: bytes that it has.
        unused: tells which entries nothing refers to.
    """
    taken: list[Entry] = []
    rest: list[Entry] = []
    for entry in sorted(entries, key=lambda each: (each.used, each.folder, each.name)):
        old = older_than is not None and now - entry.used > older_than
        (taken if old or (unused is not None and unused(entry)) else rest).append(entry)
    if max_size is not None:
        left = total - sum(entry.size for entry in taken)
        for entry in rest:
            if left <= max_size:
                break
            taken.append(entry)
            left -= entry.size
    return sorted(taken, key=lambda each: (each.used, each.folder, each.name))


class Removed(NamedTuple):
    """What was removed, and what a process uses."""

    removed: list[Entry]
    kept: list[Entry]


def remove(entries: Sequence[Entry]) -> Removed:
    """Remove entries, each whole or not at all; those that a process makes or uses stay.

    Raises:
        RobustrecError: an entry cannot be removed.
    """
    result = Removed([], [])
    for folder in {entry.path.parent for entry in entries}:
        remove_leftovers(folder)
    for entry in entries:
        if not os.path.lexists(entry.path):  # another process removed it
            continue
        try:
            remove_entry(entry.path, lock=entry.lock)
        except InUseError:
            result.kept.append(entry)
        else:
            result.removed.append(entry)
    return result
