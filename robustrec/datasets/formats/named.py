"""What the readers of formats with named columns return for interactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Rows = Iterator[tuple[int, list[str]]]
Records = Iterator[tuple[str, dict[str, Any]]]
"""Records of a catalog, each with its place for messages: file and line, or file, row and row group."""


class NamedTable(NamedTuple):
    """A table of interactions with named columns.

    Attributes:
        header: names of all columns, as they are in the file.
        rows: returns number and fields of every row, for columns by position; a missing value is "". The fields are
            those columns only, in that order.
        where: returns the place of a row by its number, for messages.
    """

    header: list[str]
    rows: Callable[[Sequence[int]], Rows]
    where: Callable[[int], str]


def line_of(path: Path) -> Callable[[int], str]:
    """Return the function that tells the place of a line."""
    return lambda line: f"{path}: line {line}"
