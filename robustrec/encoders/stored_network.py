"""A network with its store: stored rows are read, others are encoded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robustrec.encoders import elsewhere
from robustrec.encoders.elsewhere import Shard
from robustrec.encoders.families import DUAL, IMAGE, TEXT, generic, networks_of, owner
from robustrec.encoders.memory_store import row_store
from robustrec.encoders.networks import Network
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.pipeline import Chunk, batches_of, encode_chunks
from robustrec.encoders.row_store import Stored
from robustrec.encoders.rows import RowContent, StoredPicture, row_key
from robustrec.encoders.store import store_key
from robustrec.progress import Progress

NETWORKS: dict[str, str] = {
    "tiny-blip": "robustrec.encoders.blip:TinyBlip",
    "blip": "robustrec.encoders.blip:Blip",
    "blip2": "robustrec.encoders.blip2:Blip2",
    "cnn": "robustrec.encoders.cnn:Cnn",
    "lite0": "robustrec.encoders.lite0:Lite0",
    **dict.fromkeys(networks_of(TEXT), "robustrec.encoders.hf_text:HfText"),
    **dict.fromkeys(networks_of(IMAGE), "robustrec.encoders.hf_image:HfImage"),
    **{f"{name}.text": "robustrec.encoders.hf_dual:DualText" for name in networks_of(DUAL)},
    **{f"{name}.image": "robustrec.encoders.hf_dual:DualImage" for name in networks_of(DUAL)},
}
"""Name of each network -> "module:class", called with options, the folder of cached digests and `first`.

