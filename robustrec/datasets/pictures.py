"""Pictures in a folder or a zip, read lazily and with limits because the input is untrusted."""

from __future__ import annotations

import io
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import numpy as np

# Each registers its format, which Image.open(formats=...) wants done before; all others stay shut.
from PIL import (  # noqa: F401
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from robustrec.errors import RobustrecError
from robustrec.files import path_inside
from robustrec.untrusted import open_regular, regular_file

MAX_PICTURE_BYTES = 20 * 2**20
MAX_PICTURE_PIXELS = 40_000_000
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF")
HEIF = "HEIF"
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".jpe", ".jfif", ".avif", ".heic", ".heif")
UNREAD_SUFFIXES = (".tif", ".tiff", ".svg", ".jp2", ".jxl", ".ico", ".psd")
SUFFIX_OF_FORMAT = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "GIF": ".gif",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "AVIF": ".avif",
    HEIF: ".heic",
}
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")

_MEND = "replace the picture, or import with --skip-unreadable"


class PictureSource:
    """A folder or zip of pictures, and the item of each entry; thread-safe.

    Args:
        path: the folder or the zip.
        entries: [I] entry name of each item, None without a picture.
        further: item -> entry names of its further pictures.
    """

    def __init__(
        self, path: Path, entries: Sequence[str | None], further: Mapping[int, tuple[str, ...]] | None = None
    ) -> None:
        self.path = path
        self.entries = tuple(entries)
        self.further = dict(further or {})
        self._lock = threading.Lock()
        self._zip: zipfile.ZipFile | None = None
        self._owner = 0

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "entries": self.entries, "further": self.further}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def read(self, item: int) -> bytes | None:
        """Return the bytes of the picture file of an item, or None.

        Raises:
            RobustrecError: the file is missing, too large, damaged, or outside the folder.
        """
        entry = self.entries[item]
        return None if entry is None else self._read(item, entry)

    def n_further(self, item: int) -> int:
        """Return the number of further pictures of an item."""
        return len(self.further.get(item, ()))

    def read_further(self, item: int, number: int) -> bytes:
        """Return the bytes of a further picture of an item, counted from 0.

        Raises:
            RobustrecError: as `read`.
        """
        return self._read(item, self.further[item][number])

    def open_further(self, item: int, number: int) -> Image.Image:
        """Return a further picture of an item as upright RGB.

        Raises:
            RobustrecError: as `open`.
        """
        where = f"item {item}: {self.path}: {self.further[item][number]}"
        return decode(self.read_further(item, number), where)

    def _read(self, item: int, entry: str) -> bytes:
        where = f"item {item}: {self.path}: {entry}"
        if self.path.is_dir():
            return _read_file(self.path, entry, where)
        with self._lock:  # one file handle with one position; decoding happens outside
            return _read_entry(self._archive(), entry, where)

    def open(self, item: int) -> Image.Image | None:
        """Return the picture of an item as upright RGB, or None.

        Raises:
            RobustrecError: the file is missing, too large in bytes or pixels, not a picture, or truncated.
        """
        content = self.read(item)
        return None if content is None else decode(content, f"item {item}: {self.path}: {self.entries[item]}")

    def _archive(self) -> zipfile.ZipFile:
        # A forked process shares the file position with its parent, so it opens its own.
        if self._zip is None or self._owner != os.getpid():
            self._zip = open_zip(self.path)
            self._owner = os.getpid()
        return self._zip


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip for reading.

    Raises:
        RobustrecError: it is missing or not a zip file.
    """
    try:
        regular_file(path)
        return zipfile.ZipFile(path)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, UnicodeError) as error:
        raise RobustrecError(
            f"cannot open the pictures: {error}",
            where=str(path),
            fix="give a folder of pictures or a complete zip file",
        ) from error


def picture_names(path: Path) -> list[str]:
    """Return the names of all pictures in a folder or zip, by suffix, sorted.

    Raises:
        RobustrecError: the path is missing or not a zip file.
    """
    return [name for name in entry_names(path) if PurePosixPath(name).suffix.lower() in SUFFIXES]


def suffix_of(content: bytes, name: str) -> str:
    """Return the suffix of a picture file: its own, else that of its format."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in SUFFIXES:
        return suffix
    with opened(content) as image:
        return SUFFIX_OF_FORMAT[image.format or ""]


def entry_names(path: Path) -> list[str]:
    """Return the names of all files in a folder or zip, sorted, without hidden ones and what macOS adds to a zip.

    Raises:
        RobustrecError: the path is missing or not a zip file.
    """
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
    else:
        with open_zip(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    return sorted(name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.split("/")))


