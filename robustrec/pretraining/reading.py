"""Where pairs come from: a data set, a synthetic shop, or a list of items and their pictures without users."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from robustrec.datasets.catalog import build_catalog
from robustrec.datasets.items import Item, _item, _records
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.content import catalog_digest
from robustrec.errors import RobustrecError
from robustrec.files import digest_file, digest_json, unwritable
from robustrec.pretraining.goods import shop_source
from robustrec.pretraining.settings import Training
from robustrec.pretraining.sources import Pixels, Source, catalogue_source
from robustrec.progress import Progress, silent

_BLOCK = 1 << 22


@dataclass(frozen=True)
class Catalogue:
    """One catalogue to learn from.

    Attributes:
        name: of a data set or path of its folder; the name to go by for a list of items.
        edition: of a named data set.
        goods: for a sample edition: how many other goods of the shop are drawn to learn from.
        items: JSON Lines file of items, instead of a data set.
        pictures: folder or zip of their pictures.
    """

    name: str
    edition: str = "auto"
    goods: int = 2000
    items: Path | None = None
    pictures: Path | None = None


def read_source(
    catalogue: Catalogue, training: Training, side: int, *, home: Path, work: Path, progress: Progress = silent
) -> Source:
    """Return a catalogue as pairs.

    Args:
        catalogue: which.
        training: words that are read, share that is held out, seed.
        side: of the pictures in pixels.
        home: robustrec's own folder.
        work: folder for arrays that may not fit into memory.
        progress: told how it goes.

    Raises:
        RobustrecError: there is no such catalogue, or it has no pairs.
    """
    if catalogue.items is not None:
        return _listed(catalogue, catalogue.items, training, side, work, progress)
    dataset = load_dataset(catalogue.name, home=home, edition=catalogue.edition, progress=progress)
    if dataset.synthetic:
        return shop_source(dataset.name, catalogue.goods, training, side, progress)
    if dataset.catalog is None:
        raise RobustrecError(
            "the data set has neither texts nor pictures",
            where=f"--dataset {catalogue.name}",
            fix="give a data set with both, or --items FILE.jsonl --pictures FOLDER_OR_ZIP",
        )
    record = {"synthetic": False, "edition": dataset.edition, "digest": catalog_digest(dataset, home / "digests")}
    return catalogue_source(
        dataset.name,
        dataset.catalog,
        record,
        training,
        side,
        table=_tables(dataset.name, side, work),
        progress=progress,
    )


def _listed(catalogue: Catalogue, path: Path, training: Training, side: int, work: Path, progress: Progress) -> Source:
    """Return the pairs of a list of items: a line is an item, whoever bought it."""
    if catalogue.pictures is None:
        raise RobustrecError("--items requires --pictures", where=f"--items {path}", fix="--pictures FOLDER_OR_ZIP")
    items: list[Item | None] = [_item(record, f"{path}: line {number}") for number, record in _records(path)]
    catalog, index = build_catalog(items, catalogue.pictures, guess=True)
    places = catalog.pictures.entries if catalog.pictures is not None else ()
    digest = digest_json([digest_file(path), list(places), _content_digest(catalogue.pictures)])
    record = {"synthetic": False, "edition": "full", "digest": digest, "named_pictures_not_there": index.lost}
    return catalogue_source(
        catalogue.name, catalog, record, training, side, table=_tables(catalogue.name, side, work), progress=progress
    )


def _content_digest(pictures: Path) -> str:
    if pictures.is_file():
        return digest_file(pictures)
    return digest_json([[p.name, digest_file(p)] for p in sorted(pictures.rglob("*")) if p.is_file()])


def _tables(name: str, side: int, work: Path) -> Callable[[str, int], Pixels]:
    """Return a maker of picture arrays on disk: 20,000 pictures of 224 pixels are 3 GB, too much for memory."""

    def table(view: str, n: int) -> Pixels:
        return reserved_pixels(work / f"{name}-{view}.pixels", (n, side, side, 3))

    return table


def reserved_pixels(path: Path, shape: tuple[int, int, int, int]) -> Pixels:
    """Return a uint8 array of zeros in a file whose space on the disk is reserved.

    A mapped file with holes gets its space page by page as it is written, and a process that writes to a page which
    the disk has no room for is killed by SIGBUS.

    Raises:
        RobustrecError: the disk is full, or the folder cannot be written.
    """
    size = math.prod(shape)
    try:
        with path.open("wb") as file:
            _reserve(file, size)
        return np.memmap(path, np.uint8, "r+", shape=shape)
    except (OSError, ValueError) as error:
        path.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def _reserve(file: BinaryIO, size: int) -> None:
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except (AttributeError, OSError) as error:  # not on every system and file system
        if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        block = bytes(min(size, _BLOCK))
        for start in range(0, size, _BLOCK):
            file.write(block[: size - start])
    file.flush()
    os.fsync(file.fileno())
