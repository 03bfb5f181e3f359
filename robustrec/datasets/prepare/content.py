"""Titles, descriptions and picture addresses of the items of a public data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustrec.datasets.formats.amazon import PLACEHOLDER, MetadataCounts
from robustrec.datasets.interactions import FilterCount
from robustrec.datasets.items import ABOUT_OTHERS, CatalogItem
from robustrec.datasets.prepare.layouts import RawFiles, read_items_of
from robustrec.errors import RobustrecError
from robustrec.progress import Progress


class Content(NamedTuple):
    """What the catalog says of the items.

    Attributes:
        rows: [I] the items; `image` is empty.
        addresses: [I] address (URL) of the picture of each item, "" for none.
        lines: lines of the catalog.
        counts: how many items have a title, a description, ….
        left_out: counts of lines and fields that were left out.
    """

    rows: list[CatalogItem | None]
    addresses: list[str]
    lines: int
    counts: dict[str, int]
    left_out: list[FilterCount]


def read_content(files: RawFiles, item_ids: Sequence[str], progress: Progress) -> Content:
    """Read what the catalog says of items.

    Args:
        files: the raw files.
        item_ids: [I] original ids.
        progress: reports the number of items found.

    Raises:
        RobustrecError: the catalog cannot be read, or has nothing about any of the items.
    """
    places = {name: row for row, name in enumerate(item_ids)}
    rows: list[CatalogItem | None] = [CatalogItem("", "", (), "", "", (name,)) for name in item_ids]
    addresses = [""] * len(item_ids)
    counts = MetadataCounts()
    found = placeholders = both = 0
    for raw in read_items_of(files, places, counts):
        row = places[raw.item]
        rows[row] = CatalogItem(raw.title, raw.brand, raw.categories, raw.description, "", (raw.item,))
        if PLACEHOLDER.search(raw.picture):
            placeholders += 1
        else:
            addresses[row] = raw.picture
        found += 1
        both += bool(raw.title and raw.picture)
        if found % 1000 == 0 or found == len(item_ids):
            progress("catalog", found, len(item_ids))
    if not found:
        raise RobustrecError(
            f"none of the {counts.lines:,} lines of the catalog is about an item of the interactions, "
            f"which have for example {item_ids[0][:40]!r}",
            where=str(files.items),
            fix="use the interactions and the catalog of one release and one category",
        )
    left_out = {
        ABOUT_OTHERS: counts.others,
        "items that are missing in the catalog": len(item_ids) - found,
        "catalog lines of an item that has a line already": counts.repeated,
        "catalog lines that cannot be read": counts.unreadable,
        "titles that are scripts, left out": counts.scripts,
        "fields of the catalog that are not text or too long, left out": counts.fields,
        'picture addresses that lead to "no image available"': placeholders,
    }
    known = [row for row in rows if row is not None]
    has = {
        "items with a title": sum(bool(row.title) for row in known),
        "items with a brand": sum(bool(row.brand) for row in known),
        "items with categories": sum(bool(row.categories) for row in known),
        "items with a description": sum(bool(row.description) for row in known),
    }
    if files.layout.links:
        has["items with a picture address"] = sum(map(bool, addresses)) + placeholders
        has["items with a title and a picture address"] = both
    filters = [FilterCount(reason, count) for reason, count in left_out.items() if count]
    return Content(rows, addresses, counts.lines, has, filters)
