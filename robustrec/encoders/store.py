"""The feature store: folders HOME/features/KEY, keyed by content, with tables, fitted state and a JSON record.

Folders are written atomically. A lock per key prevents two processes from encoding the same features. Each read checks
the files against the digests in the record.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from robustrec.files import (
    digest_array,
    digest_bytes,
    digest_file,
    digest_json,
    locked,
    remove_leftovers,
    staged_folder,
    unwritable,
)
from robustrec.in_use import mark_used
from robustrec.object_store import fetched, files_in, share
from robustrec.untrusted import read_json_object

RECORD = "features.json"
TABLES = "features.safetensors"
STATE = "state.safetensors"
_SCHEMA = 1

_log = logging.getLogger(__name__)


class Encoded(NamedTuple):
    """Features and state of an encoder.

    Attributes:
        tables: available modality -> float32 [I, D], finite, on the CPU.
        notes: notes for the user, such as the number of missing pictures.
        state: fitted state as tensors, to encode edited items; empty for encoders that are not fitted.
    """

    tables: dict[str, torch.Tensor]
    notes: tuple[str, ...]
    state: dict[str, torch.Tensor]


class _DamagedError(Exception):
    """A folder of the store does not match its record."""


def store_key(identity: Mapping[str, Any]) -> str:
    """Return the key of an entry, 32 hex digits, from all its inputs as JSON values."""
    return digest_json({"schema": _SCHEMA, **identity})[:32]


def tables_digest(tables: Mapping[str, torch.Tensor]) -> str:
    """Return the content hash of named tables: names, shapes and values, sorted by name."""
    parts = [part for name in sorted(tables) for part in (name, digest_array(tables[name].numpy()))]
    return digest_bytes(part.encode() for part in parts)


def stored(home: Path, identity: Mapping[str, Any], produce: Callable[[], Encoded]) -> Encoded:
    """Return the entry with this identity from HOME/features; produce and store it if needed.

    A damaged entry is produced again, with a note.

    Raises:
        RobustrecError: the store cannot be written, or whatever `produce` raises.
    """
    key = store_key(identity)
    folder = home / "features" / key
    mark_used(folder)
    try:
        found = _read(folder)
    except _DamagedError:
        found = None  # read again under the lock, since another process may be replacing it
    if found is None:
        with locked(folder.parent / f".{key}.lock"):
            remove_leftovers(folder.parent)
            found = _read_or_produce(folder, identity, produce)
    mark_used(folder)
    share("features", key, lambda: files_in(folder))
    return found


def _read_or_produce(folder: Path, identity: Mapping[str, Any], produce: Callable[[], Encoded]) -> Encoded:
    repaired: tuple[str, ...] = ()
    try:
        found = _read(folder)
        if found is not None:
            return found
    except _DamagedError as error:
        repaired = (f"stored features {folder.name} were damaged ({error}) and are encoded again",)
        _log.warning("%s", repaired[0])
        _remove(folder)
    if fetched("features", folder.name, folder):
        with suppress(_DamagedError):
            if (found := _read(folder)) is not None:
                return found
        _remove(folder)
    encoded = produce()
    with staged_folder(folder) as stage:
        _write(stage, identity, encoded)
    return encoded._replace(notes=encoded.notes + repaired)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    except OSError as error:
        raise unwritable(folder, error) from error


def _write(stage: Path, identity: Mapping[str, Any], encoded: Encoded) -> None:
    try:
        save_file({name: table.contiguous() for name, table in encoded.tables.items()}, stage / TABLES)
        save_file({name: value.contiguous() for name, value in encoded.state.items()}, stage / STATE)
        record = {
            "schema": _SCHEMA,
            "identity": dict(identity),
            "shapes": {name: list(table.shape) for name, table in encoded.tables.items()},
            "digest": tables_digest(encoded.tables),
            "notes": list(encoded.notes),
            "files": {name: digest_file(stage / name) for name in (TABLES, STATE)},
        }
        record["record_digest"] = digest_json(record)
        (stage / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise unwritable(stage.parent, error) from error
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))  # the error number is only in the message
        cause = OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error))
        raise unwritable(stage.parent, cause) from error


def _read(folder: Path) -> Encoded | None:
    if not folder.exists():
        return None
    try:
        record = read_json_object(folder / RECORD)
        if record.pop("record_digest", None) != digest_json(record):
            raise _DamagedError(f"{RECORD} does not match its digest")
        for name in (TABLES, STATE):
            if digest_file(folder / name) != record["files"][name]:
                raise _DamagedError(f"{name} does not match its digest")
        tables = load_file(folder / TABLES)
        if record["schema"] != _SCHEMA or {n: list(t.shape) for n, t in tables.items()} != record["shapes"]:
            raise _DamagedError(f"{RECORD} does not describe {TABLES}")
        return Encoded(tables, tuple(str(note) for note in record["notes"]), load_file(folder / STATE))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise _DamagedError(f"{type(error).__name__}: {error}") from error
