"""Detection of the files in a folder without a manifest, by their usual names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from robustrec.datasets.feature_files import named_features
from robustrec.datasets.formats.compressed import COMPRESSED, data_suffix, plain_path
from robustrec.datasets.formats.folders import (
    CATALOG,
    CATALOG_STEMS,
    INTERACTIONS,
    UNKNOWN,
    Table,
    split_role,
    tables_in,
)
from robustrec.datasets.formats.kinds import LABELS
from robustrec.datasets.formats.kinds import SUFFIXES as READ_SUFFIXES
from robustrec.datasets.interactions import TEST, TRAIN
from robustrec.datasets.item_numbers import MAPPINGS
from robustrec.datasets.manifest import MANIFEST, Files, Manifest, feature_fields, read_manifest
from robustrec.datasets.naming import places_of
from robustrec.datasets.pictures import SUFFIXES
from robustrec.datasets.tables import peek_header
from robustrec.datasets.user_graph import MMREC_USER_GRAPH
from robustrec.errors import RobustrecError

PICTURE_NAMES = ("pictures", "images", "posters", "image", "photos")
RATING_NAMES = ("ratings.csv", "interactions.csv", "ratings.tsv")
RATING_STEMS = ("ratings", "interactions")
TABLE_SUFFIXES = (".csv", ".tsv")
DATA_SUFFIXES = (
    *READ_SUFFIXES, ".data", ".base", *COMPRESSED, ".zip", ".npy", ".npz", ".pt", ".pth", ".pkl", ".pickle", ".h5",
    ".mat",
)  # fmt: skip


class FolderFiles(NamedTuple):
    """Files of interactions, of a catalog, and a folder or zip of pictures; empty or None if not found.

    `split` has the files of a published split by label; it is empty without one. `users` are the files of the table of
    users that the user gave, which is never searched.
    """

    interactions: tuple[Path, ...] = ()
    items: tuple[Path, ...] = ()
    pictures: Path | None = None
    split: Mapping[int, tuple[Path, ...]] = {}
    users: tuple[Path, ...] = ()


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
    if not found.interactions or not is_mmrec(found.interactions[0]):
        raise RobustrecError(
            "the folder has no dataset.toml and no .inter file with userID, itemID and x_label",
            where=str(folder),
            fix=f"import the ratings first: {command}",
        )

    def name(path: Path | None) -> str:
        return "" if path is None else str(path.relative_to(folder))

    features = {modality: path.name for modality, path in named_features(folder).items()}
    files = Files(
        interactions=found.interactions[0].name,
        items=name(next(iter(found.items), None)),
        pictures=name(found.pictures),
        user_graph=MMREC_USER_GRAPH if (folder / MMREC_USER_GRAPH).exists() else "",
        **feature_fields(features),
    )
    return Manifest(name=name_of_folder, files=files), True


def find_files(
    folder: Path,
    given: FolderFiles | None = None,
    *,
    name: str,
    form: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> FolderFiles:
    """Find interactions (a .inter file, else a published split, else ratings), catalog and pictures in a folder.

    Args:
        folder: the folder.
        given: paths given by the user.
        name: name of the data set; its .inter file may have the same name.
        form: name of the format, if the user gave it; interactions in other formats are then not considered.
        columns: column name by kind, where the user gave one.

    Raises:
        RobustrecError: the folder cannot be listed, or several files of one kind, or several formats, are candidates.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise RobustrecError(
            f"cannot list {folder}: {error.strerror or error}",
            where=str(folder),
            fix="give the path of an existing folder",
        ) from error
    interactions, items, pictures, split, users = given or FolderFiles()
    known = {path.resolve() for path in (*interactions, *items, *users)}
    files = [
        entry for entry in entries if entry.is_file() and not entry.name.startswith(".") and entry.name not in MAPPINGS
    ]
    tables = tables_in(folder, files, PICTURE_NAMES, columns)
    tables = [table for table in tables if known.isdisjoint(map(Path.resolve, table.files))]
    if not interactions:
        split, chosen = _interactions(folder, tables, name, form)
        interactions = chosen.files if chosen is not None else ()
        _check_whole(next(iter(interactions), None))
    if not items:
        held = [*interactions, *(path for each in split.values() for path in each)]
        formats = {table.format for table in tables if set(table.files) & set(held)}
        found = _catalog(folder, [table for table in tables if table.role == CATALOG], formats)
        items = found.files if found is not None else ()
    return FolderFiles(interactions, items, pictures or _pictures(folder, entries), split, users)


