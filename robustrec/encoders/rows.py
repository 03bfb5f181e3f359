"""Rows: what is encoded. A catalogue's item and an edited one are the same kind of thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from PIL import Image
from torch import Tensor

from robustrec.datasets.catalog import Catalog
from robustrec.datasets.pictures import PictureSource, decode
from robustrec.digests import file_stamp, is_settled, remembered
from robustrec.encoders.store import Encoded
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.files import digest_bytes
from robustrec.progress import Progress

Opener = Callable[[], Image.Image | None]

_NONE, _UNREADABLE = "none", "unreadable: "


class ContentChangedError(RobustrecError):
    """A picture is not the one whose digest names its row: nothing may be stored under that name."""


@dataclass(frozen=True)
class RowContent:
    """What is said and shown of one item.

    Attributes:
        text: the text, "" for none.
        picture: opens the picture as RGB, None where there is none; called lazily, from any thread, perhaps more than
            once, and must give the same picture each time. It may raise RobustrecError: unreadable.
    """

    text: str
    picture: Opener


class EncodedRows(NamedTuple):
    """Vectors of rows.

    Attributes:
        tables: modality -> float32 [n, D], finite, on the CPU.
        notes: what was missing, unreadable or cut, counted, with the rule it was encoded by.
    """

    tables: dict[str, Tensor]
    notes: tuple[str, ...]


class RowEncoder(Protocol):
    """An encoder with its weights, or with what it fitted on a catalogue: it encodes any rows, each by itself."""

    name: str

    @property
    def identity(self) -> Mapping[str, Any]:
        """Return everything its vectors depend on besides a row's content, as JSON values."""

    def encode(self, rows: Sequence[RowContent], progress: Progress | None = None) -> EncodedRows:
        """Return the vectors of rows; a row's vectors do not depend on the rows beside it.

        Raises:
            RobustrecError: this encoder cannot encode rows.
        """


class Encoder(RowEncoder, Protocol):
    """An encoder over a data set; what ENCODERS names is called with name, dataset, home and options."""

    @property
    def weights(self) -> tuple[UsedWeights, ...]:
        """Return the weights behind it by name and digest; () for an encoder without."""

    def catalogue(self, progress: Progress | None) -> Encoded:
        """Return the features of the catalogue's items, from the store or encoded now and kept there.

        Raises:
            RobustrecError: the data set lacks what the encoder needs, or the store cannot be written.
        """


@dataclass(frozen=True)
class StoredPicture:
    """Opens an item's picture in a catalogue, and knows the digest of its file.

    A `RowContent` whose picture is one of these has content with a known digest. An edit puts another opener in its
    place, and with it goes the digest: nothing edited can pass for the original.
    """

    source: PictureSource | None
    item: int
    digest: str

    def __call__(self) -> Image.Image | None:
        """Return the picture, None where there is none.

        Raises:
            RobustrecError: it cannot be read.
            ContentChangedError: it is not what the digest was taken of.
        """
        content = None if self.source is None else self.source.read(self.item)
        if content is None or self.source is None:
            return None
        where = f"item {self.item}: {self.source.path}: {self.source.entries[self.item]}"
        if digest_bytes([content]) != self.digest:
            raise ContentChangedError(
                "the picture changed while the catalogue was being encoded",
                where=where,
                fix="run the command again when nothing writes there; what was encoded so far is kept",
            )
        return decode(content, where)


def catalog_rows(catalog: Catalog, cache: Path) -> list[RowContent]:
    """Return the rows of a catalogue.

    Args:
        catalog: texts and pictures.
        cache: folder of remembered digests, so that pictures that did not change are not read.
    """
    digests = picture_digests(catalog, cache)
    return [
        RowContent(text, StoredPicture(catalog.pictures, item, digest))
        for item, (text, digest) in enumerate(zip(catalog.texts, digests, strict=True))
    ]


def row_key(row: RowContent, reads: Sequence[str]) -> str | None:
    """Return the digest of what a network reads of a row, None where that is not known without opening the picture.

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


def picture_digests(catalog: Catalog, cache: Path) -> list[str]:
    """Return for each item the sha256 of its picture's bytes, "none", or why they cannot be read.

    They are remembered while the zip, or each file of the folder, keeps its size and times.
    """
    source = catalog.pictures
    if source is None:
        return [_NONE] * len(catalog.texts)

    def produce() -> list[str]:
        return [_digest(catalog, item) for item in range(len(catalog.texts))]

    if type(source) is not PictureSource:  # of a source made by someone else nothing is known
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
