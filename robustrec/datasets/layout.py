"""What lies in a folder nobody has described: files found by their usual names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from robustrec.datasets.feature_files import FEATURE_FILES
from robustrec.datasets.manifest import MANIFEST, Files, Manifest, read_manifest
from robustrec.datasets.pictures import SUFFIXES
from robustrec.datasets.user_graph import MMREC_USER_GRAPH
from robustrec.errors import RobustrecError

PICTURE_NAMES = ("pictures", "images", "posters", "image", "photos")
ITEM_NAMES = ("items.jsonl", "meta.jsonl", "products.jsonl")
MAPPINGS = ("u_id_mapping.csv", "i_id_mapping.csv")
RATING_NAMES = ("ratings.csv", "interactions.csv", "ratings.tsv")


class Found(NamedTuple):
    """Paths of a .inter or ratings file, a catalog, a folder or zip of pictures; None where there is none."""

    interactions: Path | None
    items: Path | None
    pictures: Path | None


def describe_folder(folder: Path) -> tuple[Manifest, bool]:
    """Return what a folder holds, and whether it is bare (without a dataset.toml, so that this was guessed).

    Raises:
        RobustrecError: dataset.toml is malformed, or there are no interactions or more than one candidate.
    """
    if (folder / MANIFEST).is_file():
        return read_manifest(folder), False
    found = find_files(folder)
    if found.interactions is None or found.interactions.suffix != ".inter":
        raise RobustrecError(
            "no dataset.toml and no .inter file in the folder",
            where=str(folder),
            fix=f"for a ratings CSV: robustrec data import {folder} --name NAME",
        )

    def name(path: Path | None) -> str:
        return "" if path is None else path.name

    features = {f"{modality}_feat": file for modality, file in FEATURE_FILES.items() if (folder / file).is_file()}
    files = Files(
        interactions=found.interactions.name,
        items=name(found.items),
        pictures=name(found.pictures),
        user_graph=MMREC_USER_GRAPH if (folder / MMREC_USER_GRAPH).is_file() else "",
        **features,
    )
    return Manifest(name=plain_name(folder.resolve().name), files=files), True


def find_files(folder: Path, given: Found | None = None) -> Found:
    """Find interactions (a .inter file, else ratings), catalog and pictures directly in a folder.

    Args:
        folder: the folder.
        given: paths that need not be found.

    Raises:
        RobustrecError: the folder cannot be listed, or several files of one kind leave the choice open.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise RobustrecError(
            f"cannot list {folder}: {error.strerror or error}",
            where=str(folder),
            fix="give an existing folder",
        ) from error
    files = [entry for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    interactions, items, pictures = given or Found(None, None, None)
    if interactions is None:
        inter = [file for file in files if file.suffix == ".inter"]
        tables = [file for file in files if file.suffix in (".csv", ".tsv") and file.name not in MAPPINGS]
        interactions = _one(folder, inter or tables, (f"{folder.name}.inter", *RATING_NAMES), "--interactions")
    if items is None:
        items = _one(folder, [file for file in files if file.suffix == ".jsonl"], ITEM_NAMES, "--items")
    return Found(interactions, items, pictures or _pictures(folder, entries))


def plain_name(text: str) -> str:
    """Return a text as a data set's name: lower case, other characters replaced by dashes."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_") or "dataset"


def _one(folder: Path, files: list[Path], preferred: tuple[str, ...], option: str) -> Path | None:
    by_name = {file.name: file for file in files}
    for name in preferred:
        if name in by_name:
            return by_name[name]
    if len(files) > 1:
        shown = ", ".join(list(by_name)[:5])
        raise RobustrecError(
            f"several files could be meant: {shown}",
            where=str(folder),
            fix=f"robustrec data import {folder} --name NAME {option} {files[0].name}",
        )
    return files[0] if files else None


def _pictures(folder: Path, entries: list[Path]) -> Path | None:
    places = {entry.name: entry for entry in entries}
    for name in PICTURE_NAMES:
        for place in (f"{name}.zip", name):
            if place in places and (place != name or places[place].is_dir()):
                return places[place]
    zips = [entry for entry in entries if entry.suffix == ".zip" and entry.is_file()]
    if zips:
        return _one(folder, zips, (), "--pictures")
    holding = [entry for entry in entries if entry.is_dir() and _holds_pictures(entry)]
    return holding[0] if len(holding) == 1 else None


def _holds_pictures(folder: Path) -> bool:
    return any(file.suffix.lower() in SUFFIXES for file in folder.iterdir())
