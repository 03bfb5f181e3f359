"""Lines of text files, gzip-compressed or not, with a limit on their length."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError, open_regular

MAX_LINE_BYTES = 2**20
GZIP = b"\x1f\x8b"


@contextmanager
def open_stream(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading, decompressed if its content is gzip, whatever its name.

    Raises:
        UnreadableError: as `open_regular`.
    """
    with open_regular(path) as file:
        if cast(io.BufferedReader, file).peek(2).startswith(GZIP):
            with gzip.GzipFile(fileobj=file) as content:
                yield cast(BinaryIO, content)
        else:
            yield file


def read_lines(path: Path, what: str) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each line that is not blank; a byte order mark is left out.

    Args:
        path: the file, gzip-compressed or not.
        what: content of the file for messages, e.g. "reviews".

    Raises:
        RobustrecError: the file cannot be read, is truncated or damaged, or a line has more than `MAX_LINE_BYTES`.
    """
    number = 0
    try:
        with open_stream(path) as file:
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
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RobustrecError(
            f"the compressed file is truncated or damaged: {error}",
            where=f"{path}: after line {number}",
            fix="download the file again",
        ) from error
    except (OSError, UnreadableError) as error:
        raise RobustrecError(
            f"cannot read the {what}: {getattr(error, 'strerror', None) or error}",
            where=str(path),
            fix="give the path of an existing file",
        ) from error


def count_lines(path: Path, what: str) -> int:
    """Return the number of lines that are not blank.

    Raises:
        RobustrecError: as `read_lines`.
    """
    return sum(1 for _ in read_lines(path, what))
