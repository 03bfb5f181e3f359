"""Texts and pictures of items; row i is item i."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from robustrec.datasets.items import CatalogItem
from robustrec.datasets.picture_index import PictureIndex, index_pictures
from robustrec.datasets.pictures import PictureSource


@dataclass(frozen=True, eq=False)
class Catalog:
    """Texts and pictures of all items.

    Attributes:
        texts: [I] the text that is encoded (title, brand, categories, description); "" for none.
        titles: [I] a short name for display.
        pictures: source of the pictures; None without pictures.
        items: [I] the parts of each text, None for an item that is not in the catalog; empty if only the texts are
            known.
        ids: [I] the id of each item in your own data; empty where the numbers of the items are those ids.
    """

    texts: tuple[str, ...]
    titles: tuple[str, ...]
    pictures: PictureSource | None
    items: tuple[CatalogItem | None, ...] = ()
    ids: tuple[str, ...] = ()

    def own_id(self, item: int) -> str:
        """Return the id of an item in your own data."""
        return (self.ids[item] if self.ids else "") or str(item)

    def picture(self, item: int) -> Image.Image | None:
        """Return the picture of an item as RGB, or None.

        Raises:
            RobustrecError: the picture is missing, above the limits, or unreadable; it names item and file.
        """
        return None if self.pictures is None else self.pictures.open(item)

    def picture_bytes(self, item: int) -> bytes | None:
        """Return the bytes of the picture file of an item, or None.

        Raises:
            RobustrecError: the picture is missing or above the limit on bytes.
        """
        return None if self.pictures is None else self.pictures.read(item)

    @property
    def n_texts(self) -> int:
        """Number of items with a text."""
        return sum(1 for text in self.texts if text)

    @property
    def n_pictures(self) -> int:
        """Number of items with a picture."""
        return 0 if self.pictures is None else sum(1 for entry in self.pictures.entries if entry is not None)


class Worded(Protocol):
    """Protocol of an object with the four texts of an item."""

    @property
    def title(self) -> str:
        """Return the name of the item."""

    @property
    def brand(self) -> str:
        """Return the maker."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Return the labels of the category path."""

    @property
    def description(self) -> str:
        """Return the longer text."""


def sentence(item: Worded) -> str:
    """Return the text of an item that is encoded: title, brand, first category path, description."""
    return " ".join(" ".join((item.title, item.brand, *item.categories, item.description)).split())


def build_catalog(
    items: Sequence[CatalogItem | None], pictures: Path | None, *, guess: bool = False
) -> tuple[Catalog, PictureIndex]:
    """Build the catalog of items, and report how the pictures were matched.

    Args:
        items: [I] row i is item i, None where the catalog lacks it.
        pictures: zip or folder of pictures, if any.
        guess: match pictures of items without `image` by id (see `index_pictures`).
    """
    texts = tuple(sentence(item) if item else "" for item in items)
    titles = tuple(item.title if item and item.title else f"item {row}" for row, item in enumerate(items))
    if pictures is None:
        return Catalog(texts, titles, None, tuple(items)), PictureIndex([None] * len(items), 0, 0, 0)
    index = index_pictures(items, pictures, guess=guess)
    return Catalog(texts, titles, PictureSource(pictures, index.entries, index.others), tuple(items)), index
