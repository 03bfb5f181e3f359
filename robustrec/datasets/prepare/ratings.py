"""Interactions of a public data set: the k-core with its split, and the pairs in the order of the file."""

from __future__ import annotations

from collections.abc import Iterator

from robustrec.datasets.conversion import Ratings, SplitOptions
from robustrec.datasets.headers import RepeatedHeader, locate_columns
from robustrec.datasets.naming import is_missing
from robustrec.datasets.prepare.layouts import RawFiles, is_table
from robustrec.datasets.ratings import read_ratings

IGNORED = "columns that are ignored"


def read_core(files: RawFiles, *, k: int, how: SplitOptions) -> Ratings:
    """Return the k-core of the interactions with a split.

    Raises:
        RobustrecError: as `read_ratings`.
    """
    found = read_ratings(files.ratings, k=k, columns=_columns(files), how=how)
    return found._replace(filters=[row for row in found.filters if not row.reason.startswith(IGNORED)])


def read_raw_pairs(files: RawFiles) -> Iterator[tuple[str, str]]:
    """Yield user and item of each row that has both, in the order of the file.

    Raises:
        RobustrecError: the file cannot be read, or a row has another number of fields.
    """
    table = locate_columns(files.ratings, _columns(files), need_rating=False)
    user, item = table.places["user"], table.places["item"]
    repeated = RepeatedHeader(table.header)
    for line, row in table.rows:
        if repeated(row, table.where, line) or len(row) != table.width:
            continue
        if not is_missing(row[user]) and not is_missing(row[item]):
            yield row[user].strip(), row[item].strip()


def _columns(files: RawFiles) -> tuple[str, ...] | None:
    """Return the columns of a table; reviews in JSON name their fields."""
    return files.layout.columns if is_table(files) else None
