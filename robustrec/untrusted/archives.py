"""Zips and tars, unpacked with limits: no paths outside the folder, no links, no devices, no archives inside."""

from __future__ import annotations

import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from robustrec.untrusted.files import UnreadableError, open_regular, size_words

ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
OTHER_SUFFIXES = (".7z", ".rar", ".tar.zst", ".tzst", ".zipx")
"""Archives that are not read."""
MOST_ENTRIES = 2_000_000
LEAST_LIMIT = 4 << 30
"""Bytes that any archive may hold."""
MOST_RATIO = 100
"""Largest size of the content as a multiple of the archive, beyond `LEAST_LIMIT`."""
_MOST_HEADER = 1 << 20
_CHUNK = 1 << 20
_DAMAGED = (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, UnicodeError, zlib.error, lzma.LZMAError)


class _Entry(NamedTuple):
    """A regular file in an archive: its path as parts, its size, and what opens it."""

    parts: tuple[str, ...]
    size: int
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Tell by its name whether a file is a zip or tar that can be unpacked."""
    return path.name.lower().endswith((*ZIP_SUFFIXES, *TAR_SUFFIXES))


def is_zip(path: Path) -> bool:
    """Tell by its name whether a file is a zip."""
    return path.name.lower().endswith(ZIP_SUFFIXES)


def unpack(path: Path, folder: Path) -> None:
    """Write the files of a zip or tar into an empty folder; hidden files and what macOS adds are left out.

    Args:
        path: the archive.
        folder: an empty folder.

    Raises:
        UnreadableError: damaged or encrypted; or an entry is a link, a device or an archive, has a path outside the
            folder or the path of another one; or there are too many entries or bytes.
    """
    limit = max(LEAST_LIMIT, MOST_RATIO * path.stat().st_size) if path.is_file() else LEAST_LIMIT
    entries = _zip_entries if is_zip(path) else _tar_entries
    seen: set[tuple[str, ...]] = set()
    total = 0
    with open_regular(path) as file:
        try:
            for entry in entries(file):
                name = "/".join(entry.parts)
                if name.lower().endswith((*ZIP_SUFFIXES, *TAR_SUFFIXES, *OTHER_SUFFIXES)):
                    raise UnreadableError(f"{name[:80]!r} is an archive inside the archive")
                key = tuple(part.casefold() for part in entry.parts)
                if key in seen:
                    raise UnreadableError(f"two entries have the path {name[:80]!r}")
                seen.add(key)
                if len(seen) > MOST_ENTRIES:
                    raise UnreadableError(f"more than {MOST_ENTRIES:,} files")
                total = _write(entry, folder.joinpath(*entry.parts), total, limit)
        except UnreadableError:
            raise
        except (*_DAMAGED, zipfile.BadZipFile, tarfile.TarError) as error:
            raise UnreadableError(f"the archive is damaged or cannot be unpacked: {error}") from error


def stored_files(data: bytes) -> dict[str, bytes]:
    """Return the files of a zip without compression, by path; none can be larger than the zip.

    Raises:
        UnreadableError: damaged, compressed or encrypted; an entry is a folder, a link, a device or hidden, has a path
            outside the archive or the path of another one; or the files together are larger than the zip.
    """
    found: dict[str, bytes] = {}
    with io.BytesIO(data) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
            if len(members) > MOST_ENTRIES or sum(each.file_size for each in members) > len(data):
                raise UnreadableError("the files together are larger than the archive")
            if any(each.compress_type != zipfile.ZIP_STORED for each in members):
                raise UnreadableError("a file is compressed")
            for entry in _zip_entries(file):
                name = "/".join(entry.parts)
                content = entry.open()
                if content is None or name in found:
                    raise UnreadableError(f"two entries have the path {name[:80]!r}")
                with content:
                    found[name] = content.read()
        except UnreadableError:
            raise
        except (*_DAMAGED, zipfile.BadZipFile) as error:
            raise UnreadableError(f"the archive is damaged: {error}") from error
    if len(found) != len(members):
        raise UnreadableError("an entry is a folder or hidden")
    return found


def _write(entry: _Entry, target: Path, total: int, limit: int) -> int:
    """Write one file, and return the number of bytes so far.

    Raises:
        UnreadableError: there are more than the limit.
    """
    content = entry.open()
    if content is None:
        raise UnreadableError(f"{'/'.join(entry.parts)[:80]!r} cannot be read")
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("xb") as file:
        while chunk := content.read(_CHUNK):
            total += len(chunk)
            if total > limit:
                raise UnreadableError(f"the content is larger than {size_words(limit)}")
            file.write(chunk)
    return total


def _zip_entries(file: IO[bytes]) -> Iterator[_Entry]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            parts = _parts(info.orig_filename)
            if info.is_dir() or parts is None:
                continue
            mode = info.external_attr >> 16
            if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise UnreadableError(f"{'/'.join(parts)[:80]!r} is a link or a device")
            if info.flag_bits & 1:
                raise UnreadableError(f"{'/'.join(parts)[:80]!r} is encrypted")
            yield _Entry(parts, info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc]


class _Member(tarfile.TarInfo):
    """A member of a tar that refuses headers of a size that no path needs, before they are read."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        long = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if self.type in (*long, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK) and self.size > _MOST_HEADER:
            raise tarfile.ReadError("a header is too large")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found


def _tar_entries(file: IO[bytes]) -> Iterator[_Entry]:
    with tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member) as archive:
        for member in archive:
            parts = _parts(member.name)
            if member.isdir() or parts is None:
                continue
            if not member.isreg() or member.issparse():
                raise UnreadableError(f"{'/'.join(parts)[:80]!r} is a link, a device or a sparse file")
            yield _Entry(parts, member.size, lambda member=member: archive.extractfile(member))  # type: ignore[misc]
            archive.members = []  # type: ignore[attr-defined]  # else all of them stay in memory


def _parts(name: str) -> tuple[str, ...] | None:
    """Return the path of an entry; None for hidden files and what macOS adds.

    Raises:
        UnreadableError: it is absolute, leaves the folder, or is not a path.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    parts = tuple(part for part in path.parts if part != ".")
    if path.is_absolute() or ".." in parts or any(":" in part for part in parts[:1]):
        raise UnreadableError(f"{name[:80]!r} is a path outside the archive")
    if any(ord(character) < 32 for character in name) or any(len(part.encode()) > 255 for part in parts):
        raise UnreadableError(f"{name[:80]!r} is not a path")
    hidden = not parts or any(part.startswith((".", "__MACOSX")) for part in parts)
    return None if hidden else parts
