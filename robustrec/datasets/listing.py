"""Which data sets there are, without loading any: for `data list`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from robustrec.datasets.manifest import MANIFEST, read_manifest
from robustrec.datasets.registry import data_folder, dataset_names, imported_names, sample_path
from robustrec.errors import RobustrecError


class Listed(NamedTuple):
    """One edition of a data set; `folder` is None for a sample that is yet to be made."""

    name: str
    edition: str
    synthetic: bool
    what: str
    folder: str | None


def listed(home: Path) -> list[Listed]:
    """Return every edition of every data set, by name; a damaged one is listed with what is wrong."""
    from robustrec.datasets.shop import SHOPS

    imported = set(imported_names(home))
    rows = []
    for name in dataset_names(home):
        if name in imported:
            folder = data_folder(home, name)
            try:
                what = read_manifest(folder).source or "imported"
            except RobustrecError as error:
                what = f"damaged: {error.what}"
            rows.append(Listed(name, "full", False, what, str(folder)))
        if name in SHOPS:
            folder = sample_path(name, home)
            made = str(folder) if (folder / MANIFEST).is_file() else None
            rows.append(Listed(name, "sample", True, "synthetic, made by robustrec", made))
    return rows
