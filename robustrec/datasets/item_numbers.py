"""The id mappings of the MMRec layout: which number of the interactions an external id has."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from robustrec.datasets.naming import is_missing, plain
from robustrec.datasets.tables import read_rows
from robustrec.errors import RobustrecError
from robustrec.files import write_atomically

ITEM_MAPPING = "i_id_mapping.csv"
MAPPINGS = ("u_id_mapping.csv", ITEM_MAPPING)


def read_item_numbers(folder: Path) -> Mapping[str, int] | None:
    """Return the number of each external item id that a folder's i_id_mapping.csv names; None where it has none.

    Raises:
        RobustrecError: the file has no column itemID beside another one, a number is none, or an id or a number is
            there twice.
    """
    path = folder / ITEM_MAPPING
    if not path.is_file():
        return None
    rows = read_rows(path, "mapping of item ids")
    _, header = next(rows, (1, []))
    names = [plain(name) for name in header]
    if len(names) != 2 or names.count("itemid") != 1:
        raise _wrong(path, 1, f"expected two columns, asin and itemID, but got {[name[:60] for name in header[:8]]}")
    number_at = names.index("itemid")
    numbers: dict[str, int] = {}
    for line, row in rows:
        text = row[number_at].strip() if len(row) == 2 else ""
        if not (text.isascii() and text.isdigit() and len(text) < 19) or is_missing(row[1 - number_at]):
            raise _wrong(path, line, f"{row[:2]} is not an item id and its number")
        name = row[1 - number_at].strip()
        if name in numbers:
            raise _wrong(path, line, f"item {name[:60]!r} is there twice")
        numbers[name] = int(text)
    if len(set(numbers.values())) != len(numbers):
        raise _wrong(path, 1, "two items have the same number")
    return numbers


def write_mappings(stage: Path, source: Path, user_ids: Sequence[str] | None, item_ids: Sequence[str] | None) -> None:
    """Write which original id each user and item has into a folder, or copy the mappings of an MMRec folder.

    Args:
        stage: where they go.
        source: folder that is imported.
        user_ids: original ids by number; None where they are numbers already.
        item_ids: the same of items.
    """
    for file, header, ids in zip(
        MAPPINGS, (("user_id", "userID"), ("asin", "itemID")), (user_ids, item_ids), strict=True
    ):
        if ids is not None:
            text = io.StringIO()
            writer = csv.writer(text, delimiter="\t", lineterminator="\n")
            writer.writerow(header)
            writer.writerows((name, row) for row, name in enumerate(ids))
            write_atomically(stage / file, text.getvalue())
        elif (source / file).is_file():
            shutil.copyfile(source / file, stage / file)


def _wrong(path: Path, line: int, what: str) -> RobustrecError:
    return RobustrecError(
        what,
        where=f"{path}: line {line}",
        fix="write a line for each item, asin and itemID, each once; or give each line of the catalog an itemID",
    )
