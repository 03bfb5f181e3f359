"""Replacement of a folder by one process: the old folder is replaced only when the new one is complete."""

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
    """Yield an empty folder that becomes `target` when the block ends; the old folder stays until then.

    A lock excludes other processes; remains of a killed process are removed first.

    Args:
        target: the folder.
        overwrite: whether an existing folder is replaced.
        option: the option that allows replacing, for the message.

    Raises:
        RobustrecError: `target` exists and may not be overwritten, or it cannot be written.
    """
    old = target.parent / f".{target.name}.old"
    lock = target.parent / f".{target.name}.lock"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_SECONDS):
            _recover(target, old)
            if target.exists() and not overwrite:
                raise RobustrecError(
                    f"{target.name!r} already exists",
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
            fix="wait until it finishes, then try again",
        ) from error
    except OSError as error:
        raise unwritable(target, error) from error


def _recover(target: Path, old: Path) -> None:
    """Restore the old folder if no new one was written, else remove it; remove remains of killed processes."""
    if old.exists() and not target.exists():
        old.replace(target)
    for left in target.parent.glob(f".{target.name}.*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
