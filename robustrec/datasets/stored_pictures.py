"""Pictures that are stored in the tables of a catalog, written into a zip so that they are read like other pictures."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from robustrec.datasets.formats import arrow
from robustrec.datasets.formats.catalogs import READ
from robustrec.datasets.formats.compressed import data_suffix
from robustrec.datasets.naming import plain
from robustrec.datasets.picture_copies import EPOCH


def write_stored_pictures(files: Sequence[Path], target: Path, image: str | None = None) -> int:
    """Write the pictures that are stored in a catalog into a zip, as its records name them; return their number.

    Args:
        files: the files of the catalog.
        target: the zip; it is written only if there are pictures.
        image: name of the column of pictures, if the user gave it; else it is one of a usual name.

    Raises:
        RobustrecError: a file cannot be read.
    """
    count = 0
    for number, path in enumerate(files):
        if data_suffix(path) not in arrow.SUFFIXES:
            return count
        columns = [
            name
            for name in arrow.picture_columns(arrow.ArrowFile(path).schema)
            if name == image or (image is None and plain(name) in READ)
        ]
        if columns:
            with zipfile.ZipFile(target, "a", zipfile.ZIP_STORED) as archive:
                for entry, content in arrow.stored_pictures(path, columns, number):
                    archive.writestr(zipfile.ZipInfo(entry, EPOCH), content)
                    count += 1
    return count
