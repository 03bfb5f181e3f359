"""Detection of the files in a folder without a manifest, by their usual names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from robustrec.datasets.feature_files import named_features
from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION
from robustrec.datasets.item_numbers import MAPPINGS
from robustrec.datasets.manifest import MANIFEST, Files, Manifest, feature_fields, read_manifest
from robustrec.datasets.naming import places_of
from robustrec.datasets.pictures import SUFFIXES
from robustrec.datasets.tables import peek_header
from robustrec.datasets.user_graph import MMREC_USER_GRAPH
from robustrec.errors import RobustrecError

PICTURE_NAMES = ("pictures", "images", "posters", "image", "photos")
ITEM_NAMES = (
    "items.jsonl", "meta.jsonl", "products.jsonl", "items.json", "meta.json", "products.json", "items.csv", "items.tsv",
    "products.csv", "movies.csv",
)  # fmt: skip
RATING_NAMES = ("ratings.csv", "interactions.csv", "ratings.tsv")
DATA_SUFFIXES = (
    ".csv", ".tsv", ".txt", ".json", ".jsonl", ".inter", ".item", ".user", ".dat", ".data", ".gz", ".zip", ".parquet",
    ".npy", ".npz", ".pt", ".pth", ".pkl", ".pickle", ".h5", ".mat",
)  # fmt: skip


TABLE_SUFFIXES = (".csv", ".tsv")
SPLIT_SUFFIXES = (*TABLE_SUFFIXES, ".inter", ".txt")
_ROLES = {TRAIN: "train(ing)?", VALIDATION: "valid(ation)?|val|dev", TEST: "test(ing)?"}


class FolderFiles(NamedTuple):
    """Paths of a .inter or ratings file, a catalog, and a folder or zip of pictures; None if not found.

    `split` has the files of a published split by label; it is empty without one.
    """

    interactions: Path | None
    items: Path | None
    pictures: Path | None
    split: Mapping[int, Path]


def describe_folder(folder: Path) -> tuple[Manifest, bool]:
    """Return the manifest of a folder, and whether it was inferred because the folder has no dataset.toml.

    Raises:
        RobustrecError: dataset.toml is malformed, or there is no interaction file or more than one candidate.
    """
    if (folder / MANIFEST).exists():
        return read_manifest(folder), False
    name_of_folder = plain_name(folder.resolve().name)
    command = f"robustrec data import {shlex.quote(str(folder))} --name {name_of_folder}"
    try:
        found = find_files(folder, name=name_of_folder)
    except RobustrecError as error:
        fix = error.fix.replace(": --", f": {command} --")
        raise RobustrecError(error.what, where=error.where, fix=fix) from error
    if found.interactions is None or not is_mmrec(found.interactions):
        raise RobustrecError(
            "the folder has no dataset.toml and no .inter file with userID, itemID and x_label",
            where=str(folder),
            fix=f"import the ratings first: {command}",
        )

    def name(path: Path | None) -> str:
        return "" if path is None else str(path.relative_to(folder))

    features = {modality: path.name for modality, path in named_features(folder).items()}
    files = Files(
        interactions=found.interactions.name,
        items=name(found.items),
        pictures=name(found.pictures),
        user_graph=MMREC_USER_GRAPH if (folder / MMREC_USER_GRAPH).exists() else "",
        **feature_fields(features),
    )
    return Manifest(name=name_of_folder, files=files), True


def find_files(folder: Path, given: FolderFiles | None = None, *, name: str) -> FolderFiles:
    """Find interactions (a .inter file, else a published split, else ratings), catalog and pictures in a folder.

    Args:
        folder: the folder.
        given: paths given by the user.
        name: name of the data set; its .inter file may have the same name.

    Raises:
        RobustrecError: the folder cannot be listed, or several files of one kind are candidates.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise RobustrecError(
            f"cannot list {folder}: {error.strerror or error}",
            where=str(folder),
            fix="give the path of an existing folder",
        ) from error
    files = [entry for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    interactions, items, pictures, split = given or FolderFiles(None, None, None, {})
    tables = [file for file in files if file.suffix in TABLE_SUFFIXES and file.name not in MAPPINGS]
    catalogs = [file for file in tables if file not in (interactions, items) and _is_catalog(file)]
    if interactions is None:
        split = _split(files)
        inter = [file for file in files if file.suffix == ".inter" and file not in split.values()]
        ratings = [file for file in tables if file not in catalogs and file not in split.values()]
        if not split or inter:
            split = {}
            preferred = (f"{folder.name}.inter", f"{name}.inter", *RATING_NAMES)
            interactions = _one(folder, inter or ratings, preferred, "--interactions")
            _check_whole(interactions)
    if items is None:
        lists = [file for file in files if file.suffix == ".jsonl"] or catalogs
        lists = lists or [file for file in files if file.suffix == ".item"]
        lists = lists or [
            file for file in files if file.name in ITEM_NAMES or re.fullmatch("meta_.*[.]json", file.name)
        ]
        items = _one(folder, lists, ITEM_NAMES, "--items")
    return FolderFiles(interactions, items, pictures or _pictures(folder, entries), split)


def is_mmrec(path: Path) -> bool:
    """Return whether a .inter file is in the MMRec layout. RecBole files have typed column names and hold ratings.

    A file without a split column and without types counts as a damaged MMRec file and is not split again.
    """
    header = peek_header(path)
    typed = any(":" in name for name in header)
    return path.suffix == ".inter" and (not typed or "label" in places_of(header, ("label",)))


def _is_catalog(path: Path) -> bool:
    """Return whether a table is a catalog: by its name, or because it has a title column and no user column."""
    places = places_of(peek_header(path), ("user", "title"))
    return path.name in ITEM_NAMES or ("title" in places and "user" not in places)


def _role(file: Path) -> tuple[str, int] | None:
    """Return the name of a published split that a file is part of, and its label; None where it is of none."""
    if file.suffix in SPLIT_SUFFIXES:
        for label, role in _ROLES.items():
            if match := re.fullmatch(rf"(.*[._-])?({role})", file.stem, re.IGNORECASE):
                return match[1] or "", label
    return None


def _check_whole(interactions: Path | None) -> None:
    """Refuse the validation or test file of a published split without its training file: it is not all ratings."""
    role = None if interactions is None else _role(interactions)
    if interactions is not None and role is not None and role[1] != TRAIN:
        raise RobustrecError(
            f"{interactions.name} is part of a published split, and its training file is not there",
            where=str(interactions),
            fix="put the training file beside it; or, where it holds all interactions, give it another name, "
            "for example: ratings.csv",
        )


def unread_files(folder: Path, read: Iterable[Path]) -> list[Path]:
    """Return the files of a folder that look like data and are not among those read, sorted."""
    known = {path.resolve() for path in read} | {(folder / name).resolve() for name in (*MAPPINGS, MANIFEST)}
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in DATA_SUFFIXES
        and not path.name.lower().startswith((".", "readme", "license", "citation"))
        and path.is_file()
        and path.resolve() not in known
    )


