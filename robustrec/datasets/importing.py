"""`robustrec data import`: check a folder of user data and store it as a data set, complete or not at all."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from robustrec.datasets.claims import claimed_folder
from robustrec.datasets.column_option import column_names
from robustrec.datasets.feature_files import (
    check_finite,
    feature_file,
    map_features,
    named_features,
    not_read,
    open_features,
)
from robustrec.datasets.formats.kinds import LABELS
from robustrec.datasets.import_catalog import import_items, import_pictures, unpack_pictures
from robustrec.datasets.import_key import import_key, import_key_of
from robustrec.datasets.import_options import ImportOptions as ImportOptions
from robustrec.datasets.import_sources import Sources
from robustrec.datasets.interactions import COLUMNS, KEPT, LABEL_NAMES, FilterCount, Interactions, write_inter
from robustrec.datasets.item_numbers import write_mappings
from robustrec.datasets.items import items_text
from robustrec.datasets.layout import FolderFiles, files_given, find_files, is_mmrec, unread_files
from robustrec.datasets.manifest import (
    MANIFEST,
    NAME_PATTERN,
    Counts,
    Files,
    Filtered,
    Manifest,
    feature_fields,
    files_of,
    manifest_text,
    read_manifest,
)
from robustrec.datasets.prepare.layouts import refuse_published
from robustrec.datasets.ratings import read_published_split, read_ratings, read_split_anew
from robustrec.datasets.recognised import recognised_line, with_format
from robustrec.datasets.registry import data_folder, dataset_names, read_inter_of_all_items, read_interactions
from robustrec.datasets.split_record import SplitRecord
from robustrec.datasets.user_columns import (
    USER_COLUMNS,
    UserTable,
    chosen_columns,
    import_user_columns,
    read_user_columns,
    write_user_columns,
)
from robustrec.datasets.user_graph import MMREC_USER_GRAPH, USER_GRAPH, read_user_graph, write_user_graph
from robustrec.errors import RobustrecError
from robustrec.files import path_inside, unwritable, write_atomically
from robustrec.progress import Progress, silent

KINDS = frozenset(("user", "item", "rating", "timestamp", "label"))


class Material(NamedTuple):
    """Interactions, with the original ids of a ratings file."""

    interactions: Interactions
    filters: list[FilterCount]
    user_ids: list[str] | None
    item_ids: list[str] | None
    split: SplitRecord
    lines: tuple[int, ...] = ()


def import_folder(
    source: Path,
    name: str,
    home: Path,
    options: ImportOptions | None = None,
    *,
    progress: Progress = silent,
    archive: Path | None = None,
) -> Path:
    """Import a folder as the full edition of a data set and return its location, HOME/data/NAME.

    Args:
        source: folder in the MMRec layout, or with a ratings file; with or without a catalog and pictures.
        name: name of the data set; the name of a sample edition is allowed.
        home: the robustrec home folder.
        options: further options.
        progress: reports the number of pictures.
        archive: what the folder was unpacked from, if it was.

    Raises:
        RobustrecError: the name exists or is invalid, data are malformed, or the folder cannot be written.
    """
    options = options or ImportOptions()
    if not re.fullmatch(NAME_PATTERN, name):
        raise RobustrecError(
            f"invalid data set name {name!r}",
            where="option --name",
            fix="use letters, digits, dashes and underscores; the first character must be a letter or digit",
        )
    # One folder where file systems ignore case; and "Baby" would hide that "baby" is another data set.
    known = next((each for each in dataset_names(home) if each.lower() == name.lower() and each != name), None)
    if known is not None:
        raise RobustrecError(
            f"data set name {name!r} differs from {known!r} only in upper/lower case",
            where="option --name",
            fix=f"use another name, or --name {known}",
        )
    target = data_folder(home, name)
    sources: Sources | None = None
    try:
        sources = sources_of(source, name, options)._replace(archive=archive)
        key = import_key(sources, options)
        if not options.replace and import_key_of(target) == key:
            return target  # by a process that was killed before it could say so
        with claimed_folder(target, overwrite=options.replace, option="--replace") as stage:
            try:
                _write(stage, name, sources, options, key, progress)
            except OSError as error:
                raise unwritable(target, error) from error
    except RobustrecError as error:
        fix = options.pasteable(error.fix, source, name, home)
        where = error.where if sources is None else with_format(error.where, (*sources.interactions, *sources.items))
        raise RobustrecError(error.what, where=where, fix=fix) from error
    return target


def sources_of(source: Path, name: str, options: ImportOptions) -> Sources:
    """Return the files of a folder, or of a file alone.

    Raises:
        RobustrecError: there are no interactions, several files of one kind are candidates, or a path is wrong.
    """
    alone = source.is_file()
    if not (alone or source.is_dir()):
        raise RobustrecError(
            f"{source} is not a directory or a file", where="argument PATH", fix="give the folder or file with the data"
        )
    if alone:  # of a folder, the rest is not looked at
        source, options = source.parent, replace(options, interactions=options.interactions or source)
    options = options.resolved(source)
    manifest = read_manifest(source) if (source / MANIFEST).exists() and not alone else None
    if manifest is None and options.interactions is None and options.items is None:
        refuse_published(source)
    if manifest is not None and manifest.synthetic:
        raise RobustrecError(
            f"the folder is the synthetic sample edition of {manifest.name!r} and cannot be imported",
            where=str(source / MANIFEST),
            fix=f"use it without an import: --dataset {manifest.name} --edition sample",
        )
    if manifest is not None:
        files = files_of(manifest, source)
        options = replace(
            options,
            interactions=options.interactions or path_inside(source, files.interactions),
            items=options.items or (path_inside(source, files.items) if files.items else None),
            pictures=options.pictures or (path_inside(source, files.pictures) if files.pictures else None),
        )
    interactions, items, users = (
        () if path is None else files_given(path, f"--{option}") for option, path in _tables(options)
    )
    stored = _stored_users(source, manifest)
    found = FolderFiles(interactions, items, options.pictures, users=users or ((stored,) if stored else ()))
    if not alone:
        columns = column_names(options.columns)
        found = find_files(source, given=found, name=name, form=options.format, columns=columns)
    if not found.interactions and not found.split:
        raise RobustrecError(
            f"no interactions found in the folder: expected one of {', '.join(LABELS.values())}",
            where=str(source),
            fix="add the file to the folder, or give it with --interactions FILE",
        )
    if manifest is None:
        features = {} if alone else named_features(source)
    else:
        names = files_of(manifest, source).feature_files
        features = {name: path for name, file in names.items() if (path := path_inside(source, file)).exists()}
    interactions = found.interactions or tuple(path for files in found.split.values() for path in files)
    others, user_graph = not_read(source, features.values()), _user_graph(source, manifest)
    if alone:
        others, user_graph = [], None
    paths = [path for path, _ in others]
    read = (*interactions, *found.items, found.pictures, *features.values(), *paths, user_graph, *users)
    unread = unread_files(source, filter(None, read)) if manifest is None and not alone else []
    return Sources(
        source,
        interactions,
        found.split,
        found.items,
        found.pictures,
        features,
        tuple(others),
        tuple(unread),
        user_graph,
        manifest,
        users=users,
    )


def _tables(options: ImportOptions) -> list[tuple[str, Path | None]]:
    return [
        ("interactions", options.interactions),
        ("items", options.items),
        ("user-table", options.user_table),
    ]


def _user_graph(source: Path, manifest: Manifest | None) -> Path | None:
    named = files_of(manifest, source).user_graph if manifest else MMREC_USER_GRAPH
    return path_inside(source, named) if named and path_inside(source, named).is_file() else None


def _write(stage: Path, name: str, sources: Sources, options: ImportOptions, key: str, progress: Progress) -> None:
    known = sources.manifest
    material = interactions_of(sources, options)
    interactions, filters = material.interactions, list(material.filters)
    if known is not None:
        filters = [*(FilterCount(row.reason, row.rows) for row in known.filters), *filters]
    write_inter(stage / f"{name}.inter", interactions)
    files = {"interactions": f"{name}.inter"}

    columns, items = column_names(options.columns), sources.items
    stored = unpack_pictures(stage, items, sources.pictures, columns)
    found = import_items(
        items, interactions.n_items, material.item_ids, sources.folder, columns, stored_pictures=stored
    )
    rows, left_out = import_pictures(
        stage,
        items,
        found.rows,
        sources.pictures,
        skip_unreadable=options.skip_unreadable,
        numbered=material.item_ids is None,
        progress=progress,
    )
    filters += [*found.filters, *left_out]
    if (stage / "pictures.zip").exists() and any(row is not None and row.image for row in rows):
        files["pictures"] = "pictures.zip"
    if any(row is not None for row in rows):
        write_atomically(stage / "items.jsonl", items_text(rows))
        files["items"] = "items.jsonl"

    features = {}
    for modality, path in sources.features.items():
        if material.item_ids is not None and not are_rows(material, path):
            reason = f"rows of {path.name} that were ignored: the item of each row is unknown for a ratings file"
            filters.append(FilterCount(reason, interactions.n_items))
        else:
            if material.item_ids is not None:
                reason = f"rows of {path.name} taken by item id, since the item ids are 0 to {interactions.n_items - 1}"
                filters.append(FilterCount(reason, interactions.n_items))
            check_finite(path, open_features(path, interactions.n_items))
            features[modality] = feature_file(modality)
            shutil.copyfile(path, stage / features[modality])
    filters += [FilterCount(reason, 1) for _, reason in sources.not_read]
    if sources.unread:
        shown = ", ".join(path.name for path in sources.unread[:8]) + (", ..." if len(sources.unread) > 8 else "")
        filters.append(FilterCount(f"files that are not read: {shown}", len(sources.unread)))
    if sources.user_graph is not None:
        if material.item_ids is not None:
            reason = f"{sources.user_graph.name} was ignored: its users cannot be matched to a ratings file"
            filters.append(FilterCount(reason, interactions.n_users))
        else:
            write_user_graph(stage / USER_GRAPH, read_user_graph(sources.user_graph, interactions.n_users))
            files["user_graph"] = USER_GRAPH
    write_mappings(stage, sources.folder, material.user_ids, material.item_ids)
    users = _users(sources, options, material)
    if users.columns:
        write_user_columns(stage, users.columns)
        files["users"], filters = USER_COLUMNS, [*filters, *users.filters]
    manifest = Manifest(
        name=name,
        edition="full",
        counts=Counts(users=interactions.n_users, items=interactions.n_items, interactions=len(interactions.users)),
        source=_origin(sources, material, options),
        recognised=recognised(sources, material, found.lines),
        imported=key,
        files=Files(**files, **feature_fields(features)),
        filters=tuple(Filtered(reason=row.reason, rows=row.rows) for row in filters if not row.reason.endswith(KEPT)),
        split=material.split,
        cold_users=interactions.cold_users,
    )
    write_atomically(stage / MANIFEST, manifest_text(manifest))


def _users(sources: Sources, options: ImportOptions, material: Material) -> UserTable:
    """Return the columns of the users: those of a table, else those of a data set that is imported again."""
    n_users = material.interactions.n_users
    if sources.users:
        named, chosen = (column_names(options.columns) or {}).get("user"), chosen_columns(options.user_columns or ())
        return import_user_columns(sources.users, chosen, n_users, material.user_ids, sources.folder, named)
    stored = _stored_users(sources.folder, sources.manifest) if material.user_ids is None else None
    return UserTable(read_user_columns(stored, n_users), [])


def _stored_users(source: Path, manifest: Manifest | None) -> Path | None:
    """Return the columns of the users of a data set that is imported again."""
    stored = files_of(manifest, source).users if manifest is not None else ""
    return path_inside(source, stored) if stored else None


def are_rows(material: Material, features: Path) -> bool:
    """Tell whether the ids of the items are the numbers of the rows of a feature file: 0 to I - 1."""
    ids = material.item_ids or []
    return ids == [str(row) for row in range(len(ids))] and map_features(features).shape[:1] == (len(ids),)


def interactions_of(sources: Sources, options: ImportOptions) -> Material:
    """Return the interactions of an import, filtered and split.

    Raises:
        RobustrecError: they are malformed, or cannot be split as the options say.
    """
    how, lowest, columns = options.how, options.min_rating, options.columns
    how.check()
    if sources.split:
        return Material(*read_published_split(sources.split, min_rating=lowest, columns=columns, how=how, k=options.k))
    path = sources.interactions[0]
    # Names of the catalog's columns alone leave the interactions as they are.
    named = columns is not None and not KINDS.isdisjoint(column_names(columns) or KINDS)
    if named or options.format not in (None, "mmrec") or not is_mmrec(path):
        ratings = read_ratings(
            sources.interactions, k=options.k, min_rating=lowest, columns=columns, how=how, form=options.format
        )
        return Material(*ratings)
    described = sources.manifest if options.interactions is None else None
    if described is not None and described.counts is not None:
        found = read_interactions(sources.folder, described)
    else:
        found = read_inter_of_all_items(path, sources.items, sources.features.values())
    known = described.split if described else None
    if how.kind in (None, "published"):
        published = known or SplitRecord(kind="published", source=f"column {COLUMNS[2]}")
        return Material(*found, None, None, published)
    return Material(*read_split_anew(path, found[0], how, min_rating=lowest))


def recognised(sources: Sources, material: Material, lines: int) -> str:
    """Return what was recognised, in one line: format, files and number of rows."""
    counts = material.lines
    if not counts:  # of a file in the MMRec layout
        dropped = sum(row.rows for row in material.filters if not row.reason.endswith(KEPT))
        counts = (len(material.interactions.users) + dropped,)
    tables = list(sources.split.values()) or [sources.interactions]
    of_file = dict(zip(sources.interactions, counts, strict=True))
    parts = [(files, sum(of_file[path] for path in files)) for files in tables]
    return recognised_line([*parts, *([(sources.items, lines)] if sources.items else [])])


def _origin(sources: Sources, material: Material, options: ImportOptions) -> str:
    if sources.manifest is not None and sources.manifest.source and not sources.manifest.imported:
        return sources.manifest.source  # of a folder that says itself where its data come from
    text = f"imported from {', '.join(path.name for path in sources.interactions)}"
    text += f" in {sources.archive.name}" if sources.archive is not None else ""
    low = "" if options.min_rating is None else f", ratings of at least {options.min_rating:g}"
    split = material.split
    if split.kind != "published":
        core = f", {options.k}-core" if material.user_ids is not None else ""
        return f"{text}{core}{low}, split {split.words}"
    if sources.split:
        names = " and ".join(LABEL_NAMES[label] for label in sorted(sources.split))
        return f"{text}{low}, split into {names} as given by the files"
    return f"{text}{low}, split as given by the rows" if material.user_ids is not None else text
