"""Rows, the inputs of encoders: items of a catalog or edited items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from PIL import Image

from robustrec.datasets.catalog import Catalog
from robustrec.datasets.pictures import PictureSource, decode
from robustrec.digests import file_stamp, is_settled, remembered
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.files import digest_bytes
from robustrec.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from robustrec.encoders.store import Encoded

Opener = Callable[[], Image.Image | None]

_NONE, _UNREADABLE = "none", "unreadable: "


class ContentChangedError(RobustrecError):
    """A picture changed since its digest was computed, so that its row must not be stored."""


@dataclass(frozen=True)
class RowContent:
    """Text and picture of an item.

    Attributes:
        text: the text, "" for none.
        picture: function that returns the picture as RGB, or None. It must be thread-safe and return the same picture
            in each call. It may raise RobustrecError for an unreadable picture.
    """

    text: str
    picture: Opener


class EncodedRows(NamedTuple):
    """Vectors of rows.

    Attributes:
        tables: modality -> float32 [n, D], finite, on the CPU.
        notes: numbers of rows with missing, unreadable or truncated content, and how they are encoded.
    """

    tables: dict[str, Tensor]
    notes: tuple[str, ...]


class RowEncoder(Protocol):
    """An encoder with weights or fitted state, which encodes any rows independently."""

    name: str

    @property
    def identity(self) -> Mapping[str, Any]:
        """Return all inputs of the vectors besides the content of a row, as JSON values."""

    def encode(self, rows: Sequence[RowContent], progress: Progress | None = None) -> EncodedRows:
        """Return the vectors of rows; those of a row do not depend on other rows.

        Raises:
            RobustrecError: this encoder cannot encode rows.
        """


class Encoder(RowEncoder, Protocol):
    """An encoder of a data set; classes in ENCODERS are called with name, dataset, home and options."""

    @property
    def weights(self) -> tuple[UsedWeights, ...]:
        """Return its weights by name and digest; () for an encoder without weights."""

    def catalog_features(self, progress: Progress | None) -> Encoded:
        """Return the features of the items of the catalog from the store; encode and store them if needed.

        Raises:
            RobustrecError: the data set has no content for the encoder, or the store cannot be written.
        """


@dataclass(frozen=True)
class StoredPicture:
    """Picture of an item in a catalog, with the digest of its file.

    A `RowContent` with such a picture has a known digest. An edit replaces it by another function without a digest, so
    that an edited picture is never mistaken for the original.
    """

    source: PictureSource | None
    item: int
    digest: str

    def __call__(self) -> Image.Image | None:
        """Return the picture, or None.

        Raises:
            RobustrecError: it cannot be read.
            ContentChangedError: it does not match the digest.
        """
        content = None if self.source is None else self.source.read(self.item)
        if content is None or self.source is None:
            return None
        where = f"item {self.item}: {self.source.path}: {self.source.entries[self.item]}"
        if digest_bytes([content]) != self.digest:
            raise ContentChangedError(
                "the picture was changed during encoding",
                where=where,
                fix="run the command again when no other program changes the pictures; encoded items are kept",
            )
        return decode(content, where)


def catalog_rows(catalog: Catalog, cache: Path) -> list[RowContent]:
    """Return the rows of a catalog.

    Args:
        catalog: texts and pictures.
        cache: folder of cached digests, so that unchanged pictures are not read again.
    """
    digests = picture_digests(catalog, cache)
    return [
        RowContent(text, StoredPicture(catalog.pictures, item, digest))
        for item, (text, digest) in enumerate(zip(catalog.texts, digests, strict=True))
    ]


def row_key(row: RowContent, reads: Sequence[str]) -> str | None:
    """Return the digest of the content of a row that a network reads, or None if the digest of the picture is unknown.

    Args:
        row: the content.
        reads: "text", "picture" or both.
    """
    parts: list[bytes] = []
    if "text" in reads:
        parts += [b"text", row.text.encode("utf-8", "surrogatepass")]
    if "picture" in reads:
        if not isinstance(row.picture, StoredPicture):
            return None
        parts += [b"picture", row.picture.digest.encode("utf-8", "surrogatepass")]
    return digest_bytes(parts)


def has_picture_file(row: RowContent) -> bool:
    """Return whether a row of a catalog has a picture file that could be read."""
    return isinstance(row.picture, StoredPicture) and not row.picture.digest.startswith((_NONE, _UNREADABLE))


def picture_digests(catalog: Catalog, cache: Path) -> list[str]:
    """Return for each item the sha256 of the bytes of its picture, "none", or the reason why it is unreadable.

    They are cached as long as the zip, or each file of the folder, keeps its size and times.
    """
    source = catalog.pictures
    if source is None:
        return [_NONE] * len(catalog.texts)

    def produce() -> list[str]:
        return [_digest(catalog, item) for item in range(len(catalog.texts))]

    if type(source) is not PictureSource:  # other classes have no known state
        return produce()
    if source.path.is_dir():
        stamps = [None if entry is None else file_stamp(source.path / entry) for entry in source.entries]
    else:
        stamps = [file_stamp(source.path)]
    settled = all(map(is_settled, stamps))
    state = [list(source.entries), stamps]
    found = remembered(cache, f"pictures {source.path.resolve()}", state, produce, settled=settled)
    return [str(digest) for digest in found]


def _digest(catalog: Catalog, item: int) -> str:
    try:
        content = catalog.picture_bytes(item)
    except RobustrecError as error:
        return _UNREADABLE + error.what
    return _NONE if content is None else digest_bytes([content])