def _interactions(
    folder: Path, tables: list[Table], name: str, form: str | None
) -> tuple[Mapping[int, tuple[Path, ...]], Table | None]:
    """Return the files of a published split by label, or else the table of interactions, if there is one."""
    if form is not None:
        tables = [table for table in tables if table.format == form]
        if not any(table.role in (INTERACTIONS, UNKNOWN) for table in tables):
            raise RobustrecError(
                f"no interactions in the format {form} ({LABELS[form]}) found",
                where=f"{folder}, option --format",
                fix="omit --format to see what is found, or give the file with --interactions FILE",
            )
    split = _split(tables)
    parts = [path for each in split.values() for path in each]
    whole = [table for table in tables if not set(table.files) & set(parts)]
    inter = [table for table in whole if data_suffix(table.files[0]) == ".inter"]
    if split and not inter:
        return split, None
    if inter:
        return {}, _one(folder, inter, (f"{folder.name}.inter", f"{name}.inter"), "--interactions")
    # A text table without known names may have no header; it counts where nothing else does.
    ratings = [table for table in whole if table.role == INTERACTIONS and table.format != "lightgcn"]
    if not any(table.format != "csv" for table in ratings):
        ratings += [table for table in whole if table.role == UNKNOWN and data_suffix(table.files[0]) != ".txt"]
    usual = next((found for stem in RATING_STEMS if (found := _with_stem(ratings, stem))), ratings)
    _check_formats(folder, usual)
    return {}, _one(folder, usual, RATING_NAMES, "--interactions")


def _with_stem(tables: list[Table], stem: str) -> list[Table]:
    return [table for table in tables if table.stem == stem]


def _check_formats(folder: Path, tables: list[Table]) -> None:
    """Refuse interactions in several formats.

    Raises:
        RobustrecError: there are; the message lists them.
    """
    formats = list(dict.fromkeys(table.format for table in tables))
    if len(formats) > 1:
        found = [
            f"{LABELS[form]}: {', '.join([table.name for table in tables if table.format == form][:5])}"
            for form in formats
        ]
        raise RobustrecError(
            f"interactions in several formats found: {'; '.join(found)}",
            where=str(folder),
            fix=f"choose one ({', '.join(formats)}): --format {formats[0]}",
        )


def _catalog(folder: Path, tables: list[Table], formats: set[str]) -> Table | None:
    """Return the catalog: JSON Lines, else text tables, else others; with named columns, first that of one format."""
    named = formats & {"parquet", "arrow", "huggingface", "movielens", "jsonl"}
    tiers = (
        lambda table: table.format in named,
        lambda table: data_suffix(table.files[0]) in (".jsonl", ".ndjson"),
        lambda table: data_suffix(table.files[0]) in TABLE_SUFFIXES,
        lambda table: data_suffix(table.files[0]) == ".item",
        lambda table: table.role == CATALOG,
    )
    found = next((chosen for tier in tiers if (chosen := [table for table in tables if tier(table)])), [])
    usual = next((chosen for stem in CATALOG_STEMS if (chosen := _with_stem(found, stem))), found)
    names = [f"{stem}{suffix}" for suffix in (".jsonl", ".json", ".csv", ".tsv") for stem in CATALOG_STEMS]
    return _one(folder, usual, tuple(names), "--items")