def _split(files: list[Path]) -> dict[int, Path]:
    """Return train, validation and test files with a common name, if there is exactly one such set."""
    found: dict[tuple[str, str], dict[int, Path]] = {}
    for file in files:
        if role := _role(file):
            found.setdefault((role[0], file.suffix), {})[role[1]] = file
    whole = [split for split in found.values() if TRAIN in split and TEST in split]
    if len(whole) > 1:
        shown = ", ".join(split[TRAIN].name for split in whole[:5])
        raise RobustrecError(
            f"several published splits could be meant, with the training files {shown}",
            where=str(whole[0][TRAIN].parent),
            fix="leave one split in the folder and move the others away",
        )
    return whole[0] if whole else {}


def plain_name(text: str) -> str:
    """Return a text as a data set name: lower case, other characters replaced by dashes."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_") or "dataset"


def _one(folder: Path, files: list[Path], preferred: tuple[str, ...], option: str) -> Path | None:
    by_name = {file.name: file for file in files}
    for usual in preferred:
        if usual in by_name:
            return by_name[usual]
    if len(files) > 1:
        shown = ", ".join(list(by_name)[:5])
        raise RobustrecError(
            f"several files match: {shown}",
            where=str(folder),
            fix=f"choose one: {option} {shlex.quote(str(files[0]))}",
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
    if any(entry.suffix.lower() in SUFFIXES and entry.is_file() for entry in entries):
        return folder
    holding = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    holding = [entry for entry in holding if any(file.suffix.lower() in SUFFIXES for file in entry.rglob("*"))]
    return folder if len(holding) > 1 else next(iter(holding), None)
