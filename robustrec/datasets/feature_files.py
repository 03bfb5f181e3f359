"""Feature files of a data set in the MMRec layout: checked without being loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError, open_npy

FEATURE_FILES = {
    "image": "image_feat.npy",
    "text": "text_feat.npy",
}  # in the order of the modalities everywhere
NOT_READ = "feature file that is not read, since only image and text features are: {}"
CHUNK_VALUES = 2**22
PROBE_WIDTH = 16


def open_features(path: Path, n_items: int) -> NDArray[Any]:
    """Return a feature file as a read-only map [I, D] of floating-point numbers; values are not looked at.

    Raises:
        RobustrecError: it is missing, no .npy file, truncated, pickled, of another shape or dtype, or its
            rows do not match the items.
    """
    table = map_features(path)
    if table.ndim != 2 or table.dtype.kind != "f" or 0 in table.shape:
        raise RobustrecError(
            f"features must be floating-point numbers [items, width], not {table.dtype} {table.shape}",
            where=str(path),
            fix="write it again with numpy.save(path, array) from a float32 array of two dimensions",
        )
    if len(table) != n_items:
        raise RobustrecError(
            f"{len(table)} feature rows for {n_items} items",
            where=str(path),
            fix="use features of the same catalog: row i must be item i",
        )
    return table


def map_features(path: Path) -> NDArray[Any]:
    """Return an .npy file as a read-only map, whatever its shape and type.

    Raises:
        RobustrecError: it is missing, no .npy file, truncated or pickled.
    """
    try:
        table = open_npy(path)
    except UnreadableError as error:
        raise RobustrecError(
            f"cannot read the features: {error}",
            where=str(path),
            fix="write it again with numpy.save(path, array) from a float32 array",
        ) from error
    return table


def other_features(folder: Path, read: Iterable[Path]) -> list[Path]:
    """Return the feature files in a folder (audio_feat.npy, ...) that are not among those read, sorted."""
    known = {path.resolve() for path in read}
    return sorted(path for path in folder.glob("*feat*.npy") if path.is_file() and path.resolve() not in known)


def zero_rows(table: NDArray[Any]) -> int:
    """Return how many rows of a table [I, D] are zero throughout, as fillers for missing features are."""
    suspects = np.flatnonzero(~np.asarray(table[:, :PROBE_WIDTH]).any(axis=1))
    return sum(1 for row in suspects.tolist() if not np.asarray(table[row]).any())


def check_finite(path: Path, table: NDArray[Any]) -> None:
    """Read a feature table once, in pieces, and refuse NaN, infinity and what float32 cannot hold.

    Raises:
        RobustrecError: such a value; the message names its row.
    """
    step = max(1, CHUNK_VALUES // table.shape[1])
    limit = float(np.finfo(np.float32).max)
    for start in range(0, len(table), step):
        piece = np.asarray(table[start : start + step])
        bad = ~np.isfinite(piece)
        if piece.dtype.itemsize > 4:
            bad |= np.abs(piece) > limit
        if bad.any():
            row, column = (int(place) for place in np.argwhere(bad)[0])
            raise RobustrecError(
                f"feature value {piece[row, column]} of item {start + row}",
                where=f"{path}: row {start + row}, column {column}",
                fix="replace missing features before saving, for example by the mean over all others",
            )
