"""Records of a catalog, whatever the format of its files."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from itertools import chain
from pathlib import Path

from robustrec.datasets.formats import amazon, arrow, json_lines, movielens, recbole
from robustrec.datasets.formats.compressed import data_suffix, plain_path
from robustrec.datasets.formats.named import Records
from robustrec.datasets.naming import ALIASES, CATALOG_ID, plain
from robustrec.datasets.tables import SUFFIXES as TABLE_SUFFIXES
from robustrec.datasets.tables import read_rows
from robustrec.errors import RobustrecError

READ = {
    name
    for kind in ("item", "title", "brand", "categories", "category", "genres", "tags", "description", "image")
    for name in ALIASES[kind]
} | {CATALOG_ID}
"""The columns of a catalog that are read, by normalized name."""
OWN = "column."
"""Start of the kind of a column that the import keeps under a name of the user: column.margin."""

NAMED_KINDS = ("item", "title", "brand", "categories", "category", "genres", "tags", "description", "image", "price")


def catalog_records(
    files: Sequence[Path],
    columns: Mapping[str, str] | None = None,
    *,
    stored_pictures: bool = False,
    wanted: Container[str] | None = None,
) -> Records:
    """Yield place and record of every item of a catalog.

    Args:
        files: the files of the catalog, of one format.
        columns: by kind ("item", "title", ...), the name of its column in the file, where the user gave one.
        stored_pictures: whether pictures that are stored in the table stand for those that it names.
        wanted: ids of the items; of others, a large catalog may give the id alone. None: all items.

    Raises:
        RobustrecError: a file cannot be read, or has none of the columns that the user gave.
    """
    named = {plain(name): kind for kind, name in (columns or {}).items() if kind in NAMED_KINDS or kind.startswith(OWN)}
    found = chain.from_iterable(
        _records(path, lambda name: plain(name) in named or plain(name) in READ, number, stored_pictures, wanted)
        for number, path in enumerate(files)
    )
    return _renamed(found, named, files[0]) if named else found


def _renamed(records: Records, named: Mapping[str, str], path: Path) -> Records:
    """Yield records in which the columns that the user named come first, under the name of their kind.

    Raises:
        RobustrecError: no record has such a column. Items alone may have another name than in the interactions.
    """
    seen: set[str] = set()
    names: dict[str, None] = {}
    for where, record in records:
        kinds = {kind: value for name, value in record.items() if (kind := named.get(plain(name))) is not None}
        seen.update(kinds)
        names.update(dict.fromkeys(record))
        # `naming.named` keeps the first of equal names. The user's column stands for one with the name of the kind.
        yield where, {**kinds, **{name: value for name, value in record.items() if name not in kinds}}
    lacking = [name for name, kind in named.items() if kind not in seen and kind != "item"]
    if lacking and names:
        raise RobustrecError(
            f"column {lacking[0][:60]!r} of the catalog is not found: it has {[name[:60] for name in names][:8]}",
            where=str(path),
            fix=f"name the column in --columns as the file does: {named[lacking[0]].removeprefix(OWN)}=COLUMN"
            + (f"; or correct the kind: {', '.join(NAMED_KINDS)}" if named[lacking[0]].startswith(OWN) else ""),
        )


def _records(
    path: Path, known: Callable[[str], bool], number: int, stored_pictures: bool, wanted: Container[str] | None
) -> Records:
    suffix = data_suffix(path)
    if suffix in arrow.SUFFIXES:
        return arrow.records(path, known=known, file_number=number, stored_pictures=stored_pictures)
    if plain_path(path).name == "u.item" or (suffix == ".dat" and movielens.has_separator(path)):
        return movielens.catalog(path)
    if suffix == ".item":
        return recbole.catalog(path)
    if suffix in json_lines.SUFFIXES and amazon.is_metadata(path):
        return amazon.catalog(path, wanted)
    return table_records(path, "catalog") if suffix in TABLE_SUFFIXES else json_lines.records(path)


def table_records(path: Path, what: str) -> Records:
    """Yield place and record of every row of a delimited text file with a header; `what` is its content, for messages.

    Raises:
        RobustrecError: as `read_rows`, or a row has another number of fields than the header.
    """
    rows = read_rows(path, what)
    _, header = next(rows, (1, []))
    for number, row in rows:
        if len(row) != len(header):
            raise RobustrecError(
                f"{len(row)} field{'s' if len(row) != 1 else ''}, but the header has {len(header)}",
                where=f"{path}: line {number}",
                fix="export the file again, it may be truncated; or delete this line",
            )
        yield f"{path}: line {number}", dict(zip(header, row, strict=True))
