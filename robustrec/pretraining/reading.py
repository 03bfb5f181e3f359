"""Sources of training pairs: a data set, a synthetic shop, or a catalog with pictures without users."""

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
from robustrec.datasets.formats.catalogs import catalog_records
from robustrec.datasets.items import CatalogItem, _item
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.content import catalog_digest
from robustrec.errors import RobustrecError
from robustrec.files import digest_file, digest_json, unwritable
from robustrec.pretraining.settings import TrainingSettings
from robustrec.pretraining.sources import Pixels, Source, catalog_source
from robustrec.pretraining.synthetic import synthetic_source
from robustrec.progress import Progress, silent

_BLOCK = 1 << 22


@dataclass(frozen=True)
class TrainingCatalog:
    """A catalog to train on.

    Attributes:
        name: name or folder of a data set; with `items`, the name to use.
        edition: edition of a named data set.
        n_products: sample editions only: number of additional products to train on.
        items: JSON Lines file of items, instead of a data set.
        pictures: folder or zip of their pictures.
    """

    name: str
    edition: str = "auto"
    n_products: int = 2000
    items: Path | None = None
    pictures: Path | None = None


def read_source(
    chosen: TrainingCatalog,
    training: TrainingSettings,
    side: int,
    *,
    home: Path,
    work: Path,
    progress: Progress = silent,
) -> Source:
    """Return the pairs of a catalog.

    Args:
        chosen: the catalog.
        training: limits on words, share of held-out items, seed.
        side: height and width of the pictures in pixels.
        home: the robustrec home folder.
        work: folder for arrays that may not fit into memory.
        progress: reports the number of read items.

    Raises:
        RobustrecError: the catalog is not found, or has no pairs.
    """
    if chosen.items is not None:
        return _items_source(chosen, chosen.items, training, side, work, progress)
    dataset = load_dataset(chosen.name, home=home, edition=chosen.edition, progress=progress)
    if dataset.synthetic:
        return synthetic_source(dataset.name, chosen.n_products, training, side, progress)
    if dataset.catalog is None:
        raise RobustrecError(
            "the data set has neither texts nor pictures",
            where=f"--dataset {chosen.name}",
            fix="give a data set with both, or --items FILE.jsonl --pictures FOLDER_OR_ZIP",
        )
    record = {"synthetic": False, "edition": dataset.edition, "digest": catalog_digest(dataset, home / "digests")}
    return catalog_source(
        dataset.name,
        dataset.catalog,
        record,
        training,
        side,
        table=_tables(dataset.name, side, work),
        progress=progress,
    )


def _items_source(
    chosen: TrainingCatalog, path: Path, training: TrainingSettings, side: int, work: Path, progress: Progress
) -> Source:
    """Return the pairs of a catalog file: each line is an item, with or without interactions."""
    if chosen.pictures is None:
        raise RobustrecError("--items requires --pictures", where=f"--items {path}", fix="--pictures FOLDER_OR_ZIP")
    items: list[CatalogItem | None] = [_item(record, where) for where, record in catalog_records([path])]
    catalog, index = build_catalog(items, chosen.pictures, guess=True)
    places = catalog.pictures.entries if catalog.pictures is not None else ()
    digest = digest_json([digest_file(path), list(places), _content_digest(chosen.pictures)])
    record = {"synthetic": False, "edition": "full", "digest": digest, "named_pictures_not_there": index.lost}
    return catalog_source(
        chosen.name, catalog, record, training, side, table=_tables(chosen.name, side, work), progress=progress
    )


def _content_digest(pictures: Path) -> str:
    if pictures.is_file():
        return digest_file(pictures)
    return digest_json([[p.name, digest_file(p)] for p in sorted(pictures.rglob("*")) if p.is_file()])


def _tables(name: str, side: int, work: Path) -> Callable[[str, int], Pixels]:
    """Return a function that allocates picture arrays on disk: 20,000 pictures of 224 pixels take 3 GB."""

    def table(view: str, n: int) -> Pixels:
        return allocate_pixels(work / f"{name}-{view}.pixels", (n, side, side, 3))

    return table


def allocate_pixels(path: Path, shape: tuple[int, int, int, int]) -> Pixels:
    """Return a uint8 array of zeros, mapped to a file with reserved disk space.

    Pages of a sparse mapped file are allocated when written; if the disk is full, SIGBUS kills the process.

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
