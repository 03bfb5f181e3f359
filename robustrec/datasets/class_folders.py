"""Folders of pictures by class, as image classification has them: the folder's name is the item's category."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from robustrec.datasets.interactions import FilterCount
from robustrec.datasets.items import CatalogItem

_PARTS_OF_SPLITS = ("train", "training", "val", "valid", "validation", "test")
_FEWEST_CLASSES = 2


def with_classes(
    rows: Sequence[CatalogItem | None], entries: Sequence[str | None]
) -> tuple[list[CatalogItem | None], list[FilterCount]]:
    """Return items with the class of their picture as category, if the folders of the pictures are classes.

    Folders are classes if there are at least two, their names have letters, and they are neither the ids of items nor
    the first letters of the files in them.

    Args:
        rows: [I] items of a data set without a catalog.
        entries: [I] entry of the picture of each item, or None.
    """
    classes = [None if entry is None else _class_of(entry) for entry in entries]
    names = {name for name in classes if name is not None}
    ids = {name for row in rows if row is not None for name in row.external}
    per_class = sum(name is not None for name in classes) / max(1, len(names))
    if len(names) < _FEWEST_CLASSES or names & ids or per_class < _FEWEST_CLASSES:
        return list(rows), []
    found = [
        row if name is None else replace(row or CatalogItem("", "", (), "", "", ()), categories=(_words(name),))
        for row, name in zip(rows, classes, strict=True)
    ]
    count = sum(name is not None for name in classes)
    return found, [FilterCount("items whose category is the name of the folder of their picture", count)]


def _class_of(entry: str) -> str | None:
    """Return the name of the folder of a picture that may be a class, or None."""
    path = PurePosixPath(entry)
    folders = [name for name in path.parts[:-1] if name.lower() not in _PARTS_OF_SPLITS]
    if not folders:
        return None
    name = folders[-1]
    of_the_file = path.stem.lower().startswith(name.lower())
    return name if re.search(r"[^\W\d_]{2}", name) and not of_the_file else None


def _words(name: str) -> str:
    return " ".join(re.split(r"[\s_]+", name)).strip()
