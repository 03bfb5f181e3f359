"""Feature files of a data set, NAME_feat.npy for modality NAME, checked without loading them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustrec.errors import RobustrecError
from robustrec.files import path_inside
from robustrec.modalities import MODALITIES, in_order, modality_fault
from robustrec.untrusted import UnreadableError, open_npy

SUFFIX = "_feat.npy"
CHUNK_VALUES = 2**22
PROBE_WIDTH = 16


def open_features(path: Path, n_items: int) -> NDArray[Any]:
    """Return a feature file as a read-only memory map [I, D] of floating-point numbers; values are not checked.

    Raises:
        RobustrecError: it is missing, not an .npy file, truncated, pickled, of another shape or dtype, or the number
            of rows does not match the items.
    """
    table = map_features(path)
    if table.ndim != 2 or table.dtype.kind != "f" or table.dtype.itemsize > 8 or 0 in table.shape:
        raise RobustrecError(
            f"features must be floating-point numbers of shape [items, width], but got {table.dtype} {table.shape}",
            where=str(path),
            fix="save it again with numpy.save(path, array) as a two-dimensional float32 array",
        )
    if len(table) != n_items:
        raise RobustrecError(
            f"expected {n_items} feature rows, one per item, but got {len(table)}",
            where=str(path),
            fix="use features of the same catalog: row i must be item i",
        )
    return table


def map_features(path: Path) -> NDArray[Any]:
    """Return an .npy file of any shape and dtype as a read-only memory map.

    Raises:
        RobustrecError: it is missing, not an .npy file, truncated or pickled.
    """
    try:
        table = open_npy(path)
    except UnreadableError as error:
        raise RobustrecError(
            f"cannot read the features: {error}",
            where=str(path),
            fix="save it again with numpy.save(path, array) as a float32 array",
        ) from error
    return table


def feature_file(modality: str) -> str:
    """Return the usual name of the feature file of a modality."""
    return f"{modality}{SUFFIX}"


def named_features(folder: Path) -> dict[str, Path]:
    """Return the feature files of a folder by their usual names: modality -> path, in the order of modalities.

    Raises:
        RobustrecError: a name cannot be that of a modality, or a link leads out of the folder.
    """
    found = {
        path.name.removesuffix(SUFFIX): path_inside(folder, path.name)
        for path in sorted(folder.glob(f"*{SUFFIX}"))
        if not path.is_dir() and not path.name.startswith(".")
    }
    for name in found:
        if fault := modality_fault(name, (*MODALITIES, *found)):
            raise RobustrecError(
                f"{name!r} cannot be the name of a modality: it {fault}",
                where=str(folder / feature_file(name)),
                fix=f"rename the file to NAME{SUFFIX}, for example audio{SUFFIX} for the modality audio",
            )
    return {name: found[name] for name in in_order(found)}


def not_read(folder: Path, read: Iterable[Path]) -> list[tuple[Path, str]]:
    """Return the feature files in a folder that are not read, sorted, each with the reason."""
    known = {path.resolve() for path in read}
    others = sorted(path for path in folder.glob("*feat*.npy") if path.is_file() and path.resolve() not in known)
    return [
        (
            path,
            f"feature file that dataset.toml does not list: {path.name}"
            if path.name.endswith(SUFFIX) and not path.name.startswith((".", SUFFIX))
            else f"feature file that is ignored because its name is not NAME{SUFFIX}: {path.name}",
        )
        for path in others
    ]


def zero_rows(table: NDArray[Any]) -> int:
    """Return the number of all-zero rows of a table [I, D]; such rows usually fill in missing features."""
    suspects = np.flatnonzero(~_as_used(table[:, :PROBE_WIDTH]).any(axis=1))
    return sum(1 for row in suspects.tolist() if not _as_used(table[row]).any())


def _as_used(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return values as float32, in which very small numbers are zero."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float32)


def check_finite(path: Path, table: NDArray[Any]) -> None:
    """Check a feature table, in chunks, for NaN, infinity and values outside the range of float32.

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
                f"feature value {piece[row, column]} of item {start + row} is not a finite float32",
                where=f"{path}: row {start + row}, column {column}",
                fix="replace missing features before saving, for example by the mean over all other items",
            )
