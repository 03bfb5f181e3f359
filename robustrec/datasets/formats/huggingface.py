"""Folders that `save_to_disk` of the library datasets writes: Arrow files with `state.json` and `dataset_info.json`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustrec.errors import RobustrecError
from robustrec.files import path_inside
from robustrec.untrusted import UnreadableError, read_json_object

STATE = "state.json"
INFO = "dataset_info.json"
SPLITS = "dataset_dict.json"
DESCRIPTIONS = (STATE, INFO, SPLITS, "dataset_infos.json")
"""JSON files that describe a data set and hold no rows."""
MOST_BYTES = 2**26


def is_saved(folder: Path) -> bool:
    """Tell whether a folder is a data set that `save_to_disk` wrote, or several by split."""
    return (folder / STATE).is_file() or (folder / SPLITS).is_file()


def is_part(path: Path) -> bool:
    """Tell whether an Arrow file belongs to a data set of the library datasets."""
    return (path.parent / STATE).is_file() or (path.parent / INFO).is_file()


def saved_splits(folder: Path) -> Mapping[str, tuple[Path, ...]]:
    """Return the files of each split of a saved data set, in order; the name is "" where it has no splits.

    Raises:
        RobustrecError: a file that describes the data set cannot be read or names another that is not there, or the
            rows are a selection that was not written out.
    """
    if (folder / SPLITS).is_file():
        path = folder / SPLITS
        names = _read(path).get("splits")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise _wrong("splits must be a list of names", path)
        return {name: _files(path_inside(folder, name)) for name in names}
    return {"": _files(folder)}


def _files(folder: Path) -> tuple[Path, ...]:
    path = folder / STATE
    state = _read(path)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise RobustrecError(
            "the rows are a selection of the Arrow files (an indices mapping), which is not read",
            where=str(path),
            fix="write the rows out before: dataset.flatten_indices().save_to_disk(PATH)",
        )
    listed = state.get("_data_files")
    names = [each.get("filename") if isinstance(each, dict) else None for each in listed or ()]
    if not isinstance(listed, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise _wrong("_data_files must name the Arrow files", path)
    files = tuple(path_inside(folder, str(name)) for name in names)
    for file in files:
        if not file.is_file():
            raise _wrong(f"{file.name} is named in it but not found", path)
    return files


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path, most=MOST_BYTES)
    except UnreadableError as error:
        raise _wrong(f"cannot read {path.name}: {error}", path) from error


def _wrong(what: str, path: Path) -> RobustrecError:
    return RobustrecError(
        what,
        where=str(path),
        fix=f"copy the folder again as save_to_disk wrote it: {shlex.quote(str(path.parent))}",
    )
