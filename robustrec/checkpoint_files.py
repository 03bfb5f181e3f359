"""Checkpoint files: a JSON header and named tensors under one digest, so that a damaged state is never resumed from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from robustrec.files import write_atomically
from robustrec.untrusted import UnreadableError, regular_file

# The file: this line, the sha256 of all that follows, and a safetensors file whose metadata hold the header.
_FIRST = b"robustrec checkpoint 2\n"
_DIGEST_BYTES = 32
_HEADER = "robustrec"


def write_checkpoint_file(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write named tensors and a JSON header, atomically.

    Raises:
        RobustrecError: the folder cannot be written, or the disk is full.
    """
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    content = save(whole, metadata={_HEADER: json.dumps(header)})
    write_atomically(path, _FIRST + hashlib.sha256(content).digest() + content)


def read_checkpoint_file(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the header and the tensors of a checkpoint file.

    Raises:
        UnreadableError: it does not hold what was written.
    """
    try:
        regular_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error
    start = len(_FIRST) + _DIGEST_BYTES
    body = memoryview(content)[start:]
    if content[:start] != _FIRST + hashlib.sha256(body).digest():
        raise UnreadableError("its content does not match its digest")
    try:
        length = int.from_bytes(body[:8], "little")
        header: dict[str, Any] = json.loads(json.loads(bytes(body[8 : 8 + length]))["__metadata__"][_HEADER])
        return header, load(bytes(body))
    except (SafetensorError, ValueError, KeyError) as error:
        raise UnreadableError(str(error)) from error
