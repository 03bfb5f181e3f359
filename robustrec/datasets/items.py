"""Catalogs: JSON Lines, or a table with a header; common variants of the format are accepted."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from robustrec.datasets.formats.catalogs import OWN, catalog_records
from robustrec.datasets.formats.named import Records
from robustrec.datasets.item_fields import (
    id_of,
    image_of,
    images_of,
    labels_of,
    own_value,
    price_of,
    stored_own,
    stored_price,
    text_of,
)
from robustrec.datasets.naming import ALIASES, CATALOG_ID, loose_id, named
from robustrec.errors import RobustrecError

MAX_ITEMS = 2**30
MAX_FURTHER = 8  # further pictures of an item that are kept
ID_KEYS = (*ALIASES["item"], CATALOG_ID)
NUMBER_KEYS = ("itemid", "item", "iid", CATALOG_ID)
TEXTS = ("title", "brand", "description")
LABELS = ("category", "genres", "tags")  # where there are no categories
UNKNOWN = -1
Prices = Literal["strict", "stored"] | None
ABOUT_OTHERS = "catalog lines of items without interactions"


@dataclass(frozen=True)
class CatalogItem:
    """Catalog record of one item; missing texts are "".

    Attributes:
        title: title of the item.
        brand: brand of the item.
        categories: labels of its first category path; without one, genres and tags.
        description: longer text.
        image: entry name of its picture in the folder or zip of pictures, as in the catalog.
        external: external ids (asin, movieId, ...), as text.
        images: entry names of further pictures of the same item.
        price: price of the item, without a unit; None if unknown.
        own: name and value of further columns that the user named at import, as a number or a text.
    """

    title: str
    brand: str
    categories: tuple[str, ...]
    description: str
    image: str
    external: tuple[str, ...]
    images: tuple[str, ...] = ()
    price: float | None = None
    own: tuple[tuple[str, float | str], ...] = ()


class ItemTable(NamedTuple):
    """Content of a catalog.

    Attributes:
        rows: [I] items by id, None for an item that is not in the catalog.
        unknown: number of lines with an unknown item.
        loose: number of items with a differently written id: leading zeros, ".0", or upper/lower case.
        lines: number of lines (rows, elements) that were read.
    """

    rows: list[CatalogItem | None]
    unknown: int
    loose: int
    lines: int = 0


def read_items(
    path: Path | Sequence[Path],
    n_items: int | None,
    *,
    ids: Mapping[str, int] | None = None,
    numbers: Mapping[str, int] | None = None,
    columns: Mapping[str, str] | None = None,
    stored_pictures: bool = False,
    stored: bool = False,
) -> ItemTable:
    """Read a catalog.

    Args:
        path: the file, or the files: JSON Lines, or another format by its name (.csv, .parquet, RecBole's .item, ...).
        n_items: number of items I; None: determined by the catalog.
        ids: item ids by external id, for catalogs of a ratings CSV; rows without such an id are counted. Without `ids`,
            each row needs an integer itemID from 0 to I - 1.
        numbers: such numbers by external id, for rows that have only an external id.
        columns: by kind ("item", "title", ...), the name of a column of the file. Prices are read from a column that
            is named here, and each must be a number.
        stored_pictures: whether pictures that are stored in the table stand for those that it names.
        stored: whether the catalog is that of a data set in the home folder, where prices are numbers.

    Raises:
        RobustrecError: the file cannot be read, a line is not a JSON object or too long, an itemID is missing, not an
            integer, out of range or duplicate, a text has another type, or no external id matches an item. The message
            has file and line.
    """
    files = [path] if isinstance(path, Path) else list(path)
    path = files[0]
    wanted = ids if ids is not None else numbers
    prices: Prices = "strict" if "price" in (columns or {}) else "stored" if stored else None
    records = catalog_records(files, columns, stored_pictures=stored_pictures, wanted=wanted)
    if ids is not None:
        return _by_external(path, records, n_items or len(ids), ids, prices)
    found: dict[int, CatalogItem] = {}
    keys: set[str] = set()
    unknown = lines = 0
    for where, record in records:
        lines += 1
        mapped = _mapped(record, numbers) if numbers is not None else None
        row, key = (mapped, "") if mapped is not None else _row_by_id(record, n_items, where)
        if mapped == UNKNOWN or (mapped is not None and n_items is not None and mapped >= n_items):
            unknown += 1
            continue
        if row in found:
            raise _twice(row, where)
        found[row] = _item(record, where, number=key, prices=prices)
        keys.add(key)
    size = n_items if n_items is not None else max(found, default=-1) + 1
    if not keys <= {*NUMBER_KEYS, ""} and len(found) != size:
        raise RobustrecError(
            f"the catalog has no itemID, and its {', '.join(sorted(keys))} are not the numbers 0 to {size - 1} of the"
            " interactions",
            where=str(path),
            fix="give each line the itemID of the interactions, or put i_id_mapping.csv beside them (asin, itemID)",
        )
    if unknown and not found:
        raise RobustrecError(
            f"none of the {unknown} lines of the catalog is about an item of i_id_mapping.csv, which has for example "
            f"{next(iter(numbers or ()), '')[:60]!r}",
            where=str(path),
            fix="use the catalog and the i_id_mapping.csv of one data set",
        )
    return ItemTable([found.get(row) for row in range(size)], unknown, 0, lines)


def _mapped(record: dict[str, Any], numbers: Mapping[str, int]) -> int | None:
    """Return the number of a record by its external ids, UNKNOWN where none has one; None where it has an itemID."""
    by_name = named(record)
    if any(_whole(by_name.get(key)) is not None for key in NUMBER_KEYS if key != CATALOG_ID):
        return None
    names = [name for key in _keys_of(tuple(by_name))["id"] if (name := id_of(by_name[key]))]
    found = next((numbers[name] for name in names if name in numbers), None)
    if found is None and _whole(by_name.get(CATALOG_ID)) is not None:
        return None
    return UNKNOWN if found is None and names else found


def _by_external(path: Path, records: Records, n_items: int, ids: Mapping[str, int], prices: Prices) -> ItemTable:
    """Return the items of a catalog with the ids of a ratings file.

    A differently written id matches if exactly one id of the ratings and one line of the catalog are candidates.
    """
    rows: list[CatalogItem | None] = [None] * n_items
    loose_ids: dict[str, int | None] = {}
    for name, row in ids.items():
        loose_ids[loose_id(name)] = None if loose_id(name) in loose_ids else row
    candidates: dict[int, list[CatalogItem]] = {}
    unknown = lines = 0
    example = ""
    for where, record in records:
        lines += 1
        item = _item(record, where, prices=prices)
        named_row = next((ids[name] for name in item.external if name in ids), None)
        if named_row is None:
            unknown += 1
            example = example or next(iter(item.external), "")
            near = next((loose_ids[loose_id(name)] for name in item.external if loose_id(name) in loose_ids), None)
            if near is not None:
                candidates.setdefault(near, []).append(item)
        elif rows[named_row] is not None:
            raise _twice(next(name for name in item.external if name in ids), where)
        else:
            rows[named_row] = item
    loose = 0
    for row, meant in candidates.items():
        if len(meant) == 1 and rows[row] is None:
            rows[row] = meant[0]
            loose, unknown = loose + 1, unknown - 1
    if unknown and not any(rows):
        wanted = next(iter(ids), "")
        shown = f"for example {example[:60]!r}" if example else "it has no id column"
        raise RobustrecError(
            f"none of the {unknown} catalog lines has an item id of the interactions: {shown}, but the"
            f" interactions have for example {wanted[:60]!r}",
            where=str(path),
            fix="add the item ids of the interactions to the catalog as the key item_id, or import without the"
            " catalog: "
            f"mv {shlex.quote(str(path))} {shlex.quote(str(path) + '.unused')}",
        )
    return ItemTable(rows, unknown, loose, lines)


def _twice(item: int | str, where: str) -> RobustrecError:
    return RobustrecError(f"duplicate item {item}", where=where, fix="keep one line per item")


def items_text(items: Sequence[CatalogItem | None]) -> str:
    """Return the JSON Lines text of items in the standard form; missing items are omitted."""
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
            if item.images:
                record["images"] = list(item.images)
            if item.price is not None:
                record["price"] = item.price
            if item.own:
                record["columns"] = dict(item.own)
            if item.external:
                record["id"] = item.external[0]
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    return "".join(lines)


def _item(record: dict[str, Any], where: str, *, number: str = "", prices: Prices = None) -> CatalogItem:
    """Return the item of a record; `number` is the key of the item number, which is not an external id.

    `prices` says how a price is read: every value must be one, or only numbers that an import stored; None: not at all.
    """
    by_name = named(record)
    keys = _keys_of(tuple(by_name))

    def text(kind: str) -> str:
        found = (text_of(by_name[key], f"{where}, key {key}") for key in keys[kind])
        return next((each for each in found if each), "")

    def labels(kind: str) -> tuple[str, ...]:
        found = (labels_of(by_name[key], f"{where}, key {key}") for key in keys[kind])
        return next((each for each in found if each), ())

    price = by_name.get("price") if prices else None
    pictures = [name for key in (*keys["image"], *keys["images"]) for name in images_of(by_name[key])]
    image = next((name for key in keys["image"] if (name := image_of(by_name[key]))), "")
    external = (id_of(by_name[key]) for key in keys["id"] if key != number)
    return CatalogItem(
        **{kind: text(kind) for kind in TEXTS},
        categories=labels("categories") or tuple(label for kind in LABELS for label in labels(kind)),
        image=image,
        external=tuple(dict.fromkeys(name for name in external if name)),
        images=tuple(dict.fromkeys(name for name in pictures if image and name != image))[:MAX_FURTHER],
        price=price_of(price, f"{where}, key price") if prices == "strict" else stored_price(price),
        own=_own_columns(record, where, stored=prices == "stored"),
    )


def _own_columns(record: dict[str, Any], where: str, *, stored: bool) -> tuple[tuple[str, float | str], ...]:
    """Return the further columns that the user named at import, or that an import has stored; missing ones are out."""
    if stored:
        return stored_own(record.get("columns"))
    names = sorted(name for name in record if name.startswith(OWN))
    found = ((name.removeprefix(OWN), own_value(record[name], f"{where}, column {name[len(OWN) :]}")) for name in names)
    return tuple((name, value) for name, value in found if value is not None)


@lru_cache(maxsize=16)
def _keys_of(names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the keys of each kind that a record with these names has; the next record often has the same names."""
    there = frozenset(names)
    kinds = {**ALIASES, "images": ("images",), "id": ID_KEYS}
    return {kind: tuple(key for key in keys if key in there) for kind, keys in kinds.items()}


def _row_by_id(record: dict[str, Any], n_items: int | None, where: str) -> tuple[int, str]:
    """Return the number of an item and its key: itemID, else the first integer id."""
    last = MAX_ITEMS - 1 if n_items is None else n_items - 1
    fix = f"add to each line an integer itemID from 0 to {last}, as in the interactions"
    by_name = named(record)
    keys = _keys_of(tuple(by_name))["id"]
    if not keys:
        raise RobustrecError("itemID is missing", where=where, fix=fix)
    key = next((each for each in keys if _whole(by_name[each]) is not None), keys[0])
    key = keys[0] if keys[0] == "itemid" else key
    row = _whole(by_name[key])
    if row is None:
        raise RobustrecError(f"itemID {repr(by_name[key])[:60]} is not an integer", where=where, fix=fix)
    if not 0 <= row <= last:
        raise RobustrecError(f"itemID {row} is out of range; there are {last + 1} items", where=where, fix=fix)
    return row, key


def _whole(value: Any) -> int | None:
    """Return the integer value of a JSON value or a table field, or None."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\s*-?(0|[1-9][0-9]{0,17})(\.0+)?\s*", value):
        return int(float(value)) if "." in value else int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
