"""`data import`: a folder of somebody's data becomes a data set, checked, whole or not at all."""

from __future__ import annotations

import csv
import io
import re
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from robustrec.datasets.claims import claimed_folder
from robustrec.datasets.feature_files import FEATURE_FILES, check_finite, open_features
from robustrec.datasets.interactions import KEPT, FilterCount, Interactions, read_inter, write_inter
from robustrec.datasets.items import Item, items_text, read_items
from robustrec.datasets.layout import MAPPINGS, Found, find_files
from robustrec.datasets.manifest import (
    MANIFEST,
    NAME_PATTERN,
    Counts,
    Files,
    Filtered,
    Manifest,
    files_of,
    manifest_text,
    read_manifest,
)
from robustrec.datasets.picture_index import index_pictures
from robustrec.datasets.pictures import PictureSource, decode
from robustrec.datasets.ratings import read_ratings
from robustrec.datasets.registry import data_folder, read_interactions
from robustrec.datasets.user_graph import MMREC_USER_GRAPH, USER_GRAPH, read_user_graph, write_user_graph
from robustrec.errors import RobustrecError
from robustrec.files import path_inside, unwritable, write_atomically
from robustrec.progress import Progress, silent

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can say, so that equal pictures give equal files


@dataclass(frozen=True)
class ImportOptions:
    """What an import may be told beside folder and name.

    Attributes:
        interactions: `.inter` or ratings file; None: found in the folder.
        items: catalog, JSON Lines; None: found in the folder.
        pictures: folder or zip; None: found in the folder.
        columns: names of a ratings file's columns, where it has no header.
        k: ratings only: core.
        min_rating: ratings only: rows rated lower are dropped.
        seed: ratings only: of the split.
        skip_unreadable: leave out pictures that cannot be read rather than refuse the import.
        replace: take the place of a data set of that name.
    """

    interactions: Path | None = None
    items: Path | None = None
    pictures: Path | None = None
    columns: tuple[str, ...] | None = None
    k: int = 5
    min_rating: float | None = None
    seed: int = 0
    skip_unreadable: bool = False
    replace: bool = False


class _Sources(NamedTuple):
    """The files to import, and what the folder says about itself if it says anything."""

    folder: Path
    interactions: Path
    items: Path | None
    pictures: Path | None
    features: dict[str, Path]
    user_graph: Path | None
    manifest: Manifest | None


class _Material(NamedTuple):
    """Interactions as read, with the original ids where a ratings file had any."""

    interactions: Interactions
    filters: list[FilterCount]
    user_ids: list[str] | None
    item_ids: list[str] | None


def import_folder(
    source: Path, name: str, home: Path, options: ImportOptions | None = None, *, progress: Progress = silent
) -> Path:
    """Import a folder as the full edition of a data set and return where it lies, HOME/data/NAME.

    Args:
        source: folder in the MMRec layout, or with a ratings file; with or without a catalog and pictures.
        name: name it shall have; that of a sample edition makes it the full edition of that name.
        home: robustrec's own folder.
        options: what else was said.
        progress: told about pictures.

    Raises:
        RobustrecError: the name is taken or not allowed, data are malformed, or the folder cannot be written.
    """
    options = options or ImportOptions()
    if not re.fullmatch(NAME_PATTERN, name):
        raise RobustrecError(
            f"{name!r} cannot be a data set's name",
            where="option --name",
            fix="use lower-case letters, digits, dashes and underscores, beginning with a letter or digit",
        )
    sources = _sources(source, options)
    target = data_folder(home, name)
    with claimed_folder(target, overwrite=options.replace, option="--replace") as stage:
        try:
            _write(stage, name, sources, options, progress)
        except OSError as error:
            raise unwritable(target, error) from error
    return target


