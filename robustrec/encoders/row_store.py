"""Store of the vectors of rows, HOME/encodings/KEY, keyed by row content and written in chunks.

Each network with its weights and settings has a folder. A chunk is a safetensors file named by the sha256 of its bytes;
it is written atomically and never changed, so that an interrupted encoding resumes, and a row is encoded again only if
its content or the network changes. A chunk that does not match its name is removed, and its rows are encoded again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from robustrec.encoders.store import store_key
from robustrec.files import digest_json, locked, remove_leftovers, unwritable, write_atomically
from robustrec.in_use import mark_used
from robustrec.object_store import fetched, in_use, share

RECORD = "network.json"
_KEY = "key"
_MESSAGES = "messages"

_log = logging.getLogger(__name__)


class Stored(NamedTuple):
    """Stored rows of one network.

    Attributes:
        tables: name -> [n, ...] outputs float32 and facts int16, by their stored names.
        found: bool [n], whether a row is stored; other rows are zero.
        messages: position -> message.
        damaged: number of removed chunks.
    """

    tables: dict[str, Tensor]
    found: Tensor
    messages: dict[int, str]
    damaged: int


class RowStore:
    """The stored rows of one network."""

    def __init__(self, home: Path, identity: Mapping[str, Any]) -> None:
        self.identity = dict(identity)
        self.folder = home / "encodings" / store_key(identity)

    def find(self, keys: Sequence[str | None]) -> Stored:
        """Return the stored rows with the given keys; None is never found."""
        places: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            if key is not None:
                places.setdefault(key, []).append(place)
        tables: dict[str, Tensor] = {}
        found = torch.zeros(len(keys), dtype=torch.bool)
        messages: dict[int, str] = {}
        damaged = 0
        mark_used(self.folder)
        for path in sorted(self.folder.glob("*.safetensors")) if places else ():
            held = _keys(path)
            wanted = [(row, key) for row, key in enumerate(held) if key in places and not found[places[key][0]]]
            if held and not wanted:
                continue
            chunk = _read(path)
            if chunk is None:
                damaged += 1
                _remove(path)
                continue
            rows = torch.tensor([row for row, key in wanted for _ in places[key]], dtype=torch.long)
            into = torch.tensor([place for _, key in wanted for place in places[key]], dtype=torch.long)
            for name, values in chunk.tables.items():
                if name not in tables:
                    tables[name] = torch.zeros((len(keys), *values.shape[1:]), dtype=values.dtype)
                tables[name][into] = values[rows]
            found[into] = True
            messages |= {p: chunk.messages[key] for _, key in wanted if key in chunk.messages for p in places[key]}
        return Stored(tables, found, messages, damaged)

    def add(self, keys: Sequence[str], tables: Mapping[str, Tensor], messages: Mapping[str, str]) -> None:
        """Write rows as a new chunk.

        Args:
            keys: [n] keys of the rows.
            tables: name -> [n, ...].
            messages: key -> message.

        Raises:
            RobustrecError: the folder cannot be written.
        """
        key = torch.tensor([list(bytes.fromhex(name)) for name in keys], dtype=torch.uint8)
        content = save(
            {_KEY: key, **{name: table.contiguous() for name, table in tables.items()}},
            metadata={_MESSAGES: json.dumps(dict(messages))},
        )
        self._describe()
        write_atomically(self.folder / f"{hashlib.sha256(content).hexdigest()}.safetensors", content)

    def fetch(self, keys: Sequence[str]) -> bool:
        """Fetch the rows with these keys if the store in use has them together; return whether it has.

        Raises:
            RobustrecError: the folder cannot be written.
        """
        if not in_use():
            return False
        entry = self._entry(keys)
        place = self.folder / entry
        if not fetched("encodings", entry, place):
            return False
        self._describe()
        for path in place.iterdir():
            path.replace(self.folder / path.name)
        place.rmdir()
        return True

    def share(self, keys: Sequence[str]) -> None:
        """Upload the chunks that hold the rows with these keys to the store in use, unless they are there."""
        if not in_use():
            return
        wanted = set(keys)
        share(
            "encodings",
            self._entry(keys),
            lambda: {
                path.name: path
                for path in sorted(self.folder.glob("*.safetensors"))
                if not wanted.isdisjoint(_keys(path))
            },
        )

    def _entry(self, keys: Sequence[str]) -> str:
        return digest_json({"network": self.folder.name, "rows": sorted(set(keys))})[:32]

    def _describe(self) -> None:
        if not (self.folder / RECORD).is_file():
            write_atomically(self.folder / RECORD, json.dumps(self.identity, indent=1, sort_keys=True) + "\n")
        mark_used(self.folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock that prevents two processes from encoding the same rows.

        Raises:
            RobustrecError: the folder cannot be written.
        """
        with locked(self.folder.parent / f".{self.folder.name}.lock"):
            remove_leftovers(self.folder)
            yield


class _Chunk(NamedTuple):
    tables: dict[str, Tensor]
    messages: dict[str, str]


def _keys(path: Path) -> list[str]:
    """Return the keys of a chunk without reading its tables; none if it cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            return [bytes(row).hex() for row in file.get_tensor(_KEY).numpy()]
    except (OSError, SafetensorError, ValueError):
        return []


def _read(path: Path) -> _Chunk | None:
    """Return a chunk, or None if its bytes do not match its name."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != path.stem:
            return None
        tables = load(content)
        size = int.from_bytes(content[:8], "little")
        messages = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][_MESSAGES])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    del tables[_KEY]
    return _Chunk(tables, messages)


def _remove(path: Path) -> None:
    _log.warning("stored vectors %s are damaged and are encoded again", path.name)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
