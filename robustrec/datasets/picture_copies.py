"""The pictures of an imported data set: one zip, an entry an item, each proven to be readable."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from robustrec.datasets.interactions import FilterCount
from robustrec.datasets.items import Item
from robustrec.datasets.picture_index import index_pictures
from robustrec.datasets.pictures import PictureSource, decode, suffix_of
from robustrec.errors import RobustrecError
from robustrec.progress import Progress

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can say, so that equal pictures give equal files


def copy_pictures(
    stage: Path,
    rows: Sequence[Item | None],
    pictures: Path,
    *,
    skip_unreadable: bool,
    numbered: bool,
    progress: Progress,
) -> tuple[list[Item | None], list[FilterCount]]:
    """Copy every item's picture into one zip under its item id, each proven to be readable.

    Args:
        stage: where the zip goes.
        rows: the items.
        pictures: folder or zip.
        skip_unreadable: leave out pictures that cannot be read.
        numbered: whether a picture may be named by the number of its item.
        progress: told about pictures.
    """
    entries, lost, further, unused = index_pictures(rows, pictures, guess=True, numbered=numbered)
    source = PictureSource(pictures, entries)
    result: list[Item | None] = list(rows)
    unreadable = 0
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
                    fix = "replace the picture, or leave such pictures out: --skip-unreadable"
                    raise RobustrecError(error.what, where=error.where, fix=fix) from error
                unreadable += 1
            item = rows[row]
            if item is not None or name:
                result[row] = replace(item or Item("", "", (), "", "", ()), image=name)
            if row % 100 == 99 or row == len(entries) - 1:
                progress("pictures", row + 1, len(entries))
    counts = {
        "pictures the catalog names that are not there": lost,
        "pictures that cannot be read": unreadable,
        "further pictures of items that have one": further,
        "pictures that belong to no item": unused,
    }
    return result, [FilterCount(reason, count) for reason, count in counts.items() if count]
