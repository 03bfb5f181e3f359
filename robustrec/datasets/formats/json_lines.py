"""JSON Lines, or one JSON array of objects: records of catalogs, and interactions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from robustrec.datasets.formats.compressed import open_data
from robustrec.datasets.formats.lines import MAX_LINE_BYTES, limited_lines
from robustrec.datasets.formats.named import NamedTable, Records, Rows
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError

SUFFIXES = (".jsonl", ".ndjson", ".json")
MAX_ARRAY_BYTES = 2**30
NAMING_RECORDS = 200
"""Records in which the names of columns are looked for."""


def records(path: Path) -> Records:
    """Yield place and object of every line, or of every element of an array.

    Raises:
        RobustrecError: the file cannot be read, a line is too long, or is not a JSON object.
    """
    return ((_where(path, number, array=array), record) for number, array, record in _numbered(path))


def table(path: Path) -> NamedTable:
    """Open JSON Lines of interactions. An object with a list of items is one interaction for each of them.

    Raises:
        RobustrecError: as `records`.
    """
    header: dict[str, None] = {}
    array = False
    for number, is_array, record in _numbered(path):
        array = is_array
        header.update(dict.fromkeys(record))
        if number >= NAMING_RECORDS:
            break
    names = list(header)
    return NamedTable(
        names,
        lambda columns: _rows(path, [names[at] for at in columns]),
        lambda number: _where(path, number, array=array),
    )


def _rows(path: Path, keys: Sequence[str]) -> Rows:
    for number, array, record in _numbered(path):
        values = [record.get(key) for key in keys]
        if any(isinstance(value, list) for value in values):
            yield from ((number, row) for row in _exploded(values, keys, _where(path, number, array=array)))
        else:
            yield number, [_field(value, key, path, number, array) for value, key in zip(values, keys, strict=True)]


def _exploded(values: Sequence[Any], keys: Sequence[str], where: str) -> Iterator[list[str]]:
    """Yield a row for each element of lists; other values are those of every row.

    Raises:
        RobustrecError: the lists have different lengths, or lists within them.
    """
    lengths = {len(value) for value in values if isinstance(value, list)}
    if len(lengths) != 1:
        raise RobustrecError(
            f"the lists of one record have different lengths: {sorted(lengths)}",
            where=where,
            fix="write lists of one length: one element for each interaction",
        )
    for at in range(lengths.pop()):
        row = [value[at] if isinstance(value, list) else value for value in values]
        yield [text_of_value(value, key, where) for value, key in zip(row, keys, strict=True)]


def _field(value: Any, key: str, path: Path, number: int, array: bool) -> str:
    if isinstance(value, str):
        return value
    return text_of_value(value, key, _where(path, number, array=array))


def text_of_value(value: Any, key: str, where: str) -> str:
    """Return a value of a record as text, "" for null.

    Raises:
        RobustrecError: it is neither a text nor a number.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RobustrecError(
            f"{key[:60]} must be a text or a number, but got {type(value).__name__}: {repr(value)[:60]}",
            where=where,
            fix="export user, item, rating and time as texts or numbers",
        )
    return str(value)


def _where(path: Path, number: int, *, array: bool) -> str:
    return f"{path}: {'element' if array else 'line'} {number}"


def _numbered(path: Path) -> Iterator[tuple[int, bool, dict[str, Any]]]:
    """Yield number from 1, whether the file is an array, and object."""
    try:
        with open_data(path) as file:
            is_array = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
            file.seek(0)
            if is_array:
                content = file.read(MAX_ARRAY_BYTES + 1)
            fix = "write one JSON object per line"
            for number, line in () if is_array else limited_lines(file, path, fix=fix, most=MAX_LINE_BYTES):
                if line.strip():
                    yield number, False, _parse(line, f"{path}: line {number}")
    except (OSError, UnreadableError) as error:
        raise RobustrecError(
            f"cannot read {path.name}: {getattr(error, 'strerror', None) or error}",
            where=str(path),
            fix="export the file again; or name the catalog with --items FILE",
        ) from error
    if is_array:
        yield from ((number, True, record) for number, record in _array(content, path))


def _array(content: bytes, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a JSON array, by their place from 1."""
    try:
        if len(content) > MAX_ARRAY_BYTES:
            raise ValueError(f"an array of more than {MAX_ARRAY_BYTES} bytes")
        found = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RobustrecError(
            f"not JSON: {error}", where=str(path), fix="write an array of objects, or one JSON object a line, UTF-8"
        ) from error
    for number, record in enumerate(found, start=1):
        if not isinstance(record, dict):
            raise RobustrecError(
                f"a {type(record).__name__} where an object must stand",
                where=f"{path}: element {number}",
                fix='write objects like {"itemID": 0, "title": "..."}',
            )
        yield number, record


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RobustrecError(
            f"invalid JSON: {error}",
            where=where,
            fix="write one JSON object per line, as UTF-8; the file may be truncated",
        ) from error
    if not isinstance(record, dict):
        raise RobustrecError(
            f"expected a JSON object, but got {type(record).__name__}",
            where=where,
            fix='write lines like {"itemID": 0, "title": "..."}',
        )
    return record
