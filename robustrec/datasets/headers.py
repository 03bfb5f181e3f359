"""Column detection of ratings files: the header, and the position of each column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from robustrec.datasets.column_option import check_columns, column_names, mapped_places
from robustrec.datasets.formats import arrow, json_lines
from robustrec.datasets.formats.compressed import data_suffix
from robustrec.datasets.formats.lists import are_lists, is_cut_off, read_lists
from robustrec.datasets.formats.movielens import has_separator
from robustrec.datasets.formats.named import NamedTable, line_of
from robustrec.datasets.formats.recbole import check_number, is_typed, types_of
from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION
from robustrec.datasets.naming import ALIASES, is_missing, number_of, places_of, plain
from robustrec.datasets.tables import read_rows
from robustrec.errors import RobustrecError

KINDS = ("user", "item", "rating", "timestamp")
SPLITS = {
    **dict.fromkeys(("0", "0.0", "train", "training"), TRAIN),
    **dict.fromkeys(("1", "1.0", "valid", "validation", "val", "dev"), VALIDATION),
    **dict.fromkeys(("2", "2.0", "test", "testing"), TEST),
}
HEADERLESS = KINDS  # as in Amazon's "ratings only" files of 2014
PROBE_ROWS = 200
ARROW_FORMATS = ("parquet", "arrow", "huggingface")
# "usr_id", "product code", "itemNo": what columns of ids are called.
_ID_NAME = re.compile(r"([a-z]{2,}[ _.-]?)(id|ids|code|key|no|nr|number)", re.IGNORECASE)


class Located(NamedTuple):
    """The rows of a ratings file, and the positions of the columns.

    Attributes:
        places: position of each known column.
        width: number of columns.
        rows: line number and fields of every row, without the header.
        where: returns the place of a row by its line number, for messages.
        header: the header; None without a header, empty if the format keeps it apart from the rows.
        skipped_header: whether the first row was treated as a header although it has no known column name.
        unread: names of ignored columns.
        cut_off: whether the last id of the file may be cut off.
    """

    places: dict[str, int]
    width: int
    rows: Iterator[tuple[int, list[str]]]
    where: Callable[[int], str]
    header: list[str] | None
    skipped_header: bool
    unread: tuple[str, ...] = ()
    cut_off: bool = False


class RepeatedHeader:
    """Tell whether a row is the header once more, as in files that were appended to each other.

    Args:
        header: the header; None where the file has none.
    """

    def __init__(self, header: list[str] | None) -> None:
        self.plain = [plain(name) for name in header or ()]
        self.initials = {name[:1] for name in self.plain if name}

    def __call__(self, row: list[str], where: Callable[[int], str], line: int) -> bool:
        """Tell whether a row is the header.

        Raises:
            RobustrecError: it has the names of the header in another order, so that the rows after it have too.
        """
        initial = row[0].lstrip(" \t'\"")[:1].lower()  # quick, since it is asked of every row
        if initial not in self.initials or plain(row[0]) not in self.plain:
            return False
        names = [plain(name) for name in row]
        if names != self.plain and sorted(names) == sorted(self.plain):
            raise RobustrecError(
                f"a second header with the columns in another order: {_shown(row)}",
                where=where(line),
                fix="write the columns of all rows in one order",
            )
        return names == self.plain


def locate_columns(path: Path, columns: Sequence[str] | None, *, need_rating: bool, form: str | None = None) -> Located:
    """Find the columns of a file of interactions, of any format.

    Args:
        path: the file.
        columns: given by the user: column names in the order of the file, or `kind=name` for named columns; None: from
            the header, or by position without a header.
        need_rating: whether a rating column is required.
        form: name of the format, see `formats.kinds.LABELS`; None: recognised.

    Raises:
        RobustrecError: the file is empty, or a required column is missing or not named.
    """
    suffix = data_suffix(path)
    if form in ARROW_FORMATS or (form is None and suffix in arrow.SUFFIXES):
        return _locate_named(path, arrow.table(path), columns, need_rating=need_rating)
    if form == "jsonl" or (form is None and suffix in json_lines.SUFFIXES):
        return _locate_named(path, json_lines.table(path), columns, need_rating=need_rating)
    lists = form == "lightgcn" or (form is None and suffix == ".txt" and columns is None and not need_rating)
    if lists and need_rating:
        raise RobustrecError(
            "LightGCN lists have no ratings", where=str(path), fix="omit --min-rating and --keep, or use another file"
        )
    if lists and (form is not None or are_lists(path)):
        rows = read_lists(path)
        return Located(
            {"user": 0, "item": 1}, 2, rows, line_of(path), None, skipped_header=False, cut_off=is_cut_off(path)
        )
    rows = read_rows(path, "ratings", delimiter="::" if form == "movielens" and has_separator(path) else None)
    probe = [row for _, row in zip(range(PROBE_ROWS), rows, strict=False)]
    if not probe:
        raise RobustrecError(
            "the file is empty", where=str(path), fix="give a ratings file: user,item,rating,timestamp"
        )
    line, first = probe[0]
    place = f"{path}: line {line}"
    others = [row for _, row in probe[1:]]
    in_header = places_of(first, KINDS)
    known = "user" in in_header or "item" in in_header
    named = column_names(columns)
    if named is not None:
        places, is_header, known = mapped_places(first, named, KINDS, place), True, True
    elif columns is not None:
        places = places_of(columns, KINDS)
        is_header = known or _is_header(first, others, places)
    elif known:
        places, is_header = in_header, True
    else:
        is_header = _is_header(first, others, dict(zip(HEADERLESS, range(len(first)), strict=False)))
        places = {} if is_header else _headerless(path, [first, *others])
    _check_places(places, first, columns, in_header if known else {}, place, need_rating=need_rating)
    check_columns(first if is_header else [], columns if named is None else None, places, KINDS, place)
    kept = probe[1:] if is_header else probe
    split = _split_place(first, named, place) if is_header else None
    if split is not None and split not in places.values() and _are_splits(kept, split, len(first)):
        places = {**places, "split": split}
    unread = [name for at, name in enumerate(first) if at not in places.values() and name.strip()] if is_header else []
    header = first if is_header else None
    skipped = is_header and not known
    found: Iterator[tuple[int, list[str]]] = chain(kept, rows)
    if header is not None and is_typed(header):
        found = _typed(found, header, places, path)
    return Located(places, len(first), found, line_of(path), header, skipped, () if skipped else tuple(unread))


def _locate_named(path: Path, table: NamedTable, columns: Sequence[str] | None, *, need_rating: bool) -> Located:
    """Find the columns of a table whose format names them; only those that are needed are read."""
    names, place = table.header, str(path)
    if not names:
        raise RobustrecError(
            "the file has no rows", where=place, fix="export the file again with the columns user, item"
        )
    named = column_names(columns)
    places = mapped_places(names, named, KINDS, place) if named is not None else places_of(columns or names, KINDS)
    in_header = places_of(names, KINDS)
    _check_places(places, names, columns, in_header, place, need_rating=need_rating)
    check_columns(names, columns if named is None else None, places, KINDS, place)
    split = _split_place(names, named, place)
    if split is not None and split not in places.values():
        values = (row for _, row in table.rows([split]))
        if _are_splits([(0, row) for _, row in zip(range(PROBE_ROWS), values, strict=False)], 0, 1):
            places = {**places, "split": split}
    read = sorted({at for kind, at in places.items() if need_rating or kind != "rating"})
    unread = tuple(name for at, name in enumerate(names) if at not in places.values() and name.strip())
    compact = {kind: read.index(at) for kind, at in places.items() if at in read}
    return Located(compact, len(read), table.rows(read), table.where, [], skipped_header=False, unread=unread)


def _split_place(header: Sequence[str], named: Mapping[str, str] | None, place: str) -> int | None:
    """Return the position of the column that may say which split a row belongs to."""
    if named is not None and "label" in named:
        return mapped_places(header, {"label": named["label"]}, ("label",), place)["label"]
    return next(iter(places_of(header, ("label", "split")).values()), None)


def _typed(
    rows: Iterator[tuple[int, list[str]]], header: list[str], places: Mapping[str, int], path: Path
) -> Iterator[tuple[int, list[str]]]:
    """Check the numbers of the columns that RecBole's types declare as such.

    Raises:
        RobustrecError: a field is not a number, or RecBole does not know a type.
    """
    types = types_of(header, f"{path}: line 1")
    checked = [at for kind, at in places.items() if kind != "split" and types[at] == "float"]
    for line, row in rows:
        if len(row) == len(header) and row != header:
            for at in checked:
                check_number(row[at], header[at], f"{path}: line {line}")
        yield line, row


def _check_places(
    places: Mapping[str, int],
    first: Sequence[str],
    columns: Sequence[str] | None,
    known: dict[str, int],
    place: str,
    *,
    need_rating: bool,
) -> None:
    lacking = [kind for kind in ("user", "item") if kind not in places]
    if need_rating and "rating" not in places:
        lacking.append("rating")
    if lacking or max(places.values()) >= len(first):
        raise RobustrecError(
            f"column not found: {', '.join(lacking)} (got {_shown(columns or first)})"
            if lacking
            else f"the file has fewer columns than --columns names: {_shown(first)}",
            where=place if columns is None or not lacking else "option --columns",
            fix=_columns_fix(len(first), known, lacking),
        )


def _are_splits(rows: list[tuple[int, list[str]]], at: int, width: int) -> bool:
    values = {
        row[at].strip().lower() for _, row in rows if len(row) == width and plain(row[at]) not in ALIASES["split"]
    }
    return bool(values) and values <= SPLITS.keys()


def _columns_fix(width: int, known: dict[str, int], lacking: list[str]) -> str:
    """Return the fix that names the columns: known columns at their positions, missing ones in between."""
    names = {place: kind for kind, place in known.items()}
    wanted = iter([kind for kind in KINDS if kind not in known])
    for place in range(width):
        if place not in names:
            names[place] = next(wanted, "-")
    if any(kind not in names.values() for kind in ("user", "item", *lacking)):
        return f"add a column of {' and '.join(lacking or ['user', 'item'])} to the file" + (
            ", or omit --min-rating" if lacking == ["rating"] else ""
        )
    return f"name the columns in order: --columns {','.join(names[place] for place in range(width))}"


def _is_header(first: list[str], others: list[list[str]], places: dict[str, int]) -> bool:
    """Return whether a first row without a known column name is a header.

    It is one if its rating or time is not a number and all others are, if it has the name of a column, or if
    both its ids are unlike all others: they occur nowhere else, and either have no digit where all others have one or
    are called as columns of ids are.
    """
    others = [row for row in others if len(row) == len(first) and row != first]
    if any(plain(first[at]) in ALIASES[kind] for kind, at in places.items() if at < len(first)):
        return True
    numeric = [places[kind] for kind in ("rating", "timestamp") if places.get(kind, len(first)) < len(first)]
    if any(others and _is_odd_number(first[at], [row[at] for row in others]) for at in numeric):
        return True
    if any(_is_number(first[at]) for at in numeric):
        return False
    ids = [places[kind] for kind in ("user", "item") if places.get(kind, len(first)) < len(first)]
    return len(ids) == 2 and bool(others) and all(_is_odd_id(first[at], [row[at] for row in others]) for at in ids)


def _is_odd_number(name: str, values: list[str]) -> bool:
    values = [value for value in values if not is_missing(value)]
    if is_missing(name) or _is_number(name) or not values:
        return False
    return all(map(_is_number, values)) or (not _has_digit(name) and all(map(_has_digit, values)))


def _is_odd_id(name: str, values: list[str]) -> bool:
    name = name.strip()
    values = [value.strip() for value in values if not is_missing(value)]
    if is_missing(name) or not values or name in values:
        return False
    return (not _has_digit(name) and all(map(_has_digit, values))) or _ID_NAME.fullmatch(name) is not None


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _is_number(text: str) -> bool:
    return number_of(text) is not None


def _headerless(path: Path, rows: list[list[str]]) -> dict[str, int]:
    """Return the columns of a file without a header: user, item, rating, timestamp, if the values allow it."""
    looks_swapped = all(
        len(row) > 1 and _is_asin(row[0].strip()) and not _is_asin(row[1].strip()) and row[1].startswith("A")
        for row in rows
    )
    third = rows[0][2].strip() if len(rows[0]) > 2 else "0"
    numeric = _is_number(third) or is_missing(third)
    if looks_swapped or len(rows[0]) < 3 or not numeric:
        kinds = ("item", "user", "rating", "timestamp") if looks_swapped else KINDS if numeric else KINDS[:2]
        width = len(rows[0])
        named = ",".join(kinds[:width])
        raise RobustrecError(
            f"the file has no header, and its columns do not look like user,item,rating,timestamp: {_shown(rows[0])}",
            where=f"{path}: line 1",
            fix=f"name the columns in order, for example: --columns {named}"
            if width > 1
            else "export a file with the columns user,item,rating,timestamp",
        )
    return {kind: place for place, kind in enumerate(HEADERLESS) if place < len(rows[0])}


def _is_asin(text: str) -> bool:
    return len(text) == 10 and (text.startswith("B") or text[:9].isdigit())


def _shown(names: Sequence[str]) -> list[str]:
    return [name[:60] for name in names[:8]]