Classes of generic networks and their aliases are called with `name` too.
"""

_CHUNK_ROWS, _CHUNK_SECONDS = 512, 60.0  # maximum loss of an interrupted encoding

_CHECKED: set[str] = set()
"""Digests of the user-defined encoders that were checked in this process."""


class Rows(NamedTuple):
    """Rows of one network.

    Attributes:
        outputs: name -> float32 [n, D].
        facts: name -> int16 [n]: "text" and "picture" (see `robustrec.encoders.pipeline`), and those of the network.
        messages: position -> reason why its picture is unreadable.
        damaged: number of damaged stored files that were encoded again.
    """

    outputs: dict[str, Tensor]
    facts: dict[str, Tensor]
    messages: dict[int, str]
    damaged: int


class StoredNetwork:
    """A network with its stored rows.

    Args:
        name: key in NETWORKS, or name of a user-defined encoder.
        options: weights, device and others.
        home: folder of the store.
        first: first network of the encoder; weights without "NETWORK=" are for it.

    Attributes:
        kept: whether the rows are stored on disk; otherwise only in memory, until the process ends.

    Raises:
        RobustrecError: libraries or weights are not found.
    """

    def __init__(self, name: str, options: EncoderOptions, home: Path, *, first: str) -> None:
        self.name, self.first = name, first
        self.network = _network(name, options, home, first)
        self.identity = {"network": generic(name), **self.network.identity}
        self.kept = bool(getattr(self.network, "kept", True))
        self.store = row_store(home, self.identity, kept=self.kept)
        self._checked = store_key({"home": str(home), **self.identity})
        self.workers = options.workers

    @property
    def checks(self) -> bool:
        """Return whether it is a user-defined encoder that was not checked yet in this process."""
        return hasattr(self.network, "check") and self._checked not in _CHECKED

    def check(self, rows: Sequence[RowContent]) -> None:
        """Check a user-defined encoder on a few rows of the catalog before its first use; see `OwnNetwork.check`.

        Raises:
            RobustrecError: its vectors depend on more than the row, or stored vectors are not what it returns now.
        """
        network: Any = self.network
        if not self.checks:
            return
        chosen, vectors = network.check(rows)
        stored = self.store.find([row_key(row, self.network.reads) for row in chosen])
        if stored.found.any():
            network.check_stored(
                {name: table[stored.found].numpy() for name, table in stored.tables.items() if name in vectors},
                {name: table[stored.found.numpy()] for name, table in vectors.items()},
            )
        _CHECKED.add(self._checked)

    def cached(self, rows: Sequence[RowContent], progress: Progress | None) -> Rows:
        """Return the rows of a catalog from the store, after encoding and storing the missing ones.

        Raises:
            RobustrecError: the store cannot be written, or the network fails.
        """
        keys = [str(row_key(row, self.network.reads)) for row in rows]
        stored = self.store.find(keys)
        damaged = stored.damaged
        if not stored.found.all():
            with self.store.locked():
                stored = self.store.find(keys)  # another process may have encoded them meanwhile
                if not stored.found.all() and self.store.fetch(keys):
                    stored = self.store.find(keys)
                self.check(rows)
                lacking: dict[str, RowContent] = {}
                for key, row, found in zip(keys, rows, stored.found.tolist(), strict=True):
                    if not found:
                        lacking.setdefault(key, row)
                self._encode(lacking, progress)
                stored = self.store.find(keys)
                self.store.share(keys)
        else:
            self.store.share(keys)
        return _rows(stored, damaged)

    def uncached(self, rows: Sequence[RowContent], progress: Progress | None) -> Rows:
        """Return rows, n >= 1: stored rows are read, others are encoded but not stored.

        Raises:
            RobustrecError: the network fails.
        """
        stored = self.store.find([row_key(row, self.network.reads) for row in rows])
        lacking = torch.nonzero(~stored.found).flatten().tolist()
        messages = dict(stored.messages)
        wanted = [rows[place] for place in lacking]
        chunks = list(encode_chunks(self.network, wanted, progress, workers=self.workers, share_pictures=True))
        for chunk in chunks:
            places = [lacking[row] for row in chunk.rows]
            for name, values in _tables(chunk).items():
                table = stored.tables.setdefault(name, values.new_zeros((len(rows), *values.shape[1:])))
                table[places] = values
            messages |= {lacking[row]: message for row, message in chunk.messages.items()}
        return _rows(stored._replace(messages=messages), stored.damaged)

    def encode_batches(self, batches: Sequence[Sequence[RowContent]]) -> None:
        """Encode batches of rows, each for itself, and store those that are not stored yet together.

        Raises:
            RobustrecError: the store cannot be written, or the network fails.
        """
        keys = [[str(row_key(row, self.network.reads)) for row in batch] for batch in batches]
        whole = [bool(self.store.find(each).found.all()) for each in keys]
        lacking = [(held, batch) for held, batch, there in zip(keys, batches, whole, strict=True) if not there]
        done = [
            (held, chunk)
            for held, batch in lacking
            for chunk in encode_chunks(self.network, batch, None, workers=self.workers)
        ]
        if done:
            parts = [_tables(chunk) for _, chunk in done]
            self.store.add(
                [held[place] for held, chunk in done for place in chunk.rows],
                {name: torch.cat([part[name] for part in parts]) for name in parts[0]},
                {held[place]: message for held, chunk in done for place, message in chunk.messages.items()},
            )

    def _shards(self, rows: Sequence[RowContent]) -> list[Shard]:
        """Return the batches of rows as `encode_chunks` cuts them, in units; none if a row has an unknown picture."""
        pictures = [row.picture for row in rows if isinstance(row.picture, StoredPicture)]
        if len(pictures) < len(rows):
            return []
        batches = [
            [(rows[place].text, pictures[place].item, pictures[place].digest) for place in batch]
            for batch in batches_of(self.network, rows)
        ]
        each = max(elsewhere.UNIT_BATCHES, -(-elsewhere.UNIT_ROWS // self.network.batch_size))
        identity = store_key(self.identity)
        return [
            Shard(self.name, self.first, identity, batches[start : start + each])
            for start in range(0, len(batches), each)
        ]

    def _encode(self, lacking: Mapping[str, RowContent], progress: Progress | None) -> None:
        keys, rows = list(lacking), list(lacking.values())
        others = elsewhere.chosen() if self.kept else None
        shards = [] if others is None else self._shards(rows)
        if others is not None and len(shards) > 1:
            others(shards, progress)
            return
        pending: list[Chunk] = []
        since = time.monotonic()

        def write() -> None:
            if pending:
                parts = [_tables(chunk) for chunk in pending]
                self.store.add(
                    [keys[place] for chunk in pending for place in chunk.rows],
                    {name: torch.cat([part[name] for part in parts]) for name in parts[0]},
                    {keys[place]: message for chunk in pending for place, message in chunk.messages.items()},
                )
                pending.clear()

        try:
            for chunk in encode_chunks(self.network, rows, progress, workers=self.workers):
                pending.append(chunk)
                if sum(len(part.rows) for part in pending) >= _CHUNK_ROWS or time.monotonic() - since > _CHUNK_SECONDS:
                    write()
                    since = time.monotonic()
        finally:
            write()  # also when interrupted, to keep encoded rows


def _network(name: str, options: EncoderOptions, home: Path, first: str) -> Network:
    if name not in NETWORKS:
        from robustrec.encoders.own_network import OwnNetwork

        return OwnNetwork(name, options)
    module, _, kind = NETWORKS[name].partition(":")
    make: Callable[..., Network] = getattr(import_module(module), kind)
    named = {"name": name} if owner(generic(name)) in (TEXT, IMAGE, DUAL) else {}
    return make(options, home / "digests", first=first, **named)


def _tables(chunk: Chunk) -> dict[str, Tensor]:
    return {**chunk.outputs, **{f"fact.{name}": values for name, values in chunk.facts.items()}}


def _rows(stored: Stored, damaged: int) -> Rows:
    return Rows(
        {name: table for name, table in stored.tables.items() if not name.startswith("fact.")},
        {name.removeprefix("fact."): table for name, table in stored.tables.items() if name.startswith("fact.")},
        stored.messages,
        damaged,
    )
