"""Regular files, opened without waiting and read up to a limit."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

DOCUMENT_BYTES = 1 << 20
"""Most bytes of a document that people write: suites, settings, waivers, configurations."""

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class UnreadableError(ValueError):
    """A file cannot be read, is damaged or holds something else than expected; its text says what."""


def regular_file(path: Path) -> os.stat_result:
    """Return the status of a regular file, without opening it.

    Raises:
        UnreadableError: it does not exist, or is a directory, named pipe, socket or device.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise UnreadableError(reason(error)) from error
    _check_regular(status)
    return status


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; a named pipe or a device is refused at once, never waited for.

    Raises:
        UnreadableError: it does not exist, may not be read, or is not a regular file.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe waits until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        _check_regular_if_there(path)
        raise UnreadableError(reason(error)) from error
    try:
        _check_regular(os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, *, most: int) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Raises:
        UnreadableError: as `open_regular`, or the file is larger.
    """
    with open_regular(path) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise UnreadableError(reason(error)) from error
    if len(content) > most:
        raise UnreadableError(f"the file is larger than {size_words(most)}")
    return content


def read_text(path: Path, *, most: int = DOCUMENT_BYTES) -> str:
    """Return the content of a regular UTF-8 file of at most `most` bytes; a byte order mark is left out.

    Raises:
        UnreadableError: as `read_bytes`, or it is not UTF-8.
    """
    try:
        return read_bytes(path, most=most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}") from error


def reason(error: Exception) -> str:
    """Return what the operating system, or Python before it was asked, says about a path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def size_words(size: int) -> str:
    """Return a limit in words: "1 MiB"."""
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << shift:
            return f"{size >> shift} {unit}"
    return f"{size} bytes"


def _check_regular_if_there(path: Path) -> None:
    """Say what a path is where opening it failed for that reason (a socket gives ENXIO)."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return
    _check_regular(status)


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kind = next((words for test, words in _KINDS if test(status.st_mode)), os.strerror(errno.EINVAL))
    raise UnreadableError(f"it is {kind}, not a regular file")
