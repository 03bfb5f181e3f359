"""Matching of pictures to items: by the entry in the catalog, else by the item ids."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from robustrec.datasets.items import CatalogItem
from robustrec.datasets.naming import loose_id
from robustrec.datasets.pictures import SUFFIXES, UNREAD_SUFFIXES, entry_names
from robustrec.errors import RobustrecError

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_NUMBERED = re.compile(r"(.+?)[ _.\-]+\(?[0-9]{1,3}\)?")  # "B000_2", "B000-1", "B000 (3)"


class PictureIndex(NamedTuple):
    """Result of the matching.

    Attributes:
        entries: [I] entry of the picture of each item, or None.
        lost: number of items with a named picture that is not found.
        further: number of additional pictures of items that have one.
        unused: number of pictures that match no item.
        elsewhere: number of items with a picture of that name in another folder than the catalog names.
        others: item -> entries of further pictures, those of the catalog first.
    """

    entries: list[str | None]
    lost: int
    further: int
    unused: int
    elsewhere: int = 0
    others: Mapping[int, tuple[str, ...]] = MappingProxyType({})


def index_pictures(
    items: Sequence[CatalogItem | None], pictures: Path, *, guess: bool, numbered: bool = True
) -> PictureIndex:
    """Find the picture of each item.

    The path of an entry may be relative to another folder, have Windows separators, be URL-encoded, or differ in case.
    An entry is counted as lost if the folders in the catalog contradict the folders of the file, or if several files or
    items match. With `guess`, an item without an entry gets the first picture with a file or folder name that is one
    of its ids.

    Args:
        items: [I] row i is item i.
        pictures: zip or folder.
        guess: match pictures by id for items without an entry; False for imported catalogs, which name all pictures.
        numbered: whether the item number is a possible file name of its picture.

    Raises:
        RobustrecError: with `guess`, if there are pictures and none of them matches an item.
    """
    names = entry_names(pictures)
    shown = [name for name in names if PurePosixPath(name).suffix.lower() in (*SUFFIXES, *UNREAD_SUFFIXES)]
    wanted = [item.image if item is not None else "" for item in items]
    places = _Places(names, pictures)
    found = places.of({image for image in wanted if image})
    entries = [found.get(image) for image in wanted]
    if not guess:
        lost = sum(bool(image) and entry is None for image, entry in zip(wanted, entries, strict=True))
        return PictureIndex(entries, lost, 0, 0, others=_named(items, entries, places))
    # An address on the web says nothing of a file here; such items may have pictures by their ids.
    unnamed = [row for row, image in enumerate(wanted) if not image or (_URL.match(image) and entries[row] is None)]
    taken = {entry for entry in entries if entry is not None}
    free = [name for name in shown if name not in taken and PurePosixPath(name).suffix.lower() in SUFFIXES]
    if unnamed:
        _check_numbering(items, unnamed, free, pictures, numbered=numbered)
    by_id, more = _by_id(items, unnamed, free, numbered=numbered, pictures=pictures)
    for row, entry in by_id.items():
        entries[row] = entry
    others, further = more | _named(items, entries, places), sum(map(len, more.values()))
    lost = sum(bool(image) and entry is None for image, entry in zip(wanted, entries, strict=True))
    used = {entry for entry in entries if entry is not None}
    named = {entry for row, each in others.items() if row not in more for entry in each} - used
    if not used and (shown or lost):
        raise _nothing_found(pictures, shown, wanted, items)
    elsewhere = sum(
        entry is not None and _moved(image, entry, _root(pictures))
        for image, entry in zip(wanted, entries, strict=True)
    )
    return PictureIndex(entries, lost, further, len(set(shown) - used - named) - further, elsewhere, others)


def _named(
    items: Sequence[CatalogItem | None], entries: Sequence[str | None], places: _Places
) -> dict[int, tuple[str, ...]]:
    """Return the further pictures that the catalog names for an item with a picture."""
    wanted = {
        row: item.images
        for row, item in enumerate(items)
        if item is not None and item.images and entries[row] is not None
    }
    found = places.of({image for images in wanted.values() for image in images}) if wanted else {}
    others = {
        row: tuple(dict.fromkeys(found[image] for image in images if image in found and found[image] != entries[row]))
        for row, images in wanted.items()
    }
    return {row: each for row, each in others.items() if each}


def _moved(image: str, entry: str, root: str) -> bool:
    """Return whether a picture lies in a folder other than the last one of its path in the catalog."""
    named, there = (list(map(_fold, _parts(path)))[:-1] for path in (image, entry))
    return bool(named) and not _URL.match(image) and named[-1] != (there[-1] if there else _fold(root))


def _check_numbering(
    items: Sequence[CatalogItem | None], rows: Sequence[int], names: Sequence[str], pictures: Path, *, numbered: bool
) -> None:
    """Refuse pictures whose numbers are those of the items plus or minus one: each would be another item's.

    Raises:
        RobustrecError: they are.
    """
    stems = {PurePosixPath(name).stem for name in names}
    there = _numbers(stems)
    external = _numbers(each for row in rows if (item := items[row]) is not None for each in item.external)
    known = set(rows) if numbered else external
    if there <= external:  # named by ids that the catalog has beside the numbers of the interactions
        return
    if len(there) < 2 or len(there) != len(stems) or len(known) != len(rows):
        return
    if there in ({each + 1 for each in known}, {each - 1 for each in known}):
        raise RobustrecError(
            f"the pictures are numbered from {min(there)} to {max(there)}, the items from {min(known)} to {max(known)}",
            where=str(pictures),
            fix="name the pictures by the numbers of the items, or name each item's picture by the key image of the "
            "catalog",
        )


def _root(pictures: Path) -> str:
    return pictures.stem if pictures.suffix.lower() == ".zip" else pictures.resolve().name


def _numbers(names: Iterable[str]) -> set[int]:
    return {int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 19}


class _Places:
    """Index of the files for differently written paths."""

    def __init__(self, names: Sequence[str], pictures: Path) -> None:
        self.exact = set(names)
        self.flat = all("/" not in name for name in names)
        self.root = _fold(_root(pictures))
        self.files = {name: _parts(name) for name in names}
        self.by_base: dict[str, list[str]] = defaultdict(list)
        for name, parts in self.files.items():
            if parts:
                self.by_base[_fold(parts[-1])].append(name)

    def of(self, images: Iterable[str]) -> dict[str, str]:
        """Return the file of each path, without ambiguous paths and files."""
        found = {image: image for image in images if image in self.exact}
        claims: dict[str, list[str]] = defaultdict(list)
        for image in images:
            if image not in found and (name := self._other(image)) is not None:
                claims[name].append(image)
        named_exactly = set(found.values())
        for name, claimants in claims.items():
            if len({tuple(map(_fold, _parts(image))) for image in claimants}) == 1 and name not in named_exactly:
                found |= dict.fromkeys(claimants, name)
        return found

    def _other(self, image: str) -> str | None:
        wanted = _parts(image)
        if not wanted:
            return None
        near = [name for name in self.by_base.get(_fold(wanted[-1]), ()) if self._same(wanted, self.files[name])]
        # The same letters before the same in another case; the whole path before a part of it.
        for same in (
            lambda parts: parts == wanted,
            lambda parts: list(map(_fold, parts)) == list(map(_fold, wanted)),
            lambda parts: parts[-1] == wanted[-1],
            lambda _: True,
        ):
            chosen = [name for name in near if same(self.files[name])]
            if chosen:
                return chosen[0] if len(chosen) == 1 else None
        return None

    def _same(self, wanted: list[str], parts: list[str]) -> bool:
        """Return whether the folders of a file agree with those of a path, as far as both have them."""
        ours, theirs = list(map(_fold, parts)), list(map(_fold, wanted))
        short = min(len(ours), len(theirs))
        if ours[-short:] != theirs[-short:]:
            return False
        if len(ours) >= len(theirs):  # the catalog names the last folders, or none
            return True
        before = theirs[: len(theirs) - short]
        return before[-1] == self.root or short > 1 or self.flat


def _parts(path: str) -> list[str]:
    if _URL.match(path):
        with suppress(ValueError):
            path = urlsplit(path).path
    text = unicodedata.normalize("NFC", unquote(path)).replace("\\", "/")
    return [part.strip() for part in text.split("/") if part.strip() not in ("", ".")]


def _fold(text: str) -> str:
    return text.casefold()


def _by_id(
    items: Sequence[CatalogItem | None], rows: Sequence[int], names: Sequence[str], *, numbered: bool, pictures: Path
) -> tuple[dict[int, str], dict[int, tuple[str, ...]]]:
    """Return the picture of each row by its ids, and the additional pictures of these ids."""
    by_external = {row: item.external for row in rows if (item := items[row]) is not None}
    found = _owned(names, by_external)
    if numbered:  # by whichever kind of id more pictures are named
        by_number = _owned(names, {row: (str(row),) for row in rows})
        if by_number and len(by_number) == len(found) and by_number != found:
            row = next(row for row in by_number if by_number[row] != found.get(row))
            raise RobustrecError(
                f"{min(by_number[row], key=_natural)[:80]!r} is the picture of item {row} by its number, and another"
                " item's by the ids of the catalog",
                where=str(pictures),
                fix="name each item's picture by the key image of the catalog",
            )
        found = max(found, by_number, key=len)
    ordered = {row: sorted(files, key=_natural) for row, files in found.items()}
    return {row: files[0] for row, files in ordered.items()}, {
        row: tuple(files[1:]) for row, files in ordered.items() if len(files) > 1
    }


def _owned(names: Sequence[str], ids: Mapping[int, Sequence[str]]) -> dict[int, list[str]]:
    """Return the pictures of each row; an id of several rows is ignored."""
    owners: dict[tuple[bool, str], int | None] = {}
    for row, own in ids.items():
        for key in {(loose, loose_id(name) if loose else name) for name in own for loose in (False, True)}:
            owners[key] = row if owners.get(key, row) == row else None
    found: dict[int, list[str]] = defaultdict(list)
    for name in names:
        keys = ((loose, loose_id(key) if loose else key) for key in _keys(name) for loose in (False, True))
        owner = next((claimed for key in keys if (claimed := owners.get(key)) is not None), None)
        if owner is not None:
            found[owner].append(name)
    return found


def _keys(name: str) -> list[str]:
    """Return the possible ids of a picture: its stem, the stem without a number, and its folder."""
    path = PurePosixPath(unquote(name))
    number = _NUMBERED.fullmatch(path.stem)
    return [path.stem, *([number[1]] if number else []), *path.parts[-2:-1]]


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"([0-9]{1,18})", name.casefold())
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts], name


def _nothing_found(
    pictures: Path, shown: Sequence[str], wanted: Sequence[str], items: Sequence[CatalogItem | None]
) -> RobustrecError:
    named = sorted({image for image in wanted if image})
    there = f"the pictures include {shown[0][:80]!r}" if shown else "there are no pictures"
    if named:
        example = repr(named[0][:80])
        what = f"none of the {len(named)} pictures named in the catalog was found: it names for example {example},"
    else:
        ids = next((item.external[0] for item in items if item is not None and item.external), "0")
        what = f"none of the {len(shown)} pictures matches an item: an item has for example the id {ids[:80]!r},"
    return RobustrecError(
        f"{what} and {there}",
        where=str(pictures),
        fix="set the key image of each item in the catalog to the path of its picture, relative to this folder or zip,"
        " or name the files by item id; to import without pictures, move them to another folder",
    )
