"""Encode edited items with the encoder of the features: once per content, stored on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from robustrec.encoders.features import ItemFeatures
from robustrec.encoders.memory_store import row_store
from robustrec.encoders.rows import RowEncoder
from robustrec.errors import RobustrecError
from robustrec.progress import Progress, silent
from robustrec.runs.treatments import Row

T = TypeVar("T")

AT_ONCE = 1024
"""Number of rows to encode at a time."""

BUDGET = 256 * 2**20
"""Memory limit of their edited pictures, in bytes."""

_FIRST_CHUNK, _CHUNK_SECONDS = 64, 15.0


@dataclass(eq=False)
class EditedRows:
    """Encodes edited rows with the encoder that made the features.

    Vectors are kept in the row store by content, under the encoder's identity and the digest of the features (of which
    the mean vector for missing content is a part), so that an interrupted audit resumes.

    Attributes:
        encoder: made once for the run; it loads its weights at the first row.
        features: of the unedited catalogue.
        home: the folder that holds the store.
        count: callback with the number of encoded rows.
        progress: callback during encoding.
    """

    encoder: RowEncoder
    features: ItemFeatures
    home: Path
    count: Callable[[int], None]
    progress: Progress = silent
    _chunk: int = field(default=_FIRST_CHUNK, init=False)

    def __post_init__(self) -> None:
        """Open the store.

        Raises:
            RobustrecError: the encoder is not the one that made the features.
        """
        identity = dict(self.encoder.identity)
        if (self.encoder.name, identity) != (self.features.name, dict(self.features.identity)):
            raise RobustrecError(
                f"the settings of encoder {self.features.name!r} changed after the features were computed",
                where="the merchant audit",
                fix="run the command again; its inputs changed while it ran",
            )
        of = {"edited rows of": self.features.digest, "encoder": self.encoder.name, "identity": identity}
        self._store = row_store(self.home, of, kept=bool(getattr(self.encoder, "kept", True)))

    def encode(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Return the vectors of rows, modality -> float32 [n, D], of those that the encoder makes.

        Raises:
            RobustrecError: the encoder fails, or the store cannot be written.
        """
        keys = [row.key for row in rows]
        stored = self._store.find(keys)
        tables = {name: stored.tables.get(name, _empty(table, len(rows))) for name, table in self._modalities.items()}
        lacking: dict[str, list[int]] = {}
        for place, found in enumerate(stored.found.tolist()):
            if not found:
                lacking.setdefault(keys[place], []).append(place)
        waiting = list(lacking.items())
        while waiting:
            chunk, waiting = waiting[: self._chunk], waiting[self._chunk :]
            fresh = self._encoded([rows[places[0]] for _, places in chunk])
            self._store.add([key for key, _ in chunk], fresh, {})
            source = torch.tensor([number for number, (_, places) in enumerate(chunk) for _ in places])
            target = torch.tensor([place for _, places in chunk for place in places])
            for name, table in tables.items():
                table[target] = fresh[name][source]
        return tables

    @property
    def _modalities(self) -> Mapping[str, Tensor]:
        return self.features.encoded

    def _encoded(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        started = time.monotonic()
        encoded = self.encoder.encode([row.content for row in rows], self.progress).tables
        self.count(len(rows))
        if time.monotonic() - started < _CHUNK_SECONDS:  # else as many are lost where it is killed
            self._chunk = min(2 * self._chunk, AT_ONCE)
        return {name: encoded[name].float() for name in self._modalities}


def _empty(table: Tensor, n: int) -> Tensor:
    return torch.zeros((n, table.shape[1]), dtype=torch.float32)


def encode_all(rows: Iterable[Row], encode: Callable[[Sequence[Row]], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the vectors of any number of rows (none of none), with the pictures of few in memory at a time.

    Args:
        rows: made as they are wanted.
        encode: `EditedRows.encode`.
    """
    parts = [encode(batch) for batch in in_batches(rows, lambda row: row)]
    return {name: torch.cat([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def in_batches(entries: Iterable[T], row_of: Callable[[T], Row]) -> Iterator[list[T]]:
    """Yield entries with a row each, as many together as are encoded at a time."""
    held: list[T] = []
    waiting = 0
    for entry in entries:
        held.append(entry)
        waiting += row_of(entry).held_bytes
        if len(held) == AT_ONCE or waiting > BUDGET:
            yield held
            held, waiting = [], 0
    if held:
        yield held
