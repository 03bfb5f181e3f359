"""Data files that may be compressed with gzip, bzip2 or xz, opened as streams of their content."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from robustrec.untrusted import UnreadableError, open_regular

_OPENERS: dict[str, Callable[[BinaryIO], object]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
COMPRESSED = tuple(_OPENERS)


def plain_path(path: Path) -> Path:
    """Return a path without the suffix of a compression: `ratings.csv` for `ratings.csv.gz`."""
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED else path


def data_suffix(path: Path) -> str:
    """Return the suffix of a data file in lower case, without that of a compression."""
    return plain_path(path).suffix.lower()


@contextmanager
def open_data(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading in binary mode; `.gz`, `.bz2` and `.xz` are decompressed as they are read.

    Raises:
        UnreadableError: the file cannot be opened, or its compressed data are truncated or damaged.
    """
    with open_regular(path) as file:
        opener = _OPENERS.get(path.suffix.lower())
        if opener is None:
            yield file
            return
        with cast(BinaryIO, opener(file)) as content:
            try:
                yield content
            except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
                raise UnreadableError(f"the {path.suffix[1:]} data are truncated or damaged: {error}") from error
