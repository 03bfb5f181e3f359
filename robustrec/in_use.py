"""Marks of stored entries that a process uses, so that no other process removes them.

A process holds a shared lock on the folder or file of each entry that it uses, until the block `marking_use` ends. Who
removes an entry takes the exclusive lock first, without waiting, and renames the entry before its files are deleted: a
process that is killed leaves a whole entry, or a leftover that `files.remove_leftovers` removes.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from robustrec.errors import RobustrecError
from robustrec.files import unwritable

_MOST_MARKS = 200  # of files kept open; beyond, the folder that holds the entries is marked instead

_access = threading.Lock()
_blocks: list[None] = []
_marked: dict[Path, int] = {}


class InUseError(Exception):
    """An entry is used by a process."""


@contextmanager
def marking_use() -> Iterator[None]:
    """Keep the marks of `mark_used` until the outermost such block of the process ends."""
    with _access:
        _blocks.append(None)
    try:
        yield
    finally:
        with _access:
            _blocks.pop()
            if not _blocks:
                for descriptor in _marked.values():
                    os.close(descriptor)
                _marked.clear()


def mark_used(path: Path) -> None:
    """Mark a stored entry as used by this process, and set its time of last use; nothing outside `marking_use`.

    A path that does not exist gets no mark, and neither does any where the file system has no locks.
    """
    with _access:
        if not _blocks or path in _marked:
            return
        if len(_marked) >= _MOST_MARKS:
            path = path.parent
            if path in _marked:
                return
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                there = path.stat()
                if os.path.samestat(there, os.fstat(descriptor)):  # else it was removed before it was marked
                    _marked[path] = descriptor
                    descriptor = -1
                    with suppress(OSError):
                        os.utime(path)
            finally:
                if descriptor >= 0:
                    os.close(descriptor)


def remove_entry(path: Path, *, lock: Path | None = None) -> None:
    """Remove a stored entry that no process uses: rename it, then delete its files. Links in it are not followed.

    Args:
        path: folder or file.
        lock: the lock file of the processes that make the entry, if they have one.

    Raises:
        InUseError: a process makes or uses it; it stays as it is.
        RobustrecError: it is a link, or cannot be removed.
    """
    if path.is_symlink():
        raise RobustrecError(
            f"{path.name} is a link and was not removed", where=str(path), fix="remove the link itself, with rm"
        )
    with ExitStack() as stack:
        if lock is not None:
            stack.enter_context(_locked_now(lock))
        for place in (path.parent, path):
            stack.enter_context(_exclusive(place))
        leftover = path.with_name(f".{os.fsdecode(os.fsencode(path.name)[:200])}.{secrets.token_hex(4)}")
        try:
            path.rename(leftover)
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()
        except OSError as error:
            raise unwritable(path, error) from error


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUseError(path.name) from error
        except OSError as error:  # without locks, nobody can tell whether it is used
            raise unwritable(path, error) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _locked_now(path: Path) -> Iterator[None]:
    """Hold a lock file as `files.locked` does, without waiting."""
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise InUseError(path.name) from error
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        lock.release()
