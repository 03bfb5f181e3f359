"""Image features of Amazon 2014: records of a 10-character item id and 4,096 float32 values.

The file is documented at jmcauley.ucsd.edu/data/amazon; the values are those of a convolutional network (McAuley,
Targett, Shi and van den Hengel 2015, "Image-based recommendations on styles and substitutes").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.interactions import FilterCount
from robustrec.errors import RobustrecError
from robustrec.progress import Progress
from robustrec.untrusted import UnreadableError, open_regular

ID_BYTES = 10
WIDTH = 4096
RECORD = np.dtype([("item", f"S{ID_BYTES}"), ("values", "<f4", (WIDTH,))])
RECORDS_AT_ONCE = 256


def write_features(target: Path, source: Path, item_ids: Sequence[str], progress: Progress) -> list[FilterCount]:
    """Write the features of items as an .npy file [I, 4096] of float32; an item without a record has the mean.

    The mean is over the items that have a record, in float64.

    Args:
        target: the .npy file.
        source: the file of records.
        item_ids: [I] original ids.
        progress: reports the number of records.

    Returns:
        Counts of items without a record and of records of other items.

    Raises:
        RobustrecError: the file cannot be read, is not of such records, a value is not finite, or no record is of an
            item.
    """
    size = _records(source)
    places = {name: row for row, name in enumerate(item_ids)}
    found = np.zeros(len(item_ids), dtype=np.bool_)
    repeated = 0
    with target.open("w+b") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(item_ids), WIDTH)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * WIDTH * len(item_ids))
        table = np.memmap(file, np.float32, "r+", offset=file.tell(), shape=(len(item_ids), WIDTH))
        for start, records in _pieces(source):
            names = [name.decode("ascii", "replace") for name in records["item"].tolist()]
            for at, row in enumerate(map(places.get, names)):
                if row is None:
                    continue
                if found[row]:
                    repeated += 1
                    continue
                values = records["values"][at]
                if not np.isfinite(values).all():
                    raise RobustrecError(
                        f"the features of item {names[at]!r} have a value that is NaN or infinite",
                        where=f"{source}: record {start + at}",
                        fix="download the file again",
                    )
                table[row], found[row] = values, True
            progress("image features", min(start + RECORDS_AT_ONCE, size), size)
        if not found.any():
            raise RobustrecError(
                f"none of the {size:,} records is of an item of the interactions, which have for example "
                f"{item_ids[0][:40]!r}",
                where=str(source),
                fix="give the file of image features of the same category",
            )
        if not found.all():
            table[~found] = _mean(table, np.flatnonzero(found))
        table.flush()
    counts = {
        "items without image features, which have the mean of the others": int((~found).sum()),
        "image features of items without interactions": size - int(found.sum()) - repeated,
        "image features of an item that has some already": repeated,
    }
    return [FilterCount(reason, count) for reason, count in counts.items() if count]


def _mean(table: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the mean of rows, in float64 and in their order, whatever the order of the records was."""
    total = np.zeros(WIDTH)
    for start in range(0, len(rows), RECORDS_AT_ONCE):
        total += table[rows[start : start + RECORDS_AT_ONCE]].sum(axis=0, dtype=np.float64)
    return (total / len(rows)).astype(np.float32)


def _records(source: Path) -> int:
    """Return the number of records of a file.

    Raises:
        RobustrecError: it has no whole number of records, or the first one has no item id.
    """
    try:
        with open_regular(source) as file:
            head = file.read(ID_BYTES)
            size = file.seek(0, 2)
    except (OSError, UnreadableError) as error:
        raise RobustrecError(
            f"cannot read the image features: {error}", where=str(source), fix="give the path of an existing file"
        ) from error
    if not size or size % RECORD.itemsize or not (head.isalnum() and head.isascii()):
        what = f"{size:,} bytes" if size % RECORD.itemsize or not size else f"the id {head!r} in its first record"
        raise RobustrecError(
            f"not a file of image features: expected records of {ID_BYTES} characters and {WIDTH:,} float32 values "
            f"({RECORD.itemsize:,} bytes each), but got {what}",
            where=str(source),
            fix="download the file again; it may be truncated, or still compressed",
        )
    return size // RECORD.itemsize


def _pieces(source: Path) -> Iterator[tuple[int, NDArray[np.void]]]:
    start = 0
    with open_regular(source) as file:
        while content := file.read(RECORDS_AT_ONCE * RECORD.itemsize):
            if len(content) % RECORD.itemsize:
                raise RobustrecError(
                    "the file became shorter while it was read", where=str(source), fix="prepare the data again"
                )
            records: NDArray[np.void] = np.frombuffer(content, RECORD)
            yield start, records
            start += len(records)
