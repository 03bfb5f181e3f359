"""The records of stored trainings, HOME/runs/KEY/run.json; read without torch."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from robustrec.errors import RobustrecError
from robustrec.files import digest_json
from robustrec.untrusted import UnreadableError, read_json_object

RECORD_FORMAT = 2
RECORD = "run.json"
PARAMETERS = "parameters.safetensors"
# A record has two numbers per epoch.
_RECORD_BYTES = 64 << 20


def read_record(folder: Path) -> dict[str, Any]:
    """Return a run's record, without its digest.

    Raises:
        RobustrecError: it is damaged, or of an unsupported format.
    """
    try:
        record = read_json_object(folder / RECORD, most=_RECORD_BYTES)
        digest = record.pop("digest", None)
        if record.get("format") != RECORD_FORMAT or isinstance(record["format"], bool):
            raise ValueError(f"{RECORD} has format {record.get('format')!r}; this version reads format {RECORD_FORMAT}")
        if digest != digest_json(record):
            raise ValueError(f"{RECORD} does not match its digest")
    except (OSError, ValueError, UnreadableError) as error:
        raise damaged(folder, error) from error
    return record


def damaged(folder: Path, error: Exception) -> RobustrecError:
    """Return the error for a stored training that cannot be used."""
    return RobustrecError(
        f"stored run is damaged or of another version: {error}",
        where=str(folder),
        fix=f"remove it and train again: rm -r {shlex.quote(str(folder))}",
    )
