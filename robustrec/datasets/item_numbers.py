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
        RobustrecError: as `read_numbers`.
    """
    path = folder / ITEM_MAPPING
    return read_numbers(path, "itemID") if path.is_file() else None


def read_numbers(path: Path, column: str) -> dict[str, int]:
    """Return the number of each external id in a mapping.

    Args:
        path: i_id_mapping.csv or u_id_mapping.csv.
        column: the column of numbers, itemID or userID.

    Raises:
        RobustrecError: the file has no such column beside another one, a number is none, or an id or a number is
            there twice.
    """
    kind, id_name = ("item", "asin") if column == "itemID" else ("user", "user_id")
    fix = f"write a line for each {kind}, {id_name} and {column}, each once"
    if kind == "item":
        fix += "; or give each line of the catalog an itemID"

    def wrong(line: int, what: str) -> RobustrecError:
        return RobustrecError(what, where=f"{path}: line {line}", fix=fix)

    rows = read_rows(path, f"mapping of {kind} ids")
    _, header = next(rows, (1, []))
    # MMRec names the columns of users user_id and userID.
    exact = [place for place, name in enumerate(header) if name.strip() == column]
    places = exact or [place for place, name in enumerate(header) if plain(name) == plain(column)]
    if len(header) != 2 or len(places) != 1:
        shown = [name[:60] for name in header[:8]]
        raise wrong(1, f"expected two columns, {id_name} and {column}, but got {shown}")
    number_at = places[0]
    numbers: dict[str, int] = {}
    for line, row in rows:
        text = row[number_at].strip() if len(row) == 2 else ""
        if not (text.isascii() and text.isdigit() and len(text) < 19) or is_missing(row[1 - number_at]):
            raise wrong(line, f"{row[:2]} is not {'an item' if kind == 'item' else 'a user'} id and its number")
        name = row[1 - number_at].strip()
        if name in numbers:
            raise wrong(line, f"{kind} {name[:60]!r} is there twice")
        numbers[name] = int(text)
    if len(set(numbers.values())) != len(numbers):
        raise wrong(1, f"two {kind}s have the same number")
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
