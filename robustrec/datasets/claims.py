"""A folder that one process writes and that takes the place of an older one only when it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from robustrec.errors import RobustrecError
from robustrec.files import staged_folder, unwritable

LOCK_SECONDS = 60


@contextmanager
def claimed_folder(target: Path, *, overwrite: bool, option: str) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` when the block ends; the old one stays until then.

    A lock keeps other processes out; what a killed one left behind is cleared away first.

    Args:
        target: the folder.
        overwrite: whether it may take the place of one that is there.
        option: the option that would say so, for the message.

    Raises:
        RobustrecError: `target` is there and may not be overwritten, or it cannot be written.
    """
    old = target.parent / f".{target.name}.old"
    lock = target.parent / f".{target.name}.lock"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_SECONDS):
            _recover(target, old)
            if target.exists() and not overwrite:
                raise RobustrecError(
                    f"{target.name!r} is there already",
                    where=str(target),
                    fix=f"choose another name, or replace it: {option}",
                )
            try:
                with staged_folder(target) as stage:
                    yield stage
                    if target.exists():
                        target.replace(old)
            finally:
                _recover(target, old)
    except Timeout as error:
        raise RobustrecError(
            f"another process is writing {target.name!r}",
            where=str(target),
            fix="wait for it to end, then try again",
        ) from error
    except OSError as error:
        raise unwritable(target, error) from error


def _recover(target: Path, old: Path) -> None:
    """Put the old folder back where no new one came, else remove it; remove what killed processes left."""
    if old.exists() and not target.exists():
        old.replace(target)
    for left in target.parent.glob(f".{target.name}.*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
