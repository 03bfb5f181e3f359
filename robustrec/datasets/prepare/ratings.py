"""Interactions of a public data set: the k-core with a random split, or the rows of a published split."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

from robustrec.datasets.formats.lines import count_lines, open_stream
from robustrec.datasets.naming import is_missing, places_of
from robustrec.datasets.prepare.layouts import RawFiles, is_table, read_rows_of
from robustrec.datasets.ratings import Ratings, read_ratings
from robustrec.datasets.tables import peek_header, read_rows
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError

COLUMNS = ("user", "item", "rating", "timestamp")


class RawTable:
    """The interactions of a data set as a table on disk: the file itself, or one made of it in a folder.

    Args:
        files: the raw files.
        folder: a folder for such a table; it must outlive this object.

    Raises:
        RobustrecError: the file cannot be read or is damaged.
    """

    def __init__(self, files: RawFiles, folder: Path) -> None:
        self.source = files.ratings
        self.path = files.ratings
        self.columns = files.layout.columns
        if not is_table(files):
            self.path, self.columns = folder / "reviews.csv", COLUMNS
            _write_reviews(files, self.path)
        elif files.ratings.suffix == ".gz":
            self.path = folder / "ratings.csv"
            _unpack(files.ratings, self.path)
        self.has_header = bool(places_of(peek_header(self.path), ("user", "item")))
        self.rows = count_lines(self.path, "interactions") - self.has_header

    def core(self, *, k: int, seed: int) -> Ratings:
        """Return the k-core of the interactions, with a random split per user.

        Raises:
            RobustrecError: as `read_ratings`.
        """
        try:
            return read_ratings(self.path, k=k, seed=seed, columns=self.columns)
        except RobustrecError as error:
            if self.path == self.source:
                raise
            where = error.where.replace(str(self.path), str(self.source))  # the table is not there any more
            raise RobustrecError(error.what, where=where, fix=error.fix) from error

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield user and item of each row that has both, in the order of the file.

        Raises:
            RobustrecError: the file cannot be read.
        """
        user, item = self.columns.index("user"), self.columns.index("item")
        rows = read_rows(self.path, "interactions")
        if self.has_header:
            next(rows, None)
        for _, row in rows:
            if len(row) > max(user, item) and not is_missing(row[user]) and not is_missing(row[item]):
                yield row[user].strip(), row[item].strip()


def _write_reviews(files: RawFiles, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in read_rows_of(files):
            if any("\0" in value for value in row[1:]):
                raise RobustrecError(
                    "a field has a NUL character",
                    where=f"{files.ratings}: line {row.line}",
                    fix="download the file again; it may be damaged",
                )
            writer.writerow(row[1:])


def _unpack(source: Path, path: Path) -> None:
    try:
        with open_stream(source) as packed, path.open("wb") as file:
            shutil.copyfileobj(packed, file, 2**20)
    except (EOFError, OSError, UnreadableError) as error:
        raise RobustrecError(
            f"the compressed file is truncated or damaged: {error}", where=str(source), fix="download the file again"
        ) from error
