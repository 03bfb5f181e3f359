"""Lines of text files, compressed or not, with a limit on their length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from robustrec.datasets.formats.compressed import open_data
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError

MAX_LINE_BYTES = 2**20


def limited_lines(file: IO[bytes], path: Path, *, fix: str, most: int = MAX_LINE_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each line of an open file.

    Raises:
        RobustrecError: a line has more than `most` bytes.
    """
    number = 0
    while line := file.readline(most + 1):
        number += 1
        if len(line) > most:
            raise RobustrecError(f"the line is longer than {most} bytes", where=f"{path}: line {number}", fix=fix)
        yield number, line


def read_lines(path: Path, what: str) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each line that is not blank; a byte order mark is left out.

    Args:
        path: the file, compressed or not.
        what: content of the file for messages, e.g. "metadata".

    Raises:
        RobustrecError: the file cannot be read, is truncated or damaged, or a line has more than `MAX_LINE_BYTES`.
    """
    number = 0
    try:
        with open_data(path) as file:
            fix = f"download the file again; it may be damaged or is not a file of {what}"
            for number, line in limited_lines(file, path, fix=fix):
                content = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if content.strip():
                    yield number, content
    except (OSError, UnreadableError) as error:
        raise RobustrecError(
            f"cannot read the {what}: {getattr(error, 'strerror', None) or error}",
            where=f"{path}: after line {number}" if number else str(path),
            fix="download the file again; it may be truncated or damaged",
        ) from error
