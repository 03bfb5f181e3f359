"""Item features by chunks of rows, so that no second table of all rows is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

CHUNK_BYTES = 64 * 2**20
_ALIGNED = 16


@runtime_checkable
class ChunkedFeatures(Protocol):
    """Features whose rows are made while they are read, such as those with noise."""

    def chunks(self) -> Iterator[dict[str, Tensor]]:
        """Yield modality -> float32 [n, D_m] of successive rows, from the first to the last."""
        ...


def chunks_of(features: Mapping[str, Tensor] | ChunkedFeatures) -> Iterator[dict[str, Tensor]]:
    """Yield the rows of features in chunks: views of tables, or what makes its own chunks."""
    if isinstance(features, ChunkedFeatures):
        yield from features.chunks()
        return
    for rows in row_chunks(features):
        yield {name: table[rows] for name, table in features.items()}


def row_chunks(tables: Mapping[str, Tensor]) -> list[slice]:
    """Return the chunks of rows of tables, of about `CHUNK_BYTES`; all but the last are multiples of 16 rows."""
    n_items = len(next(iter(tables.values()))) if tables else 0
    width = sum(table.shape[1] * table.element_size() for table in tables.values())
    step = max(1, CHUNK_BYTES // max(1, width * _ALIGNED)) * _ALIGNED
    ends = [*range(step, n_items - _ALIGNED, step), n_items]  # the last chunk has more than 16 rows if there are more
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
