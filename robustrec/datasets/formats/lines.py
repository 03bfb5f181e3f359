"""Lines of text files, compressed or not, with a limit on their length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from robustrec.datasets.formats.compressed import open_data
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError

MAX_LINE_BYTES = 2**20


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
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise RobustrecError(
                        f"the line is longer than {MAX_LINE_BYTES} bytes",
                        where=f"{path}: line {number}",
                        fix=f"download the file again; it may be damaged or is not a file of {what}",
                    )
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if line.strip():
                    yield number, line
    except (OSError, UnreadableError) as error:
        raise RobustrecError(
            f"cannot read the {what}: {getattr(error, 'strerror', None) or error}",
            where=f"{path}: after line {number}" if number else str(path),
            fix="download the file again; it may be truncated or damaged",
        ) from error