def _sources(source: Path, options: ImportOptions) -> _Sources:
    if not source.is_dir():
        raise RobustrecError(
            f"{source} is no folder", where="argument FOLDER", fix="give the folder that holds the data"
        )
    manifest = read_manifest(source) if (source / MANIFEST).is_file() else None
    if manifest is not None and manifest.synthetic:
        raise RobustrecError(
            f"the folder holds the synthetic sample of {manifest.name!r}, no full edition",
            where=str(source / MANIFEST),
            fix=f"use it as it is: --dataset {manifest.name} --edition sample",
        )
    if manifest is not None:
        files = files_of(manifest, source)
        options = replace(
            options,
            interactions=options.interactions or path_inside(source, files.interactions),
            items=options.items or (path_inside(source, files.items) if files.items else None),
            pictures=options.pictures or (path_inside(source, files.pictures) if files.pictures else None),
        )
    for option in ("interactions", "items", "pictures"):
        path = getattr(options, option)
        if path is not None and not path.exists():
            raise RobustrecError(
                f"{path} is not there", where=f"option --{option}", fix="give the path of an existing file"
            )
    found = find_files(source, given=Found(options.interactions, options.items, options.pictures))
    if found.interactions is None:
        raise RobustrecError(
            "no interactions in the folder: neither a .inter file nor a ratings CSV",
            where=str(source),
            fix=f"name the file: robustrec data import {source} --name NAME --interactions FILE",
        )
    names = dict(FEATURE_FILES)
    if manifest is not None:
        files = files_of(manifest, source)
        names = {modality: name for modality, name in (("image", files.image_feat), ("text", files.text_feat)) if name}
    features = {modality: path for modality, name in names.items() if (path := path_inside(source, name)).is_file()}
    return _Sources(
        source, found.interactions, found.items, found.pictures, features, _user_graph(source, manifest), manifest
    )


def _user_graph(source: Path, manifest: Manifest | None) -> Path | None:
    named = files_of(manifest, source).user_graph if manifest else MMREC_USER_GRAPH
    return path_inside(source, named) if named and path_inside(source, named).is_file() else None


def _write(stage: Path, name: str, sources: _Sources, options: ImportOptions, progress: Progress) -> None:
    known = sources.manifest
    material = _interactions(sources, options)
    interactions, filters = material.interactions, list(material.filters)
    if known is not None:
        filters = [*(FilterCount(row.reason, row.rows) for row in known.filters), *filters]
    write_inter(stage / f"{name}.inter", interactions)
    files = {"interactions": f"{name}.inter"}

    rows, unknown = _items(sources.items, material)
    if unknown:
        filters.append(FilterCount("lines of the catalog about items without interactions", unknown))
    if sources.pictures is not None:
        rows, left_out = _copy_pictures(stage, rows, sources.pictures, options.skip_unreadable, progress)
        filters += left_out
        if any(row is not None and row.image for row in rows):
            files["pictures"] = "pictures.zip"
    if any(row is not None for row in rows):
        write_atomically(stage / "items.jsonl", items_text(rows))
        files["items"] = "items.jsonl"

    for modality, path in sources.features.items():
        file = FEATURE_FILES[modality]
        if material.item_ids is not None:
            reason = f"rows of {path.name}: a ratings file does not say which row is which item"
            filters.append(FilterCount(reason, interactions.n_items))
        else:
            check_finite(path, open_features(path, interactions.n_items))
            shutil.copyfile(path, stage / file)
            files[f"{modality}_feat"] = file
    if sources.user_graph is not None:
        if material.item_ids is not None:
            reason = f"{sources.user_graph.name}: a ratings file does not say which user of it is which"
            filters.append(FilterCount(reason, interactions.n_users))
        else:
            write_user_graph(stage / USER_GRAPH, read_user_graph(sources.user_graph, interactions.n_users))
            files["user_graph"] = USER_GRAPH
    _write_mappings(stage, sources.folder, material)
    manifest = Manifest(
        name=name,
        edition="full",
        counts=Counts(users=interactions.n_users, items=interactions.n_items, interactions=len(interactions.users)),
        source=_origin(sources.interactions, material, options),
        files=Files(**files),
        filters=tuple(Filtered(reason=row.reason, rows=row.rows) for row in filters if not row.reason.endswith(KEPT)),
    )
    write_atomically(stage / MANIFEST, manifest_text(manifest))


