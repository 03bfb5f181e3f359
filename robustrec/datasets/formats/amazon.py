"""Metadata of the Amazon reviews of 2014, 2018 and 2023: what they say of items.

The files are documented on the pages of the releases: jmcauley.ucsd.edu/data/amazon (2014), nijianmo.github.io/amazon
(2018), amazon-reviews-2023.github.io (2023). Each line is an object: JSON, or in the metadata of 2014 a Python dict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from robustrec.datasets.formats.compressed import plain_path
from robustrec.datasets.formats.lines import read_lines
from robustrec.datasets.formats.named import Records
from robustrec.datasets.item_fields import id_of, image_of, labels_of, text_of
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError, parse_json_object
from robustrec.untrusted.literals import parse_literal

Record = dict[str, Any]
ITEM_KEYS = ("parent_asin", "asin")
PLACEHOLDER = re.compile(r"/no-img-|/no_image|/noimage", re.IGNORECASE)
"""In the address of the picture that says "no image available"."""

_ID = re.compile(rb"""['"](?:parent_)?asin['"]\s*:\s*['"]([^'"\\]{1,40})['"]""")


class RawItem(NamedTuple):
    """What a catalog says of one item; missing texts are "".

    Attributes:
        item: its id.
        title: title.
        brand: brand.
        categories: labels of the first category path.
        description: description.
        picture: address (URL) of its first picture.
    """

    item: str
    title: str
    brand: str
    categories: tuple[str, ...]
    description: str
    picture: str


def parse_record(line: bytes) -> Record:
    """Return the object in a line: JSON, or a Python dict as in the metadata of 2014.

    Raises:
        UnreadableError: it is neither, or not UTF-8.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"not UTF-8 text: byte 0x{line[error.start]:02x}") from error
    if text.lstrip()[:2] in ("{'", "{u"):
        value = parse_literal(text)
    else:
        try:
            return parse_json_object(text)
        except UnreadableError as error:
            try:
                value = parse_literal(text)
            except UnreadableError:
                raise error from None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UnreadableError(f"expected an object, but got {type(value).__name__}")
    return value


class MetadataCounts:
    """What was found in a metadata file: lines, of other items, unreadable, repeated, and fields left out."""

    def __init__(self) -> None:
        self.lines = 0
        self.others = 0
        self.unreadable = 0
        self.repeated = 0
        self.scripts = 0
        self.fields = 0


def read_metadata(path: Path, wanted: Container[str], counts: MetadataCounts) -> Iterator[RawItem]:
    """Yield the first line about each wanted item; other lines are counted.

    Args:
        path: metadata file of any of the releases.
        wanted: ids of items.
        counts: is added to.

    Raises:
        RobustrecError: the file cannot be read or is truncated, or none of its first lines is an object.
    """
    seen: set[str] = set()
    for number, line in read_lines(path, "metadata"):
        counts.lines += 1
        named = [name.decode("ascii", "replace") for name in _ID.findall(line)]
        if named and not any(name in wanted for name in named):  # not worth parsing
            counts.others += 1
            continue
        try:
            record = parse_record(line)
        except UnreadableError as error:
            counts.unreadable += 1
            if counts.unreadable == counts.lines == 20:
                raise RobustrecError(
                    f"the first {counts.lines} lines are not metadata: {error}",
                    where=f"{path}: line {number}",
                    fix="give the metadata file of the release, or download it again",
                ) from error
            continue
        item = next((name for key in ITEM_KEYS if (name := id_of(record.get(key))) in wanted), "")
        if not item:
            counts.others += 1
        elif item in seen:
            counts.repeated += 1
        else:
            seen.add(item)
            yield raw_item(item, record, counts)


def is_metadata(path: Path) -> bool:
    """Tell whether a file is metadata of Amazon: named meta_… and of objects with an asin."""
    if not re.fullmatch(r"meta_[A-Za-z0-9_-]+[.]jsonl?", plain_path(path).name):
        return False
    try:
        _, line = next(read_lines(path, "metadata"))
        return any(key in parse_record(line) for key in ITEM_KEYS)
    except (StopIteration, RobustrecError, UnreadableError):
        return False


def catalog(path: Path, wanted: Container[str] | None = None) -> Records:
    """Yield place and record of each line of a metadata file, for the import of a catalog.

    Args:
        path: the file.
        wanted: ids of items; of others, only the id is read. None: all items.

    Raises:
        RobustrecError: the file cannot be read, or a line is not an object or has no asin.
    """
    seen: set[str] = set()
    counts = MetadataCounts()
    for number, line in read_lines(path, "metadata"):
        where = f"{path}: line {number}"
        named = [name.decode("ascii", "replace") for name in _ID.findall(line)]
        if named and wanted is not None and not any(name in wanted for name in named):
            yield where, {"asin": named[0]}
            continue
        try:
            record = parse_record(line)
        except UnreadableError as error:
            raise RobustrecError(
                f"not metadata of an item: {error}",
                where=where,
                fix="download the file again; it may be truncated or damaged",
            ) from error
        names = [name for key in ITEM_KEYS if (name := id_of(record.get(key)))]
        if not names:
            raise RobustrecError(
                f"no {' or '.join(ITEM_KEYS)}; the keys are {', '.join(record)[:100]}",
                where=where,
                fix="give the metadata file of a release of the Amazon reviews",
            )
        name = next((name for name in names if wanted is None or name in wanted), names[0])
        if name not in seen:  # some releases have two lines about an item
            seen.add(name)
            item = raw_item(name, record, counts)
            yield where, {**item._asdict(), "categories": list(item.categories), "image": shown_picture(item)}


def shown_picture(item: RawItem) -> str:
    """Return the address of an item's picture, "" for one that leads to "no image available"."""
    return "" if PLACEHOLDER.search(item.picture) else item.picture


def raw_item(item: str, record: Mapping[str, Any], counts: MetadataCounts) -> RawItem:
    """Return what a metadata record of any of the releases says of an item.

    A field that is not text, or longer than any text of a catalog may be, is left out and counted.
    """

    def read(kind: Callable[[Any, str], Any], *keys: str) -> Any:
        for key in keys:
            try:
                if found := kind(record.get(key), key):
                    return found
            except RobustrecError:
                counts.fields += 1
        return kind(None, "")

    title = read(text_of, "title")
    if "getTime()" in title:  # a script in place of the title, in some pages of 2018
        counts.scripts += 1
        title = ""
    return RawItem(
        item,
        title,
        read(text_of, "brand", "store"),
        read(labels_of, "categories", "category"),
        read(text_of, "description"),
        next((each for each in map(_picture, _pictures(record)) if each), ""),
    )


def _pictures(record: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the fields that may have the first picture: the large one first, not the one of a zoom."""
    images = record.get("images")
    if isinstance(images, list):  # 2023: thumb, large and hi_res of each, the main one named so
        images = [image for image in images if isinstance(image, dict)]
        images.sort(key=lambda image: image.get("variant") != "MAIN")
        yield from (image.get(key) for image in images for key in ("large", "hi_res", "thumb"))
    elif isinstance(images, dict):  # as the columns of a table
        yield from (images.get(key) for key in ("large", "hi_res", "thumb"))
    yield from (record.get(key) for key in ("imUrl", "imageURLHighRes", "imageURL"))


def _picture(value: Any) -> str:
    if isinstance(value, list):
        value = next((each for each in value if each), None)
    return image_of(value)
