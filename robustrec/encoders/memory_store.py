"""Rows in memory, for encoders that do not say what their vectors depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustrec.encoders.row_store import RowStore, Stored
from robustrec.encoders.store import store_key

_HELD: dict[str, MemoryStore] = {}
"""The stores of this process by the digest of their identity."""


class MemoryStore:
    """Rows of one network, as in `RowStore`, until the process ends."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Tensor]] = {}
        self._messages: dict[str, str] = {}

    def find(self, keys: Sequence[str | None]) -> Stored:
        """Return the rows with the given keys; None is never found."""
        places = [place for place, key in enumerate(keys) if key in self._rows]
        found = torch.zeros(len(keys), dtype=torch.bool)
        found[places] = True
        tables: dict[str, Tensor] = {}
        messages: dict[int, str] = {}
        for place in places:
            key = str(keys[place])
            for name, row in self._rows[key].items():
                if name not in tables:
                    tables[name] = torch.zeros((len(keys), *row.shape), dtype=row.dtype)
                tables[name][place] = row
            if key in self._messages:
                messages[place] = self._messages[key]
        return Stored(tables, found, messages, 0)

    def add(self, keys: Sequence[str], tables: Mapping[str, Tensor], messages: Mapping[str, str]) -> None:
        """Keep rows: keys [n], name -> [n, ...], and key -> message."""
        held = {name: table.clone() for name, table in tables.items()}
        for place, key in enumerate(keys):
            self._rows[key] = {name: table[place] for name, table in held.items()}
        self._messages |= messages

    def fetch(self, keys: Sequence[str]) -> bool:  # noqa: ARG002
        """Return False: no other process has these rows."""
        return False

    def share(self, keys: Sequence[str]) -> None:
        """Do nothing: no other process may have these rows."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Do nothing: no other process has these rows."""
        yield


def row_store(home: Path, identity: Mapping[str, Any], *, kept: bool) -> RowStore | MemoryStore:
    """Return the store of rows with an identity: on disk if `kept`, else in the memory of this process."""
    if kept:
        return RowStore(home, identity)
    return _HELD.setdefault(store_key(identity), MemoryStore())
