"""Items of an encoder audit, with a memory limit for decoded pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustrec.datasets.catalog import Catalog
from robustrec.edits.content import Content, content_of
from robustrec.errors import RobustrecError
from robustrec.runs.treatments import picture_bytes

BUDGET = 256 * 2**20
"""Memory limit of decoded pictures, in bytes."""


class Contents:
    """Content of some items of a catalogue, decoded once within the memory limit, else at each access.

    Args:
        catalog: the catalogue.
        items: the items, in this order.
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
        """Return the content of an item, without its picture if that cannot be read."""
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
