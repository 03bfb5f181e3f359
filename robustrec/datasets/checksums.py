"""Checksums of the files of a sample edition, written when it is created, so that changed files are detected."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from robustrec.digests import remembered_file_digests
from robustrec.errors import RobustrecError
from robustrec.files import digest_file, write_atomically
from robustrec.untrusted import UnreadableError, read_json

CHECKSUMS = "checksums.json"


def write_checksums(folder: Path) -> None:
    """Write the sha256 of every file in a folder beside them.

    Raises:
        RobustrecError: the folder cannot be written.
    """
    digests = {path.name: digest_file(path) for path in sorted(folder.iterdir()) if path.is_file()}
    write_atomically(folder / CHECKSUMS, json.dumps(digests, indent=2) + "\n")


def check_unchanged(folder: Path, cache: Path) -> None:
    """Check the files of a folder against their checksums, if the folder has any.

    Args:
        folder: a sample edition's folder.
        cache: folder for remembered digests of files.

    Raises:
        RobustrecError: a file was changed, damaged or removed, or the digests themselves are damaged.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        return
    try:
        digests = read_json(path)
        files = {folder / name: digest for name, digest in digests.items()}
    except (UnreadableError, AttributeError, TypeError) as error:
        raise _changed(folder, CHECKSUMS) from error
    there = remembered_file_digests([file for file in files if file.is_file()], cache)
    for file, digest in files.items():
        if there.get(file) != digest:
            raise _changed(folder, file.name)


def _changed(folder: Path, name: str) -> RobustrecError:
    return RobustrecError(
        f"the checksum of {name} does not match: the file was changed, damaged or removed",
        where=str(folder),
        fix=f"remove the sample; it is created again at the next use: rm -r {shlex.quote(str(folder))}",
    )
