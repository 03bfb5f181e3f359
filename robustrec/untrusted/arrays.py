"""Arrays in .npy and .npz files, read without pickles; only what numpy itself writes of numbers and texts."""

from __future__ import annotations

import ast
import io
import math
import os
import re
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.quiet import warnings_are
from robustrec.untrusted.files import UnreadableError, open_regular, size_words

MOST_HEADER_BYTES = 10_000
"""Bytes of an .npy header at most, as in numpy; it writes about a hundred."""
MOST_DIMENSIONS = 8
MOST_MEMBERS = 100_000
MAPPED_BYTES = 1 << 30
"""Size from which on features are mapped into memory instead of read; such a file must not change during a run."""
NPZ_BYTES = 1 << 31
"""Bytes of all arrays of an .npz together, unpacked."""

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
_NUMBERS = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f(?:2|4|8|16)|c(?:8|16)|[SU][0-9]{1,6})|\|?O[48]?")
_PYTHON_2_LONG = re.compile(r"(?<=[0-9])L(?=[,)])")
_ENCRYPTED = 0x1


class NpyHeader(NamedTuple):
    """What stands before the values of an .npy file; `dtype` of Python objects (kind "O") says it holds a pickle."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    length: int

    @property
    def n_values(self) -> int:
        """How many values there are."""
        return math.prod(self.shape)


def read_npy_header(file: BinaryIO) -> NpyHeader:
    """Read the header of an .npy file and leave the file behind it.

    Raises:
        UnreadableError: it is not an .npy file, the header is damaged or too long, or its dtype or shape is none that
            is read here.
    """
    start = _exactly(file, len(_MAGIC) + 2)
    if not start.startswith(_MAGIC):
        raise UnreadableError("not an .npy file: it does not begin with \\x93NUMPY")
    version = (start[-2], start[-1])
    if version not in _LENGTH_BYTES:
        raise UnreadableError(f"unsupported .npy version {version[0]}.{version[1]}; expected 1.0 to 3.0")
    length = int.from_bytes(_exactly(file, _LENGTH_BYTES[version]), "little")
    if length > MOST_HEADER_BYTES:
        raise UnreadableError(f"the header has {length} bytes, but at most {MOST_HEADER_BYTES} are allowed")
    header = _exactly(file, length)
    dtype, shape, fortran_order = _parsed(header, "utf-8" if version == (3, 0) else "latin-1")
    return NpyHeader(dtype, shape, fortran_order, len(start) + _LENGTH_BYTES[version] + length)


def open_npy(path: Path, *, own_pages: bool = False) -> NDArray[Any]:
    """Return the array in an .npy file as a read-only memory map; its values are not looked at.

    Args:
        path: the file.
        own_pages: allow changes to the array, which are made in memory and never reach the file.

    Raises:
        UnreadableError: not a regular .npy file, a damaged header, Python objects, or fewer bytes than its shape needs.
    """
    with open_regular(path) as file:
        header = read_npy_header(file)
        _check_size(header, os.fstat(file.fileno()).st_size - header.length)
        order: Any = "F" if header.fortran_order else "C"
        if header.n_values * header.dtype.itemsize == 0:
            return np.empty(header.shape, header.dtype, order)
        try:
            return np.memmap(file, header.dtype, "c" if own_pages else "r", header.length, header.shape, order)
        except (OSError, ValueError, OverflowError, MemoryError) as error:
            raise UnreadableError(f"it cannot be mapped into memory: {error}") from error


def read_npz(source: Path | bytes, *, most: int = NPZ_BYTES) -> dict[str, NDArray[Any]]:
    """Return the arrays in an .npz file by name.

    Args:
        source: the file, or its content.
        most: bytes of all arrays together, unpacked, at most.

    Raises:
        UnreadableError: not a regular .npz file, damaged, too large, or it holds anything else than arrays of numbers
            and texts, each name once.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else open_regular(source) as file:
        try:
            with warnings_are("error"):  # zipfile warns of names that occur twice
                return _members(file, most)
        except UnreadableError:
            raise
        except Exception as error:  # zipfile raises nearly anything on damaged archives
            text = str(error) or type(error).__name__
            raise UnreadableError(f"not an .npz file, or damaged: {text}") from error


def _members(file: BinaryIO, most: int) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise UnreadableError(f"{len(members)} arrays, more than {MOST_MEMBERS}")
        if sum(member.file_size for member in members) > most:
            raise UnreadableError(f"its arrays have more than {size_words(most)}")
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name == member.filename or not name.isprintable() or name in arrays:
                raise UnreadableError(f"the member {member.filename[:60]!r} is not an array, or occurs twice")
            if member.flag_bits & _ENCRYPTED or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UnreadableError(f"the member {member.filename[:60]!r} is encrypted or compressed in another way")
            with archive.open(member) as stream:
                arrays[name] = _array(stream, member.file_size)  # type: ignore[arg-type]
    return arrays


def _array(stream: BinaryIO, size: int) -> NDArray[Any]:
    header = read_npy_header(stream)
    _check_size(header, size - header.length)
    values = np.frombuffer(_exactly(stream, header.n_values * header.dtype.itemsize), header.dtype)
    if stream.read(1):  # reading to the end also compares the checksum
        raise UnreadableError("an array has more bytes than its shape requires")
    return values.reshape(header.shape, order="F" if header.fortran_order else "C").copy()


def _parsed(header: bytes, encoding: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    try:
        with warnings_are("ignore"):  # of odd escapes and literals
            content = ast.literal_eval(_PYTHON_2_LONG.sub("", header.decode(encoding)).strip())
    except Exception as error:  # the parser raises SyntaxError, MemoryError, RecursionError and more
        raise UnreadableError(f"the .npy header is damaged: {str(error)[:80] or type(error).__name__}") from error
    if not isinstance(content, dict) or {*content} != {"descr", "fortran_order", "shape"}:
        raise UnreadableError("the .npy header is damaged: expected the keys descr, fortran_order and shape")
    code, shape, fortran_order = content["descr"], content["shape"], content["fortran_order"]
    if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
        raise UnreadableError(f"expected an array of numbers or strings, but got dtype {str(code)[:60]!r}")
    whole = isinstance(shape, tuple) and all(type(size) is int and 0 <= size < 2**62 for size in shape)
    if not whole or len(shape) > MOST_DIMENSIONS or type(fortran_order) is not bool:
        raise UnreadableError(f"the .npy header is damaged: shape {str(shape)[:60]}")
    try:
        return np.dtype(code), shape, fortran_order
    except (TypeError, ValueError) as error:
        raise UnreadableError(f"an array of unknown dtype {code!r}") from error


def _check_size(header: NpyHeader, there: int) -> None:
    if header.dtype.kind == "O":
        raise UnreadableError("an array of Python objects, which would have to be unpickled")
    needed = header.n_values * header.dtype.itemsize
    if needed > there:
        raise UnreadableError(f"truncated: shape {header.shape} requires {needed} bytes, but got {there}")


def _exactly(file: BinaryIO, size: int) -> bytes:
    try:
        content = file.read(size)
    except OSError as error:
        raise UnreadableError(f"it cannot be read: {error}") from error
    if len(content) < size:
        raise UnreadableError("not an .npy file, or truncated")
    return content