def decode(content: bytes, where: str, *, quick: bool = False) -> Image.Image:
    """Decode a picture file to upright RGB; transparency becomes white, 16 bits become 8, of several frames the first.

    Args:
        content: the file.
        where: item and file, for messages.
        quick: only check that it can be decoded; the result may be smaller than the picture.

    Raises:
        RobustrecError: the bytes are not a picture, have too many pixels (by the header), or are truncated.
    """
    if _is_heif(content) and find_spec("pillow_heif") is None:
        raise RobustrecError(
            "pictures in HEIC need pillow-heif, which is not installed",
            where=where,
            fix="pip install 'robustrec[heif]', or import with --skip-unreadable",
        )
    try:
        image: Image.Image = opened(content)
        width, height = image.size
    except Exception as error:  # decoders raise nearly anything on damaged input
        raise RobustrecError(f"not a picture that can be read: {_reason(error)}", where=where, fix=_MEND) from error
    if width * height > MAX_PICTURE_PIXELS:
        raise _too_many_pixels(f"{width} x {height} pixels", where)
    try:
        if quick:
            image.draft("RGB", (32, 32))
        image.load()
        with suppress(Exception):  # a damaged EXIF block does not make the picture unreadable
            image = ImageOps.exif_transpose(image)
        return to_rgb(image)
    except Exception as error:
        raise RobustrecError(f"the picture is damaged: {_reason(error)}", where=where, fix=_MEND) from error


def opened(content: bytes) -> Image.Image:
    """Return a picture of one of `FORMATS`, of which only the header was read.

    As `Image.open` does, but without its warning of many pixels, which only filters of the whole process suppress.

    Raises:
        UnidentifiedImageError: it is none, or its header is damaged.
        Exception: whatever else a decoder raises on damaged input.
    """
    with suppress(ImportError):  # Pillow has it since 11.3; its library is loaded with the first picture
        from PIL import AvifImagePlugin  # noqa: F401

    for name in FORMATS:
        if name not in Image.OPEN:  # AVIF came with Pillow 11.3
            continue
        factory, accepts = Image.OPEN[name]
        accepted = accepts is None or accepts(content[:16])
        if accepted and not isinstance(accepted, str):  # a text says why this build of Pillow cannot read it
            with suppress(SyntaxError, IndexError, TypeError, struct.error):
                return factory(io.BytesIO(content), "")
    if _is_heif(content) and find_spec("pillow_heif") is not None:
        from pillow_heif.as_plugin import HeifImageFile  # does not register the format for the whole process

        return HeifImageFile(io.BytesIO(content), "")
    raise UnidentifiedImageError


def _is_heif(content: bytes) -> bool:
    """Return whether a file is HEIC or HEIF by its first bytes; AVIF is of the same family and is not."""
    return content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS and b"avif" not in content[8:64]


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a picture of any mode as 8-bit RGB: transparency on white, 16-bit grey divided by 257."""
    if image.mode in WIDE_MODES:
        grey = np.asarray(image).astype(np.float64) / 257.0
        return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def _read_file(folder: Path, entry: str, where: str) -> bytes:
    path = path_inside(folder, entry)
    try:
        with open_regular(path) as file:
            content = file.read(MAX_PICTURE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise RobustrecError(f"cannot read the picture: {error}", where=where, fix=_MEND) from error
    if len(content) > MAX_PICTURE_BYTES:
        raise _too_many_bytes(path.stat().st_size, where)
    return content


def _read_entry(archive: zipfile.ZipFile, entry: str, where: str) -> bytes:
    try:
        info = archive.getinfo(entry)
        if info.file_size > MAX_PICTURE_BYTES:
            raise _too_many_bytes(info.file_size, where)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            raise RobustrecError(
                "the zip entry is encrypted or has an unsupported compression",
                where=where,
                fix="create the zip file again: zip -r pictures.zip pictures",
            )
        # Never more than declared is inflated, whatever the entry really holds.
        with archive.open(info) as file:
            content = file.read(info.file_size + 1)
    except KeyError as error:
        raise RobustrecError("zip entry not found", where=where, fix=_MEND) from error
    except (
        OSError,
        ValueError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise RobustrecError(f"the zip entry is damaged: {error}", where=where, fix=_MEND) from error
    if len(content) != info.file_size:
        raise RobustrecError(
            f"the zip entry has {len(content)} bytes, but declares {info.file_size}", where=where, fix=_MEND
        )
    return content


def _too_many_bytes(size: int, where: str) -> RobustrecError:
    return RobustrecError(
        f"the picture file has {size / 2**20:.1f} MiB, but at most {MAX_PICTURE_BYTES // 2**20} MiB are allowed",
        where=where,
        fix=_MEND,
    )


def _too_many_pixels(what: str, where: str) -> RobustrecError:
    return RobustrecError(
        f"the picture is too large: {what}, but at most {MAX_PICTURE_PIXELS // 10**6} million pixels are allowed",
        where=where,
        fix=_MEND,
    )


def _reason(error: Exception) -> str:
    # Pillow's message on an unknown format prints the address of the buffer, never the same twice.
    if isinstance(error, UnidentifiedImageError):
        return f"expected one of {', '.join((*FORMATS, HEIF))}"
    return str(error) or type(error).__name__
