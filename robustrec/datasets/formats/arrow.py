"""Parquet files and files of Arrow record batches, read batch by batch with pyarrow."""

from __future__ import annotations

import importlib
import importlib.util
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from robustrec.datasets.formats.arrow_values import class_names, python_value, texts_of, unlisted
from robustrec.datasets.formats.named import NamedTable, Records, Rows
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError, open_regular

PARQUET_SUFFIXES = (".parquet", ".pq")
ARROW_SUFFIXES = (".arrow", ".feather")
SUFFIXES = PARQUET_SUFFIXES + ARROW_SUFFIXES
BATCH_ROWS = 65_536
RECORD_ROWS = 1_024
PICTURE_ROWS = 64
PICTURE_NAME = "picture-in-file-{file}-row-{row}.jpg"
"""Entry of a picture that is stored in the table; its content says which format it has, not the suffix."""


class _Batch(NamedTuple):
    first: int  # number of its first row in the file, from 1
    rows: Any


class ArrowFile:
    """A Parquet file, or a stream or file of Arrow record batches.

    Args:
        path: the file.

    Raises:
        RobustrecError: pyarrow is not installed, or the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _check_pyarrow(path)
        self.is_parquet = path.suffix.lower() in PARQUET_SUFFIXES or _starts_like_parquet(path)
        with _guarded(path), self._opened() as source:
            self.schema: Any = source.schema_arrow if self.is_parquet else source.schema
            n_groups = source.num_row_groups if self.is_parquet else 0
            groups = [source.metadata.row_group(at).num_rows for at in range(n_groups)]
        self._ends = list(accumulate(groups))
        self._n_groups = n_groups

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [str(name) for name in self.schema.names]

    def where(self, row: int) -> str:
        """Return the place of a row, numbered from 1, with its row group."""
        if not self._ends:
            return f"{self.path}: row {row}"
        group = min(bisect_right(self._ends, row - 1) + 1, len(self._ends))
        shown = f" of {self._n_groups}" if self._n_groups else ""
        kind = "row group" if self.is_parquet else "record batch"
        return f"{self.path}: row {row} ({kind} {group}{shown})"

    def batches(self, columns: Sequence[str], size: int) -> Iterator[_Batch]:
        """Yield checked record batches of at most `size` rows with these columns, in order.

        Raises:
            RobustrecError: a part of the file cannot be read; the message has the row after which it begins.
        """
        row = 1
        with self._opened() as source:
            batches = self._raw(source, columns, size)
            while True:
                with _guarded(self.path, partial(self.where, row)):
                    batch = next(batches, None)
                    if batch is None:
                        return
                    batch.validate(full=True)
                yield _Batch(row, batch)
                row += batch.num_rows

    def _raw(self, source: Any, columns: Sequence[str], size: int) -> Iterator[Any]:
        if self.is_parquet:
            yield from source.iter_batches(batch_size=size, columns=list(columns), use_threads=False)
            return
        self._ends = []
        end = 0
        file_format = not hasattr(source, "read_next_batch")
        for batch in (source.get_batch(at) for at in range(source.num_record_batches)) if file_format else source:
            end += batch.num_rows
            self._ends.append(end)
            batch.validate(full=True)  # before it is cut: offsets of a damaged file may lead outside
            wanted = batch.select(list(columns))
            for first in range(0, batch.num_rows, size):
                yield wanted.slice(first, size)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with _guarded(self.path):
            file = open_regular(self.path)
        with file:
            with _guarded(self.path):
                if self.is_parquet:
                    source = importlib.import_module("pyarrow.parquet").ParquetFile(file, pre_buffer=False)
                else:
                    ipc = importlib.import_module("pyarrow.ipc")
                    start = file.read(6)
                    file.seek(0)
                    source = ipc.open_file(file) if start == b"ARROW1" else ipc.open_stream(file)
            yield source


def table(path: Path) -> NamedTable:
    """Open a file of interactions. A row with a list of items is one interaction for each of them.

    Raises:
        RobustrecError: as `ArrowFile`, or a column has a type that is neither text nor number nor time.
    """
    source = ArrowFile(path)
    names = source.names
    return NamedTable(names, lambda columns: _rows(source, [names[at] for at in columns]), source.where)


def _rows(source: ArrowFile, columns: Sequence[str]) -> Rows:
    classes = class_names(source.schema)
    for first, batch in source.batches(columns, BATCH_ROWS):
        with _guarded(source.path, partial(source.where, first)):
            parents, arrays = unlisted(batch, lambda at, first=first: source.where(first + at))  # type: ignore[misc]
            texts = [
                texts_of(array, name, classes.get(name), source.where(first))
                for name, array in zip(columns, arrays, strict=True)
            ]
        numbers = range(first, first + batch.num_rows) if parents is None else (parents + first).tolist()
        for number, *fields in zip(numbers, *texts, strict=True):
            yield number, fields


def records(
    path: Path, *, known: Callable[[str], bool], file_number: int = 0, stored_pictures: bool = False
) -> Records:
    """Yield place and record of every row of a catalog or a table of users.

    Args:
        path: the file.
        known: tells whether a column is read, by its name.
        file_number: number of the file within the catalog, for the entries of stored pictures.
        stored_pictures: whether a picture that is stored in the table stands for the entry that is named.

    Raises:
        RobustrecError: as `ArrowFile`.
    """
    source = ArrowFile(path)
    names = [name for name in source.names if known(name)]
    classes = class_names(source.schema)
    pictures = set(picture_columns(source.schema)) if stored_pictures else set()
    for first, batch in source.batches(names, RECORD_ROWS):
        columns = {}
        with _guarded(path, partial(source.where, first)):
            for name in names:
                array = batch.column(names.index(name))
                columns[name] = [python_value(value, classes.get(name)) for value in _without_bytes(array).to_pylist()]
                if name in pictures:
                    entries = [PICTURE_NAME.format(file=file_number, row=first + at) for at in range(batch.num_rows)]
                    stored = zip(_picture_bytes(array).is_valid().to_pylist(), entries, columns[name], strict=True)
                    columns[name] = [entry if there else value for there, entry, value in stored]
        for at in range(batch.num_rows):
            yield source.where(first + at), {name: values[at] for name, values in columns.items()}


def picture_columns(schema: Any) -> list[str]:
    """Return the columns that hold picture files: binary, or {bytes, path} as in the library datasets."""
    return [field.name for field in schema if _holds_bytes(field.type)]


def stored_pictures(path: Path, columns: Sequence[str], file_number: int) -> Iterator[tuple[str, bytes]]:
    """Yield entry name and content of the pictures that are stored in a catalog, the first column that has one."""
    source = ArrowFile(path)
    for first, batch in source.batches(columns, PICTURE_ROWS):
        with _guarded(path, partial(source.where, first)):
            contents = [_picture_bytes(array).to_pylist() for array in batch.columns]
        for at, row in enumerate(zip(*contents, strict=True)):
            content = next((each for each in row if each), None)
            if content:
                yield PICTURE_NAME.format(file=file_number, row=first + at), content


def _holds_bytes(kind: Any) -> bool:
    types = importlib.import_module("pyarrow").types
    if types.is_list(kind) or types.is_large_list(kind):
        return _holds_bytes(kind.value_type)
    if types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and _is_binary(kind.field(at).type)
    return _is_binary(kind)


def _is_binary(kind: Any) -> bool:
    types = importlib.import_module("pyarrow").types
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _picture_bytes(array: Any) -> Any:
    """Return the binary array of a column of pictures; the first one of a list."""
    pa, pc = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.compute")
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        lengths = pc.list_value_length(array)
        some = pc.if_else(pc.greater(pc.fill_null(lengths, 0), 0), array, pa.scalar([None], array.type))
        array = pc.list_element(some, 0)
    if pa.types.is_struct(array.type):
        valid = array.is_valid()
        array = pc.if_else(valid, pc.struct_field(array, "bytes"), None)
    # An empty content is none.
    return pc.if_else(pc.greater(pc.fill_null(pc.binary_length(array), 0), 0), array, None)


def _without_bytes(array: Any) -> Any:
    """Return a column with the content of its pictures left out, so that it is not held in memory."""
    pa = importlib.import_module("pyarrow")
    if pa.types.is_struct(array.type) and _holds_bytes(array.type):
        fields = [array.type.field(at) for at in range(array.type.num_fields)]
        kept = [at for at, field in enumerate(fields) if not _is_binary(field.type)]
        if not kept:
            return pa.nulls(len(array))
        parts = [array.field(at) for at in kept]
        return pa.StructArray.from_arrays(parts, fields=[fields[at] for at in kept], mask=array.is_null())
    return pa.nulls(len(array)) if _holds_bytes(array.type) else array


def _starts_like_parquet(path: Path) -> bool:
    with _guarded(path), open_regular(path) as file:
        return file.read(4) == b"PAR1"


def _check_pyarrow(path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise RobustrecError(
            "Parquet and Arrow files need pyarrow, but pyarrow is not installed",
            where=str(path),
            fix="pip install 'robustrec[parquet]'",
        )


_DAMAGED = (OSError, UnreadableError, ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError)


@contextmanager
def _guarded(path: Path, where: Callable[[], str] | None = None) -> Iterator[None]:
    """Turn what pyarrow raises about a damaged file into the error that users see."""
    try:
        yield
    except Exception as error:
        # The classes of pyarrow have no common base, and some derive from those of Python.
        damaged = isinstance(error, _DAMAGED) or type(error).__module__.startswith("pyarrow")
        if isinstance(error, RobustrecError) or not damaged:
            raise
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise RobustrecError(
            f"cannot read {path.name}: {said}",
            where=str(path) if where is None else f"{where()} or after",
            fix="export the file again; it may be truncated or damaged",
        ) from error
