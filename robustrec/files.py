"""Atomic file writes, content digests, and paths confined to their folder."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from robustrec.errors import RobustrecError
from robustrec.places import is_inside, opened_in_place, own_descriptor, same_file, without_links

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# The names of temporary files and folders.
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file atomically: write a temporary file and rename it.

    A link stays, and what it leads to is replaced. An existing file keeps its mode; a new one gets that of the umask.
    What is not a regular file (a named pipe, a character device, /dev/stdout) is written to directly.

    Raises:
        RobustrecError: the folder cannot be made or written.
    """
    content = data.encode() if isinstance(data, str) else data
    try:
        if (descriptor := opened_in_place(path)) is not None:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
        else:
            _replace(without_links(path), content)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error


@contextmanager
def opened_atomically(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write in parts, which replaces `path` when the block ends without an error; see above.

    Raises:
        RobustrecError: the folder cannot be made or written.
    """
    try:
        if (descriptor := opened_in_place(path)) is not None:
            with os.fdopen(descriptor, "wb") as file:
                yield file
        else:
            with _replacing(without_links(path)) as file:
                yield file
    except OSError as error:
        raise unwritable(path, error) from error


def _replace(path: Path, content: bytes) -> None:
    with _replacing(path) as file:
        file.write(content)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path, _new_file) as temporary:
        with temporary.open("wb") as file:
            if path.exists():
                _take_over(path, file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    _flush_folder(path.parent)


def _take_over(path: Path, descriptor: int) -> None:
    """Give a new file the mode of the one that it replaces, and its owner where that is allowed."""
    status = path.stat()
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(OSError):
            os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


def check_writable(path: Path) -> None:
    """Make sure, before long work, that a file can be written where its result is wanted.

    Raises:
        RobustrecError: the folder cannot be made or written, or the path is a folder.
    """
    try:
        own = own_descriptor(path)
        if own is not None:
            os.fstat(own)
        elif path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        elif path.exists() and not path.is_file():
            if path.is_block_device() or path.is_socket() or not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        else:
            target = without_links(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=target.parent):
                pass
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error


def check_outputs(outputs: Iterable[tuple[str, Path]], inputs: Iterable[tuple[str, Path | None]] = ()) -> None:
    """Make sure, before long work, that outputs can be written and overwrite neither each other nor an input.

    Args:
        outputs: the option that asks for each, and its path.
        inputs: the option that names each, and its path; of a folder, no file in it is overwritten.

    Raises:
        RobustrecError: as `check_writable`, or such a pair.
    """
    read = [(option, path) for option, path in inputs if path is not None]
    written: list[tuple[str, Path]] = []
    for option, path in outputs:
        check_writable(path)
        for other, place in written:
            if same_file(path, place):
                raise RobustrecError(
                    f"{other} and {option} have the same path {path}", where=option, fix="use different paths"
                )
        for other, place in read:
            if same_file(path, place) or (place.is_dir() and path.is_file() and is_inside(path, place)):
                raise RobustrecError(
                    f"{path} is an input ({other}) and would be overwritten",
                    where=option,
                    fix="write to another path",
                )
        written.append((option, path))


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that becomes `target` when the block ends, and vanishes when it raises.

    If another process put a whole `target` there meanwhile, that one is kept: content-addressed folders are equal.
    What the folder holds is on the disk before it gets its name.

    Raises:
        RobustrecError: the parent folder cannot be made or written, or the disk is full.
    """
    with ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            stage = stack.enter_context(_temporary(target, _new_folder))
        except (OSError, ValueError) as error:
            raise unwritable(target, error) from error
        try:
            yield stage
            _flush_tree(stage)
        except OSError as error:
            if is_disk_full(error):
                raise unwritable(target, error) from error
            raise
        try:
            stage.replace(target)
            _flush_folder(target.parent)
        except OSError as error:
            if not target.is_dir():
                raise unwritable(target, error) from error


@contextmanager
def _temporary(target: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Yield a new file or folder beside `target`, locked while the block lasts, and remove what is left of it then."""
    while True:
        # Not tempfile: what it makes nobody else may read, whatever the umask. Names have at most 255 bytes.
        name = os.fsdecode(os.fsencode(target.name)[:200])
        place = target.with_name(f".{name}.{secrets.token_hex(4)}")
        make(place)
        handle = os.open(place, os.O_RDONLY)
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_SH)
        if place.exists():  # else it was taken for a leftover before it was locked
            break
        os.close(handle)
    try:
        yield place
    finally:
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
        os.close(handle)


def _new_file(place: Path) -> None:
    os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def _new_folder(place: Path) -> None:
    place.mkdir()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and staged folders that killed processes left in a folder.

    Writers hold a lock on what they write, which ends with their process: what another process is writing stays.
    Where locks or files cannot be had, everything stays.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name) and not path.is_symlink():
                with suppress(OSError):
                    _remove_unused(path)


def _remove_unused(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    finally:
        os.close(handle)


def _flush_tree(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            _flush_folder(path)
        elif path.is_file():
            _flush(path)


def _flush_folder(folder: Path) -> None:
    """Write a folder's entries to disk; some file systems refuse that for folders, and have nothing to flush."""
    try:
        _flush(folder)
    except OSError as error:
        if is_disk_full(error):
            raise


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_disk_full(error: OSError) -> bool:
    """Return whether a write failed because the disk, the quota or the file size limit is exhausted."""
    return error.errno in _FULL


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock file while a block runs, so that two processes do not do the same work.

    Args:
        path: the lock file; its folder is created.
        waiting: called once if another process holds the lock.

    Raises:
        RobustrecError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            waiting()
            lock.acquire()
    except OSError as error:
        raise unwritable(path.parent, error) from error
    try:
        yield
    finally:
        lock.release()


def unwritable(path: Path, error: Exception) -> RobustrecError:
    """Return the error for a path that could not be written."""
    fix = "choose a writable folder; for the robustrec home folder: export ROBUSTREC_HOME=$HOME/robustrec"
    if isinstance(error, OSError) and is_disk_full(error):
        fix = "free disk space, or use another disk: export ROBUSTREC_HOME=/path/with/space/robustrec"
    why = getattr(error, "strerror", None) or error
    return RobustrecError(f"cannot write {shown_path(path)}: {why}", where=shown_path(path.parent), fix=fix)


def shown_path(path: Path | str) -> str:
    """Return a path as a text that can be printed: escaped where it holds control characters or undecodable bytes."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def path_inside(folder: Path, relative: str) -> Path:
    """Return `folder / relative`; reject paths outside `folder`, including links.

    Raises:
        RobustrecError: the path is absolute or leads outside.
    """
    try:
        root = folder.resolve()
        candidate = (root / relative).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL character, links that lead back to themselves
        raise RobustrecError(
            f"{relative[:200]!r} is not a path: {getattr(error, 'strerror', None) or error}",
            where=str(folder),
            fix="use a path relative to that folder",
        ) from error
    if not candidate.is_relative_to(root):
        raise RobustrecError(
            f"path {relative!r} is outside its folder",
            where=str(folder),
            fix="use a path relative to that folder",
        )
    return candidate


def digest_bytes(parts: Iterable[bytes | memoryview]) -> str:
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
    import numpy as np  # lists of models, suites, … need no numpy

    values = np.ascontiguousarray(array)
    content = values.reshape(-1).view(np.uint8).data if values.size else b""  # without a copy
    return digest_bytes([str(values.dtype.str).encode(), repr(values.shape).encode(), content])


def digest_file(path: Path) -> str:
    """Return the sha256 hex digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_sources(*folders_or_files: Path) -> str:
    """Return the digest of Python sources, by relative name and content: the code version of a producing step.

    Raises:
        FileNotFoundError: a folder or file does not exist, so that its code would silently not count.
    """
    parts: list[bytes] = []
    for place in folders_or_files:
        if not place.exists():
            raise FileNotFoundError(place)
        sources = [place] if place.is_file() else sorted(place.rglob("*.py"))
        for source in sources:
            parts += [source.relative_to(place.parent).as_posix().encode(), source.read_bytes()]
    return digest_bytes(parts)


def shipped(kind: str, name: str) -> Path:
    """Return the path of a shipped file; `kind` is "audits", "docs" or "fixtures", inside the package in a wheel."""
    package = Path(__file__).parent
    inside = package / "_data" / kind / name
    return inside if inside.exists() else package.parent / kind / name
