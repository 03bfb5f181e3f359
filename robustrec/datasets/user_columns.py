"""Columns of a table of users: read at import, kept with the data set, and the groups of users that they make."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from robustrec.columns import COLUMN_NAME
from robustrec.datasets.formats import arrow, json_lines, movielens, recbole
from robustrec.datasets.formats.catalogs import table_records
from robustrec.datasets.formats.compressed import data_suffix, plain_path
from robustrec.datasets.formats.named import Records
from robustrec.datasets.interactions import FilterCount
from robustrec.datasets.item_fields import id_of, own_value, stored_own
from robustrec.datasets.item_numbers import MAPPINGS, read_numbers
from robustrec.datasets.naming import ALIASES, loose_id, plain
from robustrec.errors import RobustrecError
from robustrec.files import write_atomically

USER_COLUMNS = "users.jsonl"
"""File of a data set with the columns of its users."""

MAX_VALUES = 1_000
"""Different texts of a column at most."""

FEWEST_PER_VALUE = 2
"""Users with a value that a column of more than MANY_VALUES different texts needs for each of them, on average."""

MANY_VALUES = 20
USER = "user"
_ID = "id"  # a usual name of the user column where no other is there

Value = float | str | None
Columns = dict[str, list[Value]]
"""Name of a column -> value of each user [U], None where it is unknown."""


class UserTable(NamedTuple):
    """Columns of the users, with counts of what was left out."""

    columns: Columns
    filters: list[FilterCount]


def chosen_columns(option: Sequence[str]) -> dict[str, str]:
    """Return the column of the file by the name that it is kept under; `user` is that of the user ids.

    Args:
        option: the parts of --user-columns: `country`, or `country=nation` for a column of another name.

    Raises:
        RobustrecError: a name is not one of lower case letters, digits and underscores, or a name or column is there
            twice.
    """
    found: dict[str, str] = {}
    for part in option:
        said, equals, column = (text.strip() for text in part.partition("="))
        column = column if equals else said
        problem = ""
        if not re.fullmatch(COLUMN_NAME, said) or not column:
            problem = "is not NAME or NAME=COLUMN with a name of lower case letters, digits and underscores"
        elif said in found or plain(column) in map(plain, found.values()):
            problem = "is there twice" if said in found else f"names the column {column[:60]!r} again"
        if problem:
            name = re.sub(r"[^a-z0-9_]+", "_", said.lower()).strip("_")[:40]
            other = not equals and name != said and re.fullmatch(COLUMN_NAME, name)
            example = f"{name}={said[:60]}" if other else "country,plan=COLUMN"
            raise RobustrecError(
                f"{part[:60]!r} {problem}",
                where="option --user-columns",
                fix=f"name the columns to keep, each once, for example: --user-columns {example}",
            )
        found[said] = column
    return found


def import_user_columns(
    files: Sequence[Path],
    chosen: Mapping[str, str],
    n_users: int,
    originals: Sequence[str] | None,
    folder: Path,
    user_column: str | None = None,
) -> UserTable:
    """Read the chosen columns of a table of users; other columns are not read.

    Args:
        files: the files of the table: CSV, TSV, JSON Lines, Parquet, Arrow, RecBole's .user or MovieLens' users.
        chosen: column by the name that it is kept under, see `chosen_columns`.
        n_users: number of users U.
        originals: original id of each user; None where users are numbers, or a mapping in the folder has the ids.
        folder: folder with the mapping of user ids, if any.
        user_column: name of the column of user ids in the interactions, which this table may have too.

    Raises:
        RobustrecError: the file cannot be read, it has no such column, a user is there twice, no user is one of the
            interactions, a value is neither a number nor a text, or a column has no value or too many different texts.
    """
    ids: Mapping[str, int] | None = None
    if originals is not None:
        ids = {name: row for row, name in enumerate(originals)}
    elif (folder / MAPPINGS[0]).is_file():
        ids = read_numbers(folder / MAPPINGS[0], "userID")
    names = {name: column for name, column in chosen.items() if name != USER}
    where = str(files[0] if len(files) == 1 else files[0].parent)
    if not names:
        raise RobustrecError(
            f"no column of the user table is named; it has {_header(files)}",
            where="option --user-columns",
            fix="name the columns to keep, for example: --user-columns country,plan=COLUMN",
        )
    read = _Reading(chosen.get(USER), user_column, names, n_users, ids, where)
    for place, record in chain.from_iterable(map(_records, files)):
        read.add(place, record)
    table = read.table()
    for name, column in names.items():
        _check_values(name, column, table.columns[name], where)
    return table


class _Reading:
    """The users of a table as far as it has been read."""

    def __init__(
        self,
        own_id: str | None,
        user_column: str | None,
        names: Mapping[str, str],
        n_users: int,
        ids: Mapping[str, int] | None,
        where: str,
    ) -> None:
        self.own_id, self.user_column, self.names, self.where = own_id, user_column, names, where
        self.n_users, self.ids = n_users, ids
        self.columns: Columns = {name: [None] * n_users for name in names}
        self.users: set[int] = set()
        self.header: dict[str, None] = {}
        self.loose_ids: dict[str, int | None] = {}
        for name, row in (ids or {}).items():
            self.loose_ids[loose_id(name)] = None if loose_id(name) in self.loose_ids else row
        self.candidates: dict[int, list[dict[str, Value]]] = {}
        self.unknown, self.example = 0, ""

    def add(self, place: str, record: Mapping[str, object]) -> None:
        """Read one line."""
        self.header.update(dict.fromkeys(record))
        by_name: dict[str, str] = {}
        for name in record:
            by_name.setdefault(plain(name), name)
        key = self._id_key(by_name, place)
        user = id_of(record[key])
        if not user:
            raise RobustrecError(
                f"the user {repr(record[key])[:60]} is not an id",
                where=f"{place}, column {key[:60]}",
                fix="write a user id in each line, or delete the line",
            )
        values = {
            name: own_value(record[by_name[plain(column)]], f"{place}, column {column[:60]}")
            for name, column in self.names.items()
            if plain(column) in by_name
        }
        row = self._row(user)
        if row is None or row >= self.n_users:
            self._differently_written(user, values)
        elif row in self.users:
            raise RobustrecError(f"duplicate user {user[:60]!r}", where=place, fix="keep one line per user")
        else:
            self._keep(row, values)

    def _id_key(self, by_name: Mapping[str, str], place: str) -> str:
        """Return the name of the column of user ids in a record."""
        named = [self.own_id] if self.own_id else [*([self.user_column] if self.user_column else []), *ALIASES[USER]]
        wanted = [*named, *([] if self.own_id else [_ID])]
        key = next((by_name[plain(name)] for name in wanted if plain(name) in by_name), None)
        if key is None:
            missing = f"column {self.own_id[:60]!r}" if self.own_id else "a column of user ids"
            raise RobustrecError(
                f"{missing} is not found: the columns are {[name[:60] for name in by_name.values()][:8]}",
                where=place,
                fix="name the column of user ids as the file does: --user-columns user=COLUMN," + self._option(),
            )
        return key

    def _option(self) -> str:
        """Return the columns as --user-columns has them."""
        return ",".join(f"{name}={column}" if name != column else name for name, column in self.names.items())

    def _row(self, user: str) -> int | None:
        if self.ids is not None:
            return self.ids.get(user)
        number = re.fullmatch(r"([0-9]{1,18})(\.0+)?", user)
        return int(number[1]) if number else None

    def _differently_written(self, user: str, values: dict[str, Value]) -> None:
        self.unknown += 1
        self.example = self.example or user
        near = self.loose_ids.get(loose_id(user))
        if near is not None:
            self.candidates.setdefault(near, []).append(values)

    def _keep(self, row: int, values: Mapping[str, Value]) -> None:
        self.users.add(row)
        for name, value in values.items():
            self.columns[name][row] = value

    def table(self) -> UserTable:
        """Return the table. A differently written id matches if exactly one id and one line are candidates."""
        missing = [column for column in self.names.values() if plain(column) not in map(plain, self.header)]
        if missing:
            raise RobustrecError(
                f"column {missing[0][:60]!r} of the user table is not found: it has "
                f"{[name[:60] for name in self.header][:8]}"
                if self.header
                else "the user table has no lines",
                where=self.where,
                fix="name the column in --user-columns as the file does: country=COLUMN",
            )
        loose = 0
        for row, meant in self.candidates.items():
            if len(meant) == 1 and row not in self.users:
                self._keep(row, meant[0])
                loose, self.unknown = loose + 1, self.unknown - 1
        if not self.users:
            wanted = next(iter(self.ids), "") if self.ids else f"0 to {self.n_users - 1}"
            raise RobustrecError(
                f"none of the {self.unknown} lines of the user table has a user id of the interactions: for example"
                f" {self.example[:60]!r}, but the interactions have for example {wanted[:60]!r}",
                where=self.where,
                fix="name the column with the user ids of the interactions: --user-columns user=COLUMN,"
                + self._option(),
            )
        counts = {
            "user table lines of users without interactions": self.unknown,
            "users with a differently written id in the user table (leading zeros, .0, or upper/lower case)": loose,
            "users that are missing in the user table": self.n_users - len(self.users),
        }
        return UserTable(self.columns, [FilterCount(reason, count) for reason, count in counts.items() if count])


def _check_values(name: str, column: str, values: Sequence[Value], where: str) -> None:
    """Refuse a column without values, and one with so many different texts that each stands for a few users."""
    known = [value for value in values if value is not None]
    if not known:
        raise RobustrecError(
            f"no user of the interactions has a value in the column {column[:60]!r}",
            where=where,
            fix=f"remove {name} from --user-columns, or fill the column",
        )
    if not any(isinstance(value, str) for value in known):
        return
    n = len(set(known))
    if n > MAX_VALUES or (n > MANY_VALUES and n * FEWEST_PER_VALUE > len(known)):
        raise RobustrecError(
            f"the column {column[:60]!r} has {n:,} different values for {len(known):,} users",
            where=where,
            fix=f"keep a column whose values many users share, at most {MAX_VALUES:,}: group the values, such as cities"
            f" by region, or remove {name} from --user-columns",
        )


def _records(path: Path) -> Records:
    """Yield place and record of every line of a table of users."""
    suffix = data_suffix(path)
    if suffix in arrow.SUFFIXES:
        return arrow.records(path, known=lambda _: True)
    if plain_path(path).name == "u.user" or (suffix == ".dat" and movielens.has_separator(path)):
        return movielens.people(path)
    if suffix == ".user":
        return recbole.catalog(path, "user table")
    return json_lines.records(path) if suffix in json_lines.SUFFIXES else table_records(path, "user table")


def _header(files: Sequence[Path]) -> list[str]:
    _, record = next(chain.from_iterable(map(_records, files)), ("", {}))
    return [name[:60] for name in record][:8]


def write_user_columns(stage: Path, columns: Columns) -> None:
    """Write the columns of the users into a data set: a line for each user with a value."""
    lines = []
    for user, values in enumerate(zip(*columns.values(), strict=True)):
        known = {name: value for name, value in zip(columns, values, strict=True) if value is not None}
        if known:
            lines.append(json.dumps({"userID": user, "columns": known}, ensure_ascii=False) + "\n")
    write_atomically(stage / USER_COLUMNS, "".join(lines))


def read_user_columns(path: Path | None, n_users: int) -> Columns:
    """Return the columns that an import has stored; none without a file.

    Raises:
        RobustrecError: the file cannot be read, or a line is not one that an import writes.
    """
    columns: Columns = {}
    seen: set[int] = set()
    for place, record in json_lines.records(path) if path is not None else ():
        user = record.get("userID")
        if isinstance(user, bool) or not isinstance(user, int) or not 0 <= user < n_users or user in seen:
            raise RobustrecError(
                f"userID {repr(user)[:60]} is not a number from 0 to {n_users - 1} that is there once",
                where=place,
                fix="the file was changed; import the data again with --replace",
            )
        seen.add(user)
        for name, value in stored_own(record.get("columns")):
            columns.setdefault(name, [None] * n_users)[user] = value
    return dict(sorted(columns.items()))
