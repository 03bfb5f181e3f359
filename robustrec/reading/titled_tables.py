"""Tables with a title and lines below them, for console and page."""

from __future__ import annotations

from typing import NamedTuple


class TitledTable(NamedTuple):
    """A table of an audit.

    Attributes:
        title: what it is about.
        columns: names of the columns.
        rows: cells of each row.
        lines: what the cells do not say.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    lines: list[str]
