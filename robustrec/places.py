"""Where a path of an output leads: links, open files of this process, named pipes and devices."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path


def opened_in_place(path: Path) -> int | None:
    """Return a descriptor to write to where a path must not be replaced: it is not a regular file, or an open one.

    Raises:
        OSError: it cannot be opened; nobody reads a named pipe; it is a folder or a disk.
    """
    own = own_descriptor(path)
    if own is not None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        return os.dup(own)
    if not path.exists() or path.is_file():
        return None
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.is_block_device():
        raise PermissionError(errno.EPERM, "it is a block device")
    # Without O_NONBLOCK, opening a named pipe waits until somebody reads from it.
    descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def own_descriptor(path: Path) -> int | None:
    """Return which open file of this process a path leads to: /dev/stdout, /dev/fd/3, or the file of stdout by name."""
    place = path
    for _ in range(40):  # as many links as Linux follows
        folder = Path(os.path.realpath(place.parent))
        if place.name.isdecimal() and str(folder) in ("/dev/fd", f"/proc/{os.getpid()}/fd"):
            return int(place.name)
        if not (folder / place.name).is_symlink():
            break
        place = folder / (folder / place.name).readlink()
    for number in (1, 2):
        with suppress(OSError):
            if path.is_file() and os.path.samestat(path.stat(), os.fstat(number)):
                return number
    return None


def without_links(path: Path) -> Path:
    """Return the path without links.

    Raises:
        OSError: its links lead back to themselves.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def same_file(one: Path, other: Path) -> bool:
    """Tell whether two paths are one regular file, or will be."""
    if any(path.exists() and not path.is_file() for path in (one, other)):
        return False
    if one.exists() and other.exists():
        return one.samefile(other)
    return os.path.realpath(one) == os.path.realpath(other)


def is_inside(path: Path, folder: Path) -> bool:
    """Tell whether a path leads to something in a folder, links followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
