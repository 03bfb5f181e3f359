"""Digest of the parts of a data set that encoders read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from robustrec.digests import remembered_file_digests
from robustrec.encoders.rows import picture_digests
from robustrec.files import digest_bytes

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset


def catalog_digest(dataset: Dataset, cache: Path) -> str:
    """Return the digest of texts, picture bytes and feature files.

    It is computed from the content and not from `dataset.digest`, so that a catalog that was replaced in memory never
    gets the stored features of the original.

    Args:
        dataset: the data set.
        cache: folder of cached digests, so that unchanged files are not read again.
    """
    return digest_bytes(_content(dataset, cache))


def _content(dataset: Dataset, cache: Path) -> Iterator[bytes]:
    catalog = dataset.catalog
    if catalog is not None:
        for text, picture in zip(catalog.texts, picture_digests(catalog, cache), strict=True):
            yield text.encode("utf-8", "surrogatepass")
            yield picture.encode("utf-8", "surrogatepass")
    files = remembered_file_digests(dataset.feature_files.values(), cache)
    for modality, path in sorted(dataset.feature_files.items()):
        yield from (modality.encode(), files[path].encode())
