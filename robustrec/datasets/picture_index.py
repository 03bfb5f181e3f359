"""Which picture belongs to which item: by the entry the catalog names, else by the item's ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from robustrec.datasets.items import Item
from robustrec.datasets.pictures import picture_names


def index_pictures(items: Sequence[Item | None], pictures: Path, *, guess: bool) -> tuple[list[str | None], int]:
    """Return the entry of each item's picture, and how many items name one that is not there.

    An item's `image` is looked up as it is written, then by its last part (a catalog may say posters/1.jpg
    where the zip holds 1.jpg).

    Args:
        items: [I] row i is item i.
        pictures: zip or folder.
        guess: give an item without `image` the picture whose stem is one of its external ids, or its itemID
            where it has none. For folders nobody has imported; an imported catalog says what it has.
    """
    names = picture_names(pictures)
    exact = set(names)
    by_base = _unique({name: PurePosixPath(name).name for name in names})
    by_stem = _unique({name: PurePosixPath(name).stem for name in names})
    entries: list[str | None] = []
    lost = 0
    for row, item in enumerate(items):
        if item is not None and item.image:
            entry = item.image if item.image in exact else by_base.get(PurePosixPath(item.image).name)
            lost += entry is None
        else:
            stems = (item.external if item is not None else ()) or (str(row),)
            entry = None if not guess else next((by_stem[stem] for stem in stems if stem in by_stem), None)
        entries.append(entry)
    return entries, lost


def _unique(keys: dict[str, str]) -> dict[str, str]:
    """Return name by key, without keys that several names share."""
    found: dict[str, str] = {}
    shared: set[str] = set()
    for name, key in keys.items():
        if key in found:
            shared.add(key)
        found[key] = name
    return {key: name for key, name in found.items() if key not in shared}
