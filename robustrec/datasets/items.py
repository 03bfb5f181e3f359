"""`items.jsonl`: one JSON object a line, read with tolerance for what catalogs in the wild look like."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from robustrec.errors import RobustrecError

MAX_LINE_BYTES = 2**20
MAX_TEXT = 100_000
MAX_LABELS = 1_000
EXTERNAL_KEYS = ("asin", "parent_asin", "movieId", "item_id", "item", "id")
TEXT_KEYS = {"title": ("title", "name"), "brand": ("brand",), "description": ("description", "overview")}


@dataclass(frozen=True)
class Item:
    """What a catalog says about one item; missing texts are "".

    Attributes:
        title: name of the item.
        brand: maker.
        categories: labels of its first category path; where there is none, genres and tags.
        description: longer text.
        image: entry name of its picture in the folder or zip of pictures, as the catalog writes it.
        external: ids it has elsewhere (asin, movieId, ...), as text.
    """

    title: str
    brand: str
    categories: tuple[str, ...]
    description: str
    image: str
    external: tuple[str, ...]


class ItemTable(NamedTuple):
    """Items by id, None where the catalog lacks one, and how many rows named an item nobody knows."""

    rows: list[Item | None]
    unknown: int


def read_items(path: Path, n_items: int, *, ids: Mapping[str, int] | None = None) -> ItemTable:
    """Read a catalog.

    Args:
        path: the JSON Lines file.
        n_items: number of items I.
        ids: item ids by external id, for catalogs that go with a ratings CSV; rows without such an id are
            counted. Without it, each row needs an integer itemID from 0 to I - 1.

    Raises:
        RobustrecError: the file cannot be read, a line is no JSON object or too long, an itemID is missing,
            no integer, out of range or repeated, or a text is no text. The message names file and line.
    """
    rows: list[Item | None] = [None] * n_items
    unknown = 0
    for number, record in _records(path):
        where = f"{path}: line {number}"
        item = _item(record, where)
        row = _row_by_id(record, n_items, where) if ids is None else _row_by_external(item, record, ids)
        if row is None:
            unknown += 1
        elif rows[row] is not None:
            raise RobustrecError(f"item {row} is there twice", where=where, fix="leave one line for each item")
        else:
            rows[row] = item
    return ItemTable(rows, unknown)


def items_text(items: Sequence[Item | None]) -> str:
    """Return the JSON Lines text of items in the normal form; absent items are left out."""
    lines = []
    for row, item in enumerate(items):
        if item is not None:
            record = {
                "itemID": row,
                "title": item.title,
                "brand": item.brand,
                "categories": list(item.categories),
                "description": item.description,
                "image": item.image,
            }
            if item.external:
                record["id"] = item.external[0]
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    return "".join(lines)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise RobustrecError(
                        f"a line has more than {MAX_LINE_BYTES} bytes",
                        where=f"{path}: line {number}",
                        fix="write one JSON object a line",
                    )
                if line.strip():
                    yield number, _parse(line, f"{path}: line {number}")
    except OSError as error:
        raise RobustrecError(
            f"cannot read {path.name}: {error.strerror or error}",
            where=str(path),
            fix="name the catalog: robustrec data import FOLDER --name NAME --items FILE.jsonl",
        ) from error


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RobustrecError(
            f"not JSON: {error}",
            where=where,
            fix="write one JSON object a line, UTF-8; the file may be truncated",
        ) from error
    if not isinstance(record, dict):
        raise RobustrecError(
            f"a {type(record).__name__} where an object must stand",
            where=where,
            fix='write lines like {"itemID": 0, "title": "..."}',
        )
    return record


def _item(record: dict[str, Any], where: str) -> Item:
    texts = {
        field: next((text for key in keys if (text := _text(record.get(key), f"{where}, key {key}"))), "")
        for field, keys in TEXT_KEYS.items()
    }
    labels = _labels(record.get("categories"), f"{where}, key categories")
    if not labels:
        labels = tuple(
            label for key in ("category", "genres", "tags") for label in _labels(record.get(key), f"{where}, key {key}")
        )
    image = record.get("image")
    external = tuple(_text(record.get(key), f"{where}, key {key}") for key in EXTERNAL_KEYS)
    return Item(
        **texts,
        categories=labels,
        image=image.strip() if isinstance(image, str) else "",
        external=tuple(dict.fromkeys(name for name in external if name)),
    )


def _text(value: Any, where: str) -> str:
    """Return text with white space collapsed; None is none, lists of texts are joined."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        value = " ".join(str(part) for part in value)
    if isinstance(value, int | float):
        value = str(value)
    if not isinstance(value, str):
        raise RobustrecError(
            f"a {type(value).__name__} where a text must stand", where=where, fix="write a string or null"
        )
    if len(value) > MAX_TEXT:
        raise RobustrecError(f"a text of {len(value)} characters, more than {MAX_TEXT}", where=where, fix="shorten it")
    # JSON can spell half a surrogate pair, which no encoder of UTF-8 takes.
    return " ".join(value.encode("utf-8", "replace").decode().split())


def _labels(value: Any, where: str) -> tuple[str, ...]:
    """Return the labels of the first path of ["A", "B"], [["A", "B"], ...] or "A|B"."""
    if isinstance(value, str):
        value = value.split("|")
    if isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    if value is None:
        return ()
    if not isinstance(value, list):
        raise RobustrecError(
            f"a {type(value).__name__} where labels must stand",
            where=where,
            fix='write ["A", "B"], [["A", "B"]] or "A|B"',
        )
    if len(value) > MAX_LABELS:
        raise RobustrecError(f"{len(value)} labels, more than {MAX_LABELS}", where=where, fix="leave the main ones")
    return tuple(label for part in value if (label := _text(part, where)))


def _row_by_id(record: dict[str, Any], n_items: int, where: str) -> int:
    fix = f"give each line an integer itemID from 0 to {n_items - 1}, the ids of the interactions"
    if "itemID" not in record:
        raise RobustrecError("itemID is missing", where=where, fix=fix)
    row = record["itemID"]
    if not isinstance(row, int) or isinstance(row, bool):
        raise RobustrecError(f"itemID {row!r} is not an integer", where=where, fix=fix)
    if not 0 <= row < n_items:
        raise RobustrecError(f"itemID {row} is not among the {n_items} items", where=where, fix=fix)
    return row


def _row_by_external(item: Item, record: dict[str, Any], ids: Mapping[str, int]) -> int | None:
    names = (*item.external, str(record.get("itemID", "")))
    return next((ids[name] for name in names if name in ids), None)
