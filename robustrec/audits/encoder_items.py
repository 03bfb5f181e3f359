"""The items of an encoder audit, with no more decoded pictures in memory than a budget allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from PIL import Image
from torch import Tensor

from robustrec.audits.merchant_edits import Row, Shown
from robustrec.datasets.catalog import Catalog
from robustrec.edits.content import Content, content_of
from robustrec.errors import RobustrecError

BUDGET = 256 * 2**20
"""Bytes of decoded pictures that are kept, and as many again of edited ones that wait to be encoded."""


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


def picture_bytes(picture: Image.Image | None) -> int:
    """Return what a decoded RGB picture takes in memory."""
    return 0 if picture is None else 3 * picture.width * picture.height


def encoded(rows: Iterable[Row], encode: Callable[[Sequence[Row]], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the vectors of rows, modality -> [n, D], none of none; edited pictures wait within the budget."""
    parts: list[dict[str, Tensor]] = []
    held: list[Row] = []
    waiting = 0
    for row in rows:
        held.append(row)
        waiting += picture_bytes(row.content.picture.image) if isinstance(row.content.picture, Shown) else 0
        if waiting > BUDGET:
            parts.append(encode(held))
            held, waiting = [], 0
    if held:
        parts.append(encode(held))
    return {name: torch.cat([part[name] for part in parts]) for name in (parts[0] if parts else ())}
