"""The per-user arrays of a report as Parquet in float32, written by chunks of users."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustrec.errors import RobustrecError
from robustrec.files import opened_atomically
from robustrec.report.forms.findings_table import require_pyarrow
from robustrec.results.arrays import USERS, Arrays, arrays_beside, users_key
from robustrec.results.findings import stratum_of
from robustrec.results.report import Report

ROWS = 65_536
"""Users of a row group, which is what a reader holds at once."""


def write_user_table(report: Report, source: Path, path: Path) -> int:
    """Write a row for each ranked user, and return the number of users.

    The column `user` has user ids; each other column is an array beside the report under its name there, float32, or a
    list of one float32 for each draw. A metric of cold or warm test items is null for users without such an item.

    Args:
        report: as read.
        source: its file; the arrays are beside it.
        path: the Parquet file.

    Raises:
        RobustrecError: pyarrow is not installed, the arrays are missing or damaged, or the file cannot be written.
    """
    require_pyarrow()
    arrays = arrays_beside(report, source)
    if arrays is None:
        raise RobustrecError(
            "there are no per-user arrays beside the report",
            where=str(source),
            fix="keep the .users.npz file that the audit wrote beside its report, or run the audit again",
        )
    pa, pq = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    users = arrays[USERS]
    columns = {name: values for name, values in arrays.items() if name.partition("|")[0] != USERS}
    fields = [pa.field("user", pa.int64())]
    for name, values in columns.items():
        fields.append(pa.field(name, pa.float32() if values.ndim == 1 else pa.list_(pa.float32(), values.shape[0])))
    schema = pa.schema(fields, metadata={"robustrec": report.robustrec, "dataset_digest": report.dataset.digest})
    with opened_atomically(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for start in range(0, len(users), ROWS):
            chosen = slice(start, start + ROWS)
            cells = [pa.array(users[chosen].astype(np.int64))]
            cells += [_cells(pa, values, _places(arrays, name, users, chosen)) for name, values in columns.items()]
            writer.write_table(pa.table(cells, schema=schema))
    return len(users)


def _places(arrays: Arrays, name: str, users: NDArray[Any], chosen: slice) -> NDArray[np.int64]:
    """Return the place of each chosen user in an array; -1 for a user that it does not have."""
    own = arrays.get(users_key(stratum_of(name)), users)
    order = np.argsort(own, kind="stable")
    found = np.minimum(np.searchsorted(own[order], users[chosen]), len(own) - 1)
    places = order[found]
    return np.asarray(np.where(own[places] == users[chosen], places, -1), dtype=np.int64)


def _cells(pa: Any, values: NDArray[Any], places: NDArray[np.int64]) -> Any:
    missing = places < 0
    taken = values[..., places].astype(np.float32)
    if values.ndim == 1:
        return pa.array(taken, mask=missing)
    lists = pa.array(np.ascontiguousarray(taken.T).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(lists, values.shape[0], mask=pa.array(missing))
