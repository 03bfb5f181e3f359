"""Rows of a catalog that other processes encode: in which batches they are encoded does not depend on who does it.

The last bits of a vector depend on the rows of its batch, so the process of the command cuts the batches, and a unit of
work is a few whole batches. The results are in the store of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from robustrec.progress import Progress

UNIT_ROWS, UNIT_BATCHES = 128, 4
"""A unit has at least so many rows and so many batches, except for the last; one that is lost is encoded again."""


@dataclass(frozen=True)
class Shard:
    """Batches of rows for one network.

    Attributes:
        network: its name, see `robustrec.encoders.stored_network`.
        first: first network of the encoder.
        identity: digest of the identity of the network.
        batches: (text, number of the item with the picture, digest of the picture) of each row of each batch.
    """

    network: str
    first: str
    identity: str
    batches: list[list[tuple[str, int, str]]]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(map(len, self.batches))


Elsewhere = Callable[[Sequence[Shard], Progress | None], None]
"""Encodes shards in other processes, and returns when all of them are in the store of rows."""


_USED: ContextVar[Elsewhere | None] = ContextVar("elsewhere", default=None)


@contextmanager
def encoded_by(elsewhere: Elsewhere | None) -> Iterator[None]:
    """Let other processes encode the rows of catalogs while a block runs in this thread."""
    token = _USED.set(elsewhere)
    try:
        yield
    finally:
        _USED.reset(token)


def chosen() -> Elsewhere | None:
    """Return who encodes rows; None for this process."""
    return _USED.get()
