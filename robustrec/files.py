"""Files that are whole or absent, content digests, and paths that stay inside their folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustrec.errors import RobustrecError


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file under a temporary name beside it and rename it, so that no reader ever meets half of it.

    Raises:
        RobustrecError: the folder cannot be made or written.
    """
    content = data.encode() if isinstance(data, str) else data
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Make sure, before long work, that a file can be written where its result is wanted.

    Raises:
        RobustrecError: the folder cannot be made or written, or the path is a folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that becomes `target` when the block ends, and vanishes when it raises.

    If another process put a whole `target` there meanwhile, that one is kept: content-addressed folders are equal.

    Raises:
        RobustrecError: the parent folder cannot be made or written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise unwritable(target, error) from error
    try:
        yield stage
        stage.chmod(0o755)
        try:
            stage.replace(target)
        except OSError as error:
            if not target.is_dir():
                raise unwritable(target, error) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def unwritable(path: Path, error: OSError) -> RobustrecError:
    """Return the error for a path that could not be written."""
    return RobustrecError(
        f"cannot write {path}: {error.strerror or error}",
        where=str(path.parent),
        fix="choose a folder you may write to; for robustrec's own: export ROBUSTREC_HOME=$HOME/robustrec",
    )


def path_inside(folder: Path, relative: str) -> Path:
    """Return `folder / relative`, refusing anything that would leave `folder`, links included.

    Raises:
        RobustrecError: the path is absolute or leads outside.
    """
    root = folder.resolve()
    candidate = (root / relative).resolve()
    if not candidate.is_relative_to(root):
        raise RobustrecError(
            f"path {relative!r} leads outside its folder",
            where=str(folder),
            fix="use a path relative to that folder",
        )
    return candidate


def digest_bytes(parts: Iterable[bytes]) -> str:
    """Return the sha256 hex digest of the parts, each prefixed with its length so that borders count."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def digest_json(value: Any) -> str:
    """Return the sha256 hex digest of a JSON value in canonical form (sorted keys, no NaN)."""
    return digest_bytes([json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()])


def digest_array(array: NDArray[Any]) -> str:
    """Return the sha256 hex digest of an array's dtype, shape and values."""
    values = np.ascontiguousarray(array)
    return digest_bytes([str(values.dtype.str).encode(), repr(values.shape).encode(), values.tobytes()])


def digest_file(path: Path) -> str:
    """Return the sha256 hex digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_sources(*folders_or_files: Path) -> str:
    """Return the digest of Python sources, by relative name and content: the code version of a producing step."""
    parts: list[bytes] = []
    for place in folders_or_files:
        sources = [place] if place.is_file() else sorted(place.rglob("*.py"))
        for source in sources:
            parts += [source.relative_to(place.parent).as_posix().encode(), source.read_bytes()]
    return digest_bytes(parts)


def shipped(kind: str, name: str) -> Path:
    """Return the path of a shipped file; `kind` is "audits" or "fixtures", which a wheel carries inside the package."""
    package = Path(__file__).parent
    inside = package / "_data" / kind / name
    return inside if inside.exists() else package.parent / kind / name