def _interactions(sources: _Sources, options: ImportOptions) -> _Material:
    path = sources.interactions
    if path.suffix == ".inter":
        described = sources.manifest if options.interactions is None else None
        read = read_interactions(sources.folder, described) if described else read_inter(path)
        return _Material(*read, None, None)
    ratings = read_ratings(path, k=options.k, min_rating=options.min_rating, seed=options.seed, columns=options.columns)
    return _Material(*ratings)


def _items(path: Path | None, material: _Material) -> tuple[list[Item | None], int]:
    n_items = material.interactions.n_items
    originals = material.item_ids
    rows: list[Item | None] = [None] * n_items
    unknown = 0
    if path is not None:
        ids = None if originals is None else {name: row for row, name in enumerate(originals)}
        rows, unknown = read_items(path, n_items, ids=ids)
    if originals is not None:  # the original id finds a picture, and tells a person what item 17 is
        rows = [
            replace(row, external=tuple(dict.fromkeys((name, *row.external))))
            if row
            else Item("", "", (), "", "", (name,))
            for row, name in zip(rows, originals, strict=True)
        ]
    return rows, unknown


def _copy_pictures(
    stage: Path, rows: Sequence[Item | None], pictures: Path, skip_unreadable: bool, progress: Progress
) -> tuple[list[Item | None], list[FilterCount]]:
    """Copy every item's picture into one zip under its item id, each proven to be readable."""
    entries, lost = index_pictures(rows, pictures, guess=True)
    if lost and not any(entries):
        raise RobustrecError(
            f"none of the {lost} pictures the catalog names is there",
            where=str(pictures),
            fix="give the folder or zip the key image refers to: --pictures PATH",
        )
    source = PictureSource(pictures, entries)
    result: list[Item | None] = list(rows)
    unreadable = 0
    with zipfile.ZipFile(stage / "pictures.zip", "w", zipfile.ZIP_STORED) as archive:
        for row, entry in enumerate(entries):
            name = "" if entry is None else f"{row}{PurePosixPath(entry).suffix.lower()}"
            try:
                content = source.read(row)
                if content is not None:
                    decode(content, f"item {row}: {pictures}: {entry}", quick=True)
                    archive.writestr(zipfile.ZipInfo(name, EPOCH), content)
            except RobustrecError:
                if not skip_unreadable:
                    raise
                unreadable, name = unreadable + 1, ""
            item = rows[row]
            if item is not None or name:
                result[row] = replace(item or Item("", "", (), "", "", ()), image=name)
            if row % 100 == 99 or row == len(entries) - 1:
                progress("pictures", row + 1, len(entries))
    counts = {
        "pictures the catalog names that are not there": lost,
        "pictures that cannot be read": unreadable,
    }
    return result, [FilterCount(reason, count) for reason, count in counts.items() if count]


def _write_mappings(stage: Path, source: Path, material: _Material) -> None:
    for file, header, ids in zip(
        MAPPINGS,
        (("user_id", "userID"), ("asin", "itemID")),
        (material.user_ids, material.item_ids),
        strict=True,
    ):
        if ids is not None:
            text = io.StringIO()
            writer = csv.writer(text, delimiter="\t", lineterminator="\n")
            writer.writerow(header)
            writer.writerows((name, row) for row, name in enumerate(ids))
            write_atomically(stage / file, text.getvalue())
        elif (source / file).is_file():
            shutil.copyfile(source / file, stage / file)


def _origin(path: Path, material: _Material, options: ImportOptions) -> str:
    text = f"imported from {path.name}"
    if material.user_ids is not None:
        low = "" if options.min_rating is None else f", ratings of {options.min_rating:g} and more"
        text += f", {options.k}-core{low}, split with seed {options.seed}"
    return text
