"""The files of MovieLens that are not CSV: fields separated by `::`, and the catalog `u.item` with genre flags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from robustrec.datasets.formats.compressed import open_data, plain_path
from robustrec.datasets.formats.lines import limited_lines
from robustrec.datasets.formats.named import Records
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError

SEPARATOR = "::"
CATALOGS = ("movies.dat", "u.item")
RATINGS = ("ratings.dat", "u.data")
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""The order of the flags in u.item (README of MovieLens 100K)."""
FIRST_FLAG = 5
PEOPLE_BARS = ("user_id", "age", "gender", "occupation", "zip_code")
"""The columns of u.user, which has no header; those of users.dat are in another order (README of each release)."""
PEOPLE_DAT = ("user_id", "gender", "age", "occupation", "zip_code")


def has_separator(path: Path) -> bool:
    """Tell whether the first line of a file has fields separated by `::`."""
    try:
        with open_data(path) as file:
            return SEPARATOR.encode() in file.readline(2**16)
    except (OSError, UnreadableError):
        return False


def catalog(path: Path) -> Records:
    """Yield place and record of every line of movies.dat or u.item.

    Both are ISO 8859-1 in the older releases and UTF-8 in the newer ones; a line that is not UTF-8 is read as the
    former.

    Raises:
        RobustrecError: the file cannot be read, or a line has another number of fields.
    """
    flags = plain_path(path).name == "u.item"
    for number, line in _lines(path):
        where = f"{path}: line {number}"
        fields = line.split("|" if flags else SEPARATOR)
        if flags and len(fields) == FIRST_FLAG + len(GENRES):
            marks = fields[FIRST_FLAG:]
            if not set(marks) <= {"0", "1"}:
                raise _wrong("a genre flag is neither 0 nor 1", where)
            genres = [genre for genre, mark in zip(GENRES, marks, strict=True) if mark == "1" and genre != "unknown"]
            yield where, {"item_id": fields[0], "title": fields[1], "genres": genres}
        elif not flags and len(fields) == 3:
            yield where, {"item_id": fields[0], "title": fields[1], "genres": fields[2].split("|")}
        else:
            wanted = FIRST_FLAG + len(GENRES) if flags else 3
            raise _wrong(f"{len(fields)} fields, but expected {wanted}", where)


def people(path: Path) -> Records:
    """Yield place and record of every line of users.dat or u.user: user_id, age, gender, occupation, zip_code.

    Raises:
        RobustrecError: the file cannot be read, or a line has another number of fields.
    """
    bars = plain_path(path).name == "u.user"
    names = PEOPLE_BARS if bars else PEOPLE_DAT
    for number, line in _lines(path, _OTHER_USERS):
        fields = line.split("|" if bars else SEPARATOR)
        if len(fields) != len(names):
            raise _wrong(f"{len(fields)} fields, but expected {len(names)}", f"{path}: line {number}", _OTHER_USERS)
        yield f"{path}: line {number}", dict(zip(names, fields, strict=True))


_AS_PUBLISHED = "use the file as published, it may be truncated here; or give another"
_OTHER_ITEMS = f"{_AS_PUBLISHED} catalog with --items FILE"
_OTHER_USERS = f"{_AS_PUBLISHED} table with --user-table FILE"


def _wrong(what: str, where: str, fix: str = _OTHER_ITEMS) -> RobustrecError:
    return RobustrecError(what, where=where, fix=fix)


def _lines(path: Path, fix: str = _OTHER_ITEMS) -> Iterator[tuple[int, str]]:
    try:
        with open_data(path) as file:
            for number, line in limited_lines(file, path, fix=fix):
                content = line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
                if b"\0" in content:
                    raise _wrong("the line contains a NUL byte", f"{path}: line {number}", fix)
                if content.strip():
                    try:
                        yield number, content.decode("utf-8")
                    except UnicodeDecodeError:
                        yield number, content.decode("iso-8859-1")
    except (OSError, UnreadableError) as error:
        raise RobustrecError(
            f"cannot read {path.name}: {getattr(error, 'strerror', None) or error}",
            where=str(path),
            fix="download the file again; it may be truncated",
        ) from error
