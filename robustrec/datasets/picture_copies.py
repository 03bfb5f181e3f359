"""The pictures of an imported data set: one zip with one readable entry per item."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from robustrec.datasets.class_folders import with_classes
from robustrec.datasets.interactions import FilterCount
from robustrec.datasets.items import MAX_FURTHER, CatalogItem
from robustrec.datasets.picture_index import PictureIndex, index_pictures
from robustrec.datasets.pictures import PictureSource, decode, suffix_of
from robustrec.errors import RobustrecError
from robustrec.progress import Progress

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can say, so that equal pictures give equal files


def copy_pictures(
    stage: Path,
    rows: Sequence[CatalogItem | None],
    pictures: Path,
    *,
    skip_unreadable: bool,
    numbered: bool,
    progress: Progress,
    index: PictureIndex | None = None,
    classes: bool = False,
) -> tuple[list[CatalogItem | None], list[FilterCount]]:
    """Copy the picture of every item into one zip under its item id, and check that it can be read.

    Args:
        stage: folder of the zip.
        rows: the items.
        pictures: folder or zip.
        skip_unreadable: skip pictures that cannot be read.
        numbered: whether the file name of a picture may be the item number.
        progress: reports the number of pictures.
        index: the picture of each item, if it is known; None: by the entries and ids of the items.
        classes: whether the folder of a picture may be the category of its item, where there is no catalog.
    """
    index = index or index_pictures(rows, pictures, guess=True, numbered=numbered)
    entries, lost, further, unused, elsewhere, others = index
    source = PictureSource(pictures, entries, others)
    rows, of_classes = with_classes(rows, entries) if classes else (rows, [])
    result: list[CatalogItem | None] = list(rows)
    unreadable = bad_further = 0
    with zipfile.ZipFile(stage / "pictures.zip", "w", zipfile.ZIP_STORED) as archive:
        for row, entry in enumerate(entries):
            name = ""
            try:
                content = source.read(row)
                if content is not None:
                    decode(content, f"item {row}: {pictures}: {entry}", quick=True)
                    name = f"{row}{suffix_of(content, str(entry))}"
                    archive.writestr(zipfile.ZipInfo(name, EPOCH), content)
            except RobustrecError as error:
                if not skip_unreadable:
                    fix = "replace the picture, or skip unreadable pictures: --skip-unreadable"
                    raise RobustrecError(error.what, where=error.where, fix=fix) from error
                unreadable += 1
            item = rows[row]
            more = _copy_further(archive, source, row) if name else ()
            bad_further += min(source.n_further(row), MAX_FURTHER) - len(more) if name else 0
            if item is not None or name:
                result[row] = replace(item or CatalogItem("", "", (), "", "", ()), image=name, images=more)
            if row % 100 == 99 or row == len(entries) - 1:
                progress("pictures", row + 1, len(entries))
    counts = {
        "pictures named in the catalog but not found": lost,
        "pictures that cannot be read": unreadable,
        "additional pictures of items that have one": further,
        "additional pictures that cannot be read": bad_further,
        "pictures that match no item": unused,
        "items with a picture of that name in another folder than the catalog names": elsewhere,
    }
    return result, of_classes + [FilterCount(reason, count) for reason, count in counts.items() if count]


def _copy_further(archive: zipfile.ZipFile, source: PictureSource, row: int) -> tuple[str, ...]:
    """Copy the further pictures of an item that can be read, and return their names."""
    names: list[str] = []
    for number in range(min(source.n_further(row), MAX_FURTHER)):
        try:
            content, entry = source.read_further(row, number), source.further[row][number]
            decode(content, f"item {row}: {source.path}: {entry}", quick=True)
        except RobustrecError:
            continue
        names.append(f"{row}_{number + 1}{suffix_of(content, entry)}")
        archive.writestr(zipfile.ZipInfo(names[-1], EPOCH), content)
    return tuple(names)
