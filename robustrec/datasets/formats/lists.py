"""Lists of LightGCN: a line for each user, the user and then its items, separated by spaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from robustrec.datasets.formats.compressed import open_data
from robustrec.datasets.formats.lines import limited_lines
from robustrec.datasets.tables import DELIMITERS, guarded
from robustrec.errors import RobustrecError

MAX_LINE_BYTES = 2**28
HEAD_BYTES = 2**16


def are_lists(path: Path) -> bool:
    """Tell whether the first line of a file has no delimiter of tables.

    Raises:
        RobustrecError: the file cannot be read.
    """
    with guarded(path, "interactions"), open_data(path) as file:
        head = file.readline(HEAD_BYTES)
    return not any(delimiter.encode() in head for delimiter in DELIMITERS) and b"::" not in head


def read_lists(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number, user and item.

    Raises:
        RobustrecError: the file cannot be read, is not UTF-8 text, a line is too long, or a user has two lines.
    """
    seen: set[str] = set()
    with guarded(path, "interactions"), open_data(path) as file:
        fix = "write one line per user, the user and then its items"
        for number, content in limited_lines(file, path, fix=fix, most=MAX_LINE_BYTES):
            user, *items = content.decode("utf-8-sig").split() or [""]
            if user in seen:
                raise RobustrecError(
                    f"user {user[:60]!r} has two lines",
                    where=f"{path}: line {number}",
                    fix="write one line per user, the user and then its items; or a CSV file with the columns"
                    " user,item",
                )
            if user:
                seen.add(user)
            yield from ((number, [user, item]) for item in items)


def is_cut_off(path: Path) -> bool:
    """Tell whether the last line of a file has no line break, so that its last item may be cut off."""
    with guarded(path, "interactions"), open_data(path) as file:
        last = b""
        while content := file.read(2**20):
            last = content[-1:]
    return last not in (b"", b"\n")