def files_given(path: Path, option: str) -> tuple[Path, ...]:
    """Return the files of the table that an option names: a file, or a folder with the files of one table.

    Raises:
        RobustrecError: the folder has no table or several.
    """
    if path.is_file():
        return (path,)
    tables = tables_in(path, [entry for entry in sorted(path.iterdir()) if entry.is_file()])
    table = _one(path, tables, (), option)
    if table is None:
        raise RobustrecError(
            f"{path} has no files of a known format", where=f"option {option}", fix="give the path of a file"
        )
    return table.files


def is_mmrec(path: Path) -> bool:
    """Return whether a .inter file is in the MMRec layout. RecBole files have typed column names and hold ratings.

    A file without a split column and without types counts as a damaged MMRec file and is not split again.
    """
    header = peek_header(path)
    typed = any(":" in name for name in header)
    return data_suffix(path) == ".inter" and (not typed or "label" in places_of(header, ("label",)))


def _role(file: Path) -> tuple[str, int] | None:
    """Return the name of a published split that a file is part of, and its label; None where it is of none."""
    return split_role(plain_path(file).stem) if data_suffix(file) in READ_SUFFIXES else None


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
        if (data_suffix(path) in DATA_SUFFIXES or path.suffix.lower() in COMPRESSED)
        and not path.name.lower().startswith((".", "readme", "license", "citation"))
        and path.is_file()
        and path.resolve() not in known
    )


def _split(tables: list[Table]) -> dict[int, tuple[Path, ...]]:
    """Return the files of training, validation and test with a common name, if there is exactly one such set."""
    found: dict[tuple[str, str], dict[int, Table]] = {}
    for table in tables:
        if table.split is not None and table.role in (INTERACTIONS, UNKNOWN, CATALOG):
            found.setdefault((table.base, table.format), {})[table.split] = table
    whole = [split for split in found.values() if TRAIN in split and TEST in split]
    whole = [split for split in whole if not all(table.role == CATALOG for table in split.values())]
    if len(whole) > 1:
        shown = ", ".join(split[TRAIN].name for split in whole[:5])
        raise RobustrecError(
            f"several published splits could be meant, with the training files {shown}",
            where=str(whole[0][TRAIN].files[0].parent),
            fix="leave one split in the folder and move the others away",
        )
    return {label: table.files for label, table in sorted(whole[0].items())} if whole else {}


def plain_name(text: str) -> str:
    """Return a text as a data set name: lower case, other characters replaced by dashes."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_") or "dataset"


def _one(folder: Path, tables: list[Table], preferred: tuple[str, ...], option: str) -> Table | None:
    by_name = {table.name: table for table in tables}
    usual = next((name for name in preferred if name in by_name), None)
    if usual is None:
        _check_one(
            folder,
            [(table.name, table.files[0] if len(table.files) == 1 else table.files[0].parent) for table in tables],
            option,
        )
        return tables[0] if tables else None
    return by_name[usual]


def _check_one(folder: Path, found: list[tuple[str, Path]], option: str) -> None:
    """Refuse several candidates.

    Raises:
        RobustrecError: there are several; the message lists them, by name and path.
    """
    if len(found) > 1:
        raise RobustrecError(
            f"several files match: {', '.join([name for name, _ in found][:5])}",
            where=str(folder),
            fix=f"choose one: {option} {shlex.quote(str(found[0][1]))}",
        )


def _pictures(folder: Path, entries: list[Path]) -> Path | None:
    places = {entry.name: entry for entry in entries}
    for name in PICTURE_NAMES:
        for place in (f"{name}.zip", name):
            if place in places and (place != name or places[place].is_dir()):
                return places[place]
    zips = [entry for entry in entries if entry.suffix == ".zip" and entry.is_file()]
    if zips:
        _check_one(folder, [(path.name, path) for path in zips], "--pictures")
        return zips[0]
    if any(entry.suffix.lower() in SUFFIXES and entry.is_file() for entry in entries):
        return folder
    holding = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    holding = [entry for entry in holding if any(file.suffix.lower() in SUFFIXES for file in entry.rglob("*"))]
    return folder if len(holding) > 1 else next(iter(holding), None)
