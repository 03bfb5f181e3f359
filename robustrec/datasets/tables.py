"""Rows of a delimited text file, with line numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError, open_regular

DELIMITERS = ",\t;|"
SUFFIXES = (".csv", ".tsv")
HEAD_CHARACTERS = 2**16


def read_rows(path: Path, what: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of every non-empty row.

    Args:
        path: file separated by commas, tabs, semicolons or |, UTF-8 with or without a byte order mark.
        what: content of the file for messages, e.g. "ratings".

    Raises:
        RobustrecError: the file cannot be read, is not UTF-8 text, or a quote is not closed.
    """
    line = 0
    try:
        with _guarded(path, what), io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            head = file.readline(HEAD_CHARACTERS)
            file.seek(0)
            reader = csv.reader(file, delimiter=max(DELIMITERS, key=head.count), strict=True)
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


def read_lists(path: Path) -> Iterator[tuple[int, list[str]]] | None:
    """Yield line number, user and item of a file with one line per user: the user, then its items.

    This is the format of LightGCN's splits, separated by spaces. Returns None for other formats.

    Raises:
        RobustrecError: the file cannot be read, is not UTF-8 text, or a user has two lines.
    """
    with _guarded(path, "interactions"), open_regular(path) as file:
        text = file.read().decode("utf-8-sig")
    lines = text.splitlines()
    if any(delimiter in line for line in lines[:1] for delimiter in DELIMITERS):
        return None
    return _pairs_of(path, lines)


def _pairs_of(path: Path, lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        user, *items = line.split() or [""]
        if user in seen:
            raise RobustrecError(
                f"user {user[:60]!r} has two lines",
                where=f"{path}: line {number}",
                fix="write one line per user, the user and then its items; or a CSV file with the columns user,item",
            )
        if user:
            seen.add(user)
        yield from ((number, [user, item]) for item in items)


@contextmanager
def _guarded(path: Path, what: str) -> Iterator[None]:
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
            f"cannot read the {what}: {reason}", where=str(path), fix="give the path of an existing CSV file"
        ) from error


def peek_header(path: Path) -> list[str]:
    """Return the first row of a delimited file; empty if it cannot be read."""
    try:
        return next((row for _, row in read_rows(path, "table")), [])
    except RobustrecError:
        return []


def _undecodable_line(path: Path) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1
