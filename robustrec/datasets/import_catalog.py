"""The catalog and the pictures of an import: items by their new number, with counts of what was left out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from robustrec.datasets.catalog import sentence
from robustrec.datasets.formats.catalogs import OWN
from robustrec.datasets.interactions import FilterCount
from robustrec.datasets.item_numbers import read_item_numbers
from robustrec.datasets.items import ABOUT_OTHERS, CatalogItem, ItemTable, read_items
from robustrec.datasets.picture_copies import copy_pictures
from robustrec.datasets.stored_pictures import write_stored_pictures
from robustrec.errors import RobustrecError
from robustrec.progress import Progress

STORED = "stored.zip"


class ImportedItems(NamedTuple):
    """Items by number, counts of what was left out, and the number of lines of the catalog."""

    rows: list[CatalogItem | None]
    filters: list[FilterCount]
    lines: int


def import_items(
    files: Sequence[Path],
    n_items: int,
    originals: Sequence[str] | None,
    folder: Path,
    columns: Mapping[str, str] | None,
    *,
    stored_pictures: bool,
) -> ImportedItems:
    """Read a catalog.

    Args:
        files: the files of the catalog; none: no catalog.
        n_items: number of items.
        originals: original id of each item; None where items are numbers.
        folder: folder with the mapping of ids, if any.
        columns: column names by kind, see `catalog_records`.
        stored_pictures: whether pictures stored in the table stand for those that it names.

    Raises:
        RobustrecError: as `read_items`, or the catalog has no text and no picture of any item.
    """
    table = ItemTable([None] * n_items, 0, 0)
    counts = {}
    further = [name for kind, name in (columns or {}).items() if kind.startswith(OWN)]
    if further and not files:
        raise RobustrecError(
            f"column {further[0][:60]!r} is of a catalog, but there is none",
            where="option --columns",
            fix="give the catalog with --items FILE, or remove the column from --columns",
        )
    if files:
        ids = None if originals is None else {name: row for row, name in enumerate(originals)}
        numbers = read_item_numbers(folder) if ids is None else None
        table = read_items(files, n_items, ids=ids, numbers=numbers, columns=columns, stored_pictures=stored_pictures)
        if not any(row and (sentence(row) or row.image) for row in table.rows):
            path = files[0] if len(files) == 1 else files[0].parent
            raise RobustrecError(
                "the catalog has no title, brand, category, description or picture of any item",
                where=str(path),
                fix="name these columns so, for example item_id,title; or import without the catalog: "
                f"mv {shlex.quote(str(path))} {shlex.quote(str(path) + '.unused')}",
            )
        counts[ABOUT_OTHERS] = table.unknown
        counts["items with a differently written id in the catalog (leading zeros, .0, or upper/lower case)"] = (
            table.loose
        )
        if originals is not None:
            counts["items that are missing in the catalog"] = sum(row is None for row in table.rows)
    rows = table.rows
    if originals is not None:  # the original id finds a picture, and tells a person what item 17 is
        rows = [
            replace(row, external=tuple(dict.fromkeys((name, *row.external))))
            if row
            else CatalogItem("", "", (), "", "", (name,))
            for row, name in zip(rows, originals, strict=True)
        ]
    return ImportedItems(rows, [FilterCount(reason, count) for reason, count in counts.items() if count], table.lines)


def import_pictures(
    stage: Path,
    items: Sequence[Path],
    rows: list[CatalogItem | None],
    pictures: Path | None,
    *,
    skip_unreadable: bool,
    numbered: bool,
    progress: Progress,
) -> tuple[list[CatalogItem | None], list[FilterCount]]:
    """Copy the pictures of the items into the stage: those of a folder or zip, or those `unpack_pictures` put there.

    Raises:
        RobustrecError: a picture cannot be read, unless these are to be skipped; or as `copy_pictures`.
    """
    stored = stage / STORED
    place = stored if stored.exists() else pictures
    if place is None:
        return rows, []
    try:
        return copy_pictures(
            stage,
            rows,
            place,
            skip_unreadable=skip_unreadable,
            numbered=numbered,
            progress=progress,
            classes=not items,
        )
    except RobustrecError as error:  # name the table, not the file that is gone
        where = error.where.replace(str(stored), ", ".join(map(str, items[:3])))
        raise RobustrecError(error.what, where=where, fix=error.fix) from error
    finally:
        stored.unlink(missing_ok=True)


def unpack_pictures(
    stage: Path, items: Sequence[Path], pictures: Path | None, columns: Mapping[str, str] | None
) -> bool:
    """Write the pictures that are stored in a catalog into the stage, unless others are given; tell whether it has any.

    Raises:
        RobustrecError: the catalog cannot be read.
    """
    return pictures is None and write_stored_pictures(items, stage / STORED, (columns or {}).get("image")) > 0
