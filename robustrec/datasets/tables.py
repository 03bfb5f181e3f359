"""Rows of a delimited text file, with line numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from robustrec.datasets.formats.compressed import data_suffix, open_data
from robustrec.datasets.formats.movielens import SEPARATOR
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError

DELIMITERS = ",\t;|"
SUFFIXES = (".csv", ".tsv")
HEAD_CHARACTERS = 2**16
MAX_LINE = 2**24
"""Characters of a line at most."""


def read_rows(
    path: Path, what: str, *, delimiter: str | None = None, loose: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of every non-empty row.

    Args:
        path: file separated by commas, tabs, semicolons or |, or a `.dat` file separated by `::`; UTF-8 with or without
            a byte order mark, compressed or not.
        what: content of the file for messages, e.g. "ratings".
        delimiter: what separates fields; None: what the first line has most of.
        loose: read one row a line, in which a quote is part of the text unless it encloses a whole field.

    Raises:
        RobustrecError: the file cannot be read, is not UTF-8 text, a line is too long, or a quote is not closed.
    """
    line = 0
    try:
        with (
            guarded(path, what),
            open_data(path) as binary,
            io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as file,
        ):
            head = file.readline(HEAD_CHARACTERS)
            file.seek(0)
            if delimiter == SEPARATOR or (data_suffix(path) == ".dat" and SEPARATOR in head):
                delimiter, loose = SEPARATOR, True
            delimiter = delimiter or max(DELIMITERS, key=head.count)
            if loose:
                for line, text in enumerate(_lines(file, path), start=1):
                    if text := text.rstrip("\r\n"):
                        yield line, [_unquoted(field) for field in text.split(delimiter)]
                return
            reader = csv.reader(_lines(file, path), delimiter=delimiter, strict=True)
            for row in reader:
                line = reader.line_num
                if row:
                    yield line, row
    except csv.Error as error:
        raise RobustrecError(
            f"cannot read the {what}: {error}",
            where=f"{path}: line {line + 1} or after",
            fix="export the file again as CSV with closed quotes; it may be truncated",
        ) from error


def _lines(file: io.TextIOWrapper, path: Path) -> Iterator[str]:
    number = 0
    while text := file.readline(MAX_LINE + 1):
        number += 1
        if len(text) > MAX_LINE:
            raise RobustrecError(
                f"the line is longer than {MAX_LINE} characters",
                where=f"{path}: line {number}",
                fix="export the file again with one record a line",
            )
        yield text


def _unquoted(field: str) -> str:
    """Return a field without the quotes around it, where all quotes within are doubled."""
    if len(field) > 1 and field[0] == field[-1] == '"' and '"' not in (inner := field[1:-1]).replace('""', ""):
        return inner.replace('""', '"')
    return field


@contextmanager
def guarded(path: Path, what: str) -> Iterator[None]:
    """Turn what the reading of a text file raises into the error that users see.

    Raises:
        RobustrecError: the file cannot be read or is not UTF-8 text.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise RobustrecError(
            f"the file is not UTF-8 text: {error.reason} (byte 0x{error.object[error.start]:02x})",
            where=f"{path}: line {_undecodable_line(path)}",
            fix="export the file again as UTF-8 text",
        ) from error
    except (OSError, UnreadableError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RobustrecError(
            f"cannot read the {what}: {reason}",
            where=str(path),
            fix="copy or export the file again" if path.is_file() else "give the path of an existing CSV file",
        ) from error


def peek_header(path: Path) -> list[str]:
    """Return the first row of a delimited file; empty if it cannot be read."""
    try:
        return next((row for _, row in read_rows(path, "table")), [])
    except RobustrecError:
        return []


def _undecodable_line(path: Path) -> int:
    with suppress(UnreadableError), open_data(path) as file:  # it may also be cut off
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1
