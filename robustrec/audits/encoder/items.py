"""The items of an encoder audit, with no more decoded pictures in memory than a budget allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustrec.audits.treatments import picture_bytes
from robustrec.datasets.catalog import Catalog
from robustrec.edits.content import Content, content_of
from robustrec.errors import RobustrecError

BUDGET = 256 * 2**20
"""Bytes of decoded pictures that are kept."""


class Contents:
    """The content of some items of a catalogue; decoded once while they fit the budget, else each time.

    Args:
        catalog: the catalogue.
        items: which of it, in this order.
    """

    def __init__(self, catalog: Catalog, items: Sequence[int]) -> None:
        self.catalog = catalog
        self.items = list(items)
        self._kept: dict[int, Content] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Content]:
        return map(self.of, self.items)

    def of(self, item: int) -> Content:
        """Return an item's content; one whose picture cannot be read has none, as the encoder takes it."""
        if item in self._kept:
            return self._kept[item]
        try:
            content = content_of(self.catalog, item)
        except RobustrecError:
            content = content_of(self.catalog, item, picture=False)
        size = picture_bytes(content.picture)
        if self._bytes + size <= BUDGET:
            self._kept[item] = content
            self._bytes += size
        return content
