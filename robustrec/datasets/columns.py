"""Delimited text, parsed by column with numpy; errors have line numbers."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.formats.compressed import open_data
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError

MAX_DIGITS = 18  # what int64 surely holds
NEWLINE, MINUS, ZERO = 10, 45, 48


class Table(NamedTuple):
    """A delimited file split into fields that are not parsed yet.

    Attributes:
        path: the file.
        header: names of the columns C.
        data: the bytes of the body.
        starts: [rows, C] first byte of each field in `data`.
        ends: [rows, C] one past its last byte.
    """

    path: Path
    header: tuple[str, ...]
    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def line(self, row: int) -> int:
        """Return the line number in the file of a row; the header is line 1."""
        return row + 2

    def text(self, row: int, column: int) -> str:
        """Return a field as text, shortened for messages."""
        field = self.data[self.starts[row, column] : self.ends[row, column]][:60]
        return field.tobytes().decode("utf-8", "replace")


def read_table(path: Path, *, delimiter: str) -> Table:
    """Read a file with a header and one record per line, without quoting.

    Raises:
        RobustrecError: the file is missing, empty or not UTF-8 text, or the number of fields of a line differs from
            the header.
    """
    try:
        with open_data(path) as file:
            content = file.read()
    except (OSError, UnreadableError) as error:
        raise RobustrecError(
            f"cannot read {path.name}: {getattr(error, 'strerror', None) or error}",
            where=str(path),
            fix="give the path of an existing .inter file",
        ) from error
    _check_text(path, content)
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    first, _, body = content.partition(b"\n")
    if not first.strip():
        what = "the file is empty" if not content.strip() else "the first line is empty"
        raise RobustrecError(what, where=str(path), fix="the first line must be a header with the column names")
    header = tuple(name.strip() for name in first.decode().split(delimiter))
    body = body.rstrip(b"\n")
    if not body:
        raise RobustrecError(
            "the file has a header but no rows", where=str(path), fix="export the file again; it may be truncated"
        )
    return _cut(path, header, np.frombuffer(body, dtype=np.uint8), ord(delimiter))


def integers(table: Table, name: str) -> NDArray[np.int64]:
    """Return one column as int64.

    Raises:
        RobustrecError: a field is empty, is not a decimal integer, or has too many digits for an id.
    """
    column = table.header.index(name)
    starts, ends = table.starts[:, column], table.ends[:, column]
    if (ends == starts).any():
        raise _field_error(table, name, int(np.argmax(ends == starts)), "is missing")
    negative = table.data[starts] == MINUS
    starts = starts + negative
    widths = ends - starts
    bad = widths < 1
    values = np.zeros(len(starts), dtype=np.int64)
    for place in range(min(int(widths.max()), MAX_DIGITS)):
        here = widths > place
        digits = table.data[np.minimum(starts + place, len(table.data) - 1)].astype(np.int64) - ZERO
        bad |= here & ((digits < 0) | (digits > 9))
        values = np.where(here, values * 10 + digits, values)
    if bad.any():
        raise _field_error(table, name, int(np.argmax(bad)), "is not an integer")
    if (widths > MAX_DIGITS).any():
        raise _field_error(table, name, int(np.argmax(widths > MAX_DIGITS)), f"has more than {MAX_DIGITS} digits")
    return np.where(negative, -values, values)


def _check_text(path: Path, content: bytes) -> None:
    problem, position = "", content.find(b"\0")
    if position >= 0:
        problem = "contains a NUL byte"
    else:
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as error:
            problem, position = f"is not UTF-8 text (byte 0x{content[error.start]:02x})", error.start
    if problem:
        line = content.count(b"\n", 0, position) + 1
        raise RobustrecError(
            f"the file {problem}",
            where=f"{path}: line {line}",
            fix="export the file again as UTF-8 text; it may be damaged",
        )


def _cut(path: Path, header: tuple[str, ...], data: NDArray[np.uint8], delimiter: int) -> Table:
    width = len(header)
    breaks = np.flatnonzero((data == delimiter) | (data == NEWLINE)).astype(np.int64)
    is_end = np.append(data[breaks] == NEWLINE, True)
    breaks = np.append(breaks, len(data))
    fields = np.diff(np.flatnonzero(is_end), prepend=-1)
    wrong = np.flatnonzero(fields != width)
    if len(wrong):
        row = int(wrong[0])
        last = " (the last line: the file may be truncated)" if row == len(fields) - 1 else ""
        raise RobustrecError(
            f"{fields[row]} field{'s' if fields[row] != 1 else ''}, but the header has {width}{last}",
            where=f"{path}: line {row + 2}",
            fix="export the file again, or delete this line",
        )
    ends = breaks.reshape(-1, width)
    starts = np.empty_like(ends)
    starts.flat[0] = 0
    starts.flat[1:] = ends.flat[:-1] + 1
    return Table(path, header, data, starts, ends)


def _field_error(table: Table, name: str, row: int, what: str) -> RobustrecError:
    shown = table.text(row, table.header.index(name))
    return RobustrecError(
        f"{name} {shown!r} {what}" if shown else f"{name} {what}",
        where=f"{table.path}: line {table.line(row)}, column {name}",
        fix="write integers from 0; the file may be truncated here",
    )
