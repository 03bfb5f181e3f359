"""Atomic files of RecBole: tab-separated, with a type after each column name (`item_id:token`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from robustrec.datasets.formats.named import Records
from robustrec.datasets.naming import ALIASES, is_missing, number_of, plain
from robustrec.datasets.tables import read_rows
from robustrec.errors import RobustrecError

TYPES = ("token", "token_seq", "float", "float_seq")
LABELS = {name for kind in ("categories", "category", "genres", "tags") for name in ALIASES[kind]}


def is_typed(header: Sequence[str]) -> bool:
    """Tell whether a header has the types of RecBole."""
    return any(":" in name for name in header)


def types_of(header: Sequence[str], where: str) -> list[str]:
    """Return the type of each column, "" without one.

    Raises:
        RobustrecError: RecBole does not know the type.
    """
    types = [name.rpartition(":")[2].strip() if ":" in name else "" for name in header]
    for name, kind in zip(header, types, strict=True):
        if kind and kind not in TYPES:
            raise RobustrecError(
                f"column {name[:60]!r} has the unknown type {kind[:30]!r}",
                where=where,
                fix=f"use one of RecBole's types: {', '.join(TYPES)}",
            )
    return types


def check_number(field: str, column: str, where: str) -> None:
    """Refuse a field of a column of the type float that is not a number.

    Raises:
        RobustrecError: such a field.
    """
    if number_of(field) is None and not is_missing(field):
        raise RobustrecError(
            f"{column[:60]} {field[:60]!r} is not a number",
            where=where,
            fix="correct this field, or declare the column as token in the header",
        )


def catalog(path: Path, what: str = "catalog") -> Records:
    """Yield place and record of every line of a `.item` or `.user` file; a `token_seq` of labels becomes a list.

    Args:
        path: the file.
        what: its content, for messages.

    Raises:
        RobustrecError: the file cannot be read, a type is unknown, or a line has another number of fields.
    """
    rows = _fields(path, what)
    line, header = next(rows, (1, []))
    types = types_of(header, f"{path}: line {line}")
    split = [kind == "token_seq" and plain(name) in LABELS for name, kind in zip(header, types, strict=True)]
    for number, row in rows:
        where = f"{path}: line {number}"
        if len(row) != len(header):
            raise RobustrecError(
                f"{len(row)} field{'s' if len(row) != 1 else ''}, but the header has {len(header)}",
                where=where,
                fix="export the file again, it may be truncated; or delete this line",
            )
        parts = (field.split(" ") if cut and "|" not in field else field for field, cut in zip(row, split, strict=True))
        yield where, dict(zip(header, parts, strict=True))


def _fields(path: Path, what: str) -> Iterator[tuple[int, list[str]]]:
    return read_rows(path, what, delimiter="\t", loose=True)
