"""`robustrec data prepare`: from the files of a public data set to an imported data set, complete or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from robustrec import __version__
from robustrec.datasets.claims import claimed_folder
from robustrec.datasets.conversion import SplitOptions
from robustrec.datasets.interactions import KEPT, FilterCount, write_inter
from robustrec.datasets.item_numbers import MAPPINGS, write_mappings
from robustrec.datasets.items import CatalogItem, items_text
from robustrec.datasets.layout import plain_name
from robustrec.datasets.manifest import (
    MANIFEST,
    NAME_PATTERN,
    Counts,
    Files,
    Filtered,
    Manifest,
    manifest_text,
    read_manifest,
)
from robustrec.datasets.picture_copies import copy_pictures
from robustrec.datasets.prepare import published
from robustrec.datasets.prepare.cnn_features import write_features
from robustrec.datasets.prepare.content import Content, read_content
from robustrec.datasets.prepare.download import Fetcher
from robustrec.datasets.prepare.labels import published_split
from robustrec.datasets.prepare.layouts import RawFiles, find_raw, layout_named
from robustrec.datasets.prepare.options import PrepareOptions
from robustrec.datasets.prepare.picture_store import Fetches, PictureStore
from robustrec.datasets.prepare.ratings import read_core
from robustrec.datasets.prepare.web_pictures import web_pictures
from robustrec.datasets.registry import data_folder
from robustrec.datasets.split_record import SplitRecord
from robustrec.digests import file_stamp
from robustrec.errors import RobustrecError
from robustrec.files import digest_json, unwritable, write_atomically
from robustrec.progress import Progress, silent
from robustrec.untrusted import UnreadableError, regular_file

MOST_RATE = 50
"""Requests per second at most, so as not to burden a server."""


@dataclass(frozen=True)
class Prepared:
    """What was prepared.

    Attributes:
        name: name of the data set.
        folder: its folder.
        counts: counts of the raw files and of the catalog, by what is counted; empty if nothing was to be done.
        warnings: sentences about differences from published counts.
    """

    name: str
    folder: Path
    counts: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def prepare(
    layout: str,
    raw: Path,
    home: Path,
    options: PrepareOptions | None = None,
    *,
    progress: Progress = silent,
    fetcher: Fetches | None = None,
) -> Prepared:
    """Prepare a public data set from its downloaded files as the full edition of a data set, HOME/data/NAME.

    Args:
        layout: name of the layout, a key of `LAYOUTS`.
        raw: folder with the downloaded files.
        home: the robustrec home folder.
        options: further options.
        progress: reports lines and pictures.
        fetcher: fetches pictures from their addresses; None: over http and https.

    Raises:
        RobustrecError: a file is missing or malformed, the name exists or is invalid, or the folder cannot be written.
    """
    options = options or PrepareOptions()
    try:
        return _prepared(layout, raw, home, options, progress, fetcher)
    except RobustrecError as error:
        fix = options.pasteable(error.fix, layout, raw, home)
        raise RobustrecError(error.what, where=error.where, fix=fix) from error


def _prepared(
    layout: str, raw: Path, home: Path, options: PrepareOptions, progress: Progress, fetcher: Fetches | None
) -> Prepared:
    files = find_raw(layout_named(layout), raw, options.category)
    if options.picture_urls:
        _check_links(files, options)
        files = replace(files, pictures=None)
    else:
        files = replace(files, pictures=_given(options.pictures, "--pictures", folder=True) or files.pictures)
    files = replace(files, features=_given(options.cnn_features, "--cnn-features"))
    if files.items is None:
        raise RobustrecError(
            f"the catalog of {layout} is not there: expected {' or '.join(_item_names(files))}",
            where=str(raw),
            fix=f"download it from {files.layout.page} into this folder",
        )
    labels = _given(options.labels, "--labels")
    if labels is not None and (options.split, options.keep) != ("random", "first"):
        raise RobustrecError(
            "--labels gives the split, and --split or --keep ask for another",
            where="options --labels, --split, --keep",
            fix="omit --split and --keep, or omit --labels",
        )
    name = options.name or _usual_name(files)
    if not re.fullmatch(NAME_PATTERN, name):
        raise RobustrecError(
            f"invalid data set name {name!r}",
            where="option --name",
            fix="use letters, digits, dashes and underscores; the first character must be a letter or digit",
        )
    target = data_folder(home, name)
    key = _key(files, labels, options)
    if not options.replace and _key_of(target) == key:
        return Prepared(name, target)
    with claimed_folder(target, overwrite=options.replace, option="--replace") as stage:
        try:
            counts, warnings = _write(stage, name, files, labels, options, key, progress, _Web(home, fetcher))
        except OSError as error:
            raise unwritable(target, error) from error
    return Prepared(name, target, counts, warnings)


class _Web(NamedTuple):
    """What pictures from the web need: the home folder with their store, and who fetches them."""

    home: Path
    given: Fetches | None

    def store(self) -> PictureStore:
        """Return the store of pictures."""
        return PictureStore(self.home / "downloads" / "pictures")

    def fetcher(self, options: PrepareOptions) -> Fetches | None:
        """Return who fetches pictures; None offline."""
        return None if options.offline else self.given or Fetcher()


def _check_links(files: RawFiles, options: PrepareOptions) -> None:
    if options.pictures is not None:
        raise RobustrecError(
            "pictures are either downloaded or in a folder",
            where="options --pictures, --picture-urls",
            fix="give one of the two",
        )
    if not files.layout.links:
        raise RobustrecError(
            f"the metadata of {files.layout.name} have no addresses of pictures",
            where="option --picture-urls",
            fix=f"download the pictures from {files.layout.page} and give them with --pictures FOLDER",
        )
    if not 0 < options.picture_rate <= MOST_RATE:
        raise RobustrecError(
            f"{options.picture_rate:g} requests per second",
            where="option --picture-rate",
            fix=f"give a number above 0 and at most {MOST_RATE}",
        )


def _unfinished(links: int) -> list[str]:
    if not links:
        return []
    return [f"{links:,} pictures could not be downloaded now; prepare again with --replace to try them again"]


def _item_names(files: RawFiles) -> list[str]:
    return [pattern.format(category=files.category) for pattern in files.layout.items]


def _given(path: Path | None, option: str, *, folder: bool = False) -> Path | None:
    if path is None or (folder and path.is_dir()):
        return path
    try:
        regular_file(path)
    except UnreadableError as error:
        raise RobustrecError(
            f"cannot read {path}: {error}", where=f"option {option}", fix="give the path of an existing file"
        ) from error
    return path


def _usual_name(files: RawFiles) -> str:
    usual = published.NAMES.get((files.layout.name, files.category))
    if usual is not None:
        return usual
    if files.layout.name == "microlens":
        return plain_name(f"microlens-{files.category}")
    return plain_name(files.category or files.layout.name)


def _key(files: RawFiles, labels: Path | None, options: PrepareOptions) -> str:
    """Return a digest of the preparation: options, and path, size and times of each file."""
    paths = [files.ratings, files.items, files.features, labels]
    if labels is not None:
        paths += [path for each in MAPPINGS if (path := labels.parent / each).is_file()]
    if files.pictures is not None:
        inside = sorted(files.pictures.rglob("*")) if files.pictures.is_dir() else [files.pictures]
        paths += [path for path in inside if path.is_file()]
    how = [__version__, files.layout.name, files.category, options.k, options.split, options.keep]
    how += [options.seed, options.skip_unreadable, options.picture_urls]
    return digest_json([how, [file_stamp(path.resolve()) for path in paths if path is not None]])


def _key_of(target: Path) -> str | None:
    try:
        return read_manifest(target).imported
    except RobustrecError:
        return None


def _write(
    stage: Path,
    name: str,
    files: RawFiles,
    labels: Path | None,
    options: PrepareOptions,
    key: str,
    progress: Progress,
    web: _Web,
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Write a data set into a folder; return counts of the raw files and the catalog, and warnings."""
    if labels is None:
        core = read_core(files, k=options.k, how=SplitOptions(kind=options.split, keep=options.keep, seed=options.seed))
    else:
        core = published_split(labels, files, k=options.k)
    interactions = core.interactions
    write_inter(stage / f"{name}.inter", interactions)
    written = {"interactions": f"{name}.inter"}
    content = read_content(files, core.item_ids, progress)
    filters = [*core.filters, *content.left_out]
    rows = content.rows
    unfinished = 0
    if options.picture_urls:
        pictures = web_pictures(
            stage, content, core.item_ids, web.store(), web.fetcher(options), options.picture_rate, progress
        )
        rows, unfinished = pictures.rows, pictures.unfinished
        filters += pictures.left_out
        content.counts.update(pictures.counts)
    elif files.pictures is not None:
        rows, left_out = _copied(stage, files.pictures, content, options, progress)
        filters += left_out
    if any(row is not None and row.image for row in rows):
        written["pictures"] = "pictures.zip"
    write_atomically(stage / "items.jsonl", items_text(rows))
    written["items"] = "items.jsonl"
    if files.features is not None:
        filters += write_features(stage / "image_feat.npy", files.features, core.item_ids, progress)
        written["image_feat"] = "image_feat.npy"
    write_mappings(stage, stage, core.user_ids, core.item_ids)
    found = {
        published.RAW_ROWS: sum(core.lines),
        published.RAW_ITEMS: content.lines,
        published.USERS: interactions.n_users,
        published.ITEMS: interactions.n_items,
        published.INTERACTIONS: len(interactions.users),
    }
    read = tuple(path.name for path in (files.ratings, files.items) if path is not None)
    warnings = _unfinished(unfinished) + published.differences(
        files.layout.name, files.category, found, files=read, k=options.k
    )
    manifest = Manifest(
        name=name,
        edition="full",
        counts=Counts(users=interactions.n_users, items=interactions.n_items, interactions=len(interactions.users)),
        source=_origin(files, labels, core.split, options, warnings),
        imported="" if unfinished else key,
        files=Files(**written),
        filters=tuple(Filtered(reason=row.reason, rows=row.rows) for row in filters if not row.reason.endswith(KEPT)),
        split=core.split,
        cold_users=interactions.cold_users,
    )
    write_atomically(stage / MANIFEST, manifest_text(manifest))
    return {**found, **content.counts}, tuple(warnings)


def _copied(
    stage: Path, pictures: Path, content: Content, options: PrepareOptions, progress: Progress
) -> tuple[list[CatalogItem | None], list[FilterCount]]:
    """Copy the pictures of items, named as in their addresses or by item id."""
    rows = [
        None if row is None else replace(row, image=address)
        for row, address in zip(content.rows, content.addresses, strict=True)
    ]
    return copy_pictures(
        stage, rows, pictures, skip_unreadable=options.skip_unreadable, numbered=False, progress=progress
    )


def _origin(
    files: RawFiles, labels: Path | None, split: SplitRecord, options: PrepareOptions, warnings: Sequence[str]
) -> str:
    names = ", ".join(path.name for path in (files.ratings, files.items, files.features) if path is not None)
    how = f"{options.k}-core, split {split.words}" if labels is None else f"split as given by {labels.name}"
    differing = "".join(f"; {warning}" for warning in warnings)
    return f"prepared from {names} ({files.layout.name}), {how}{differing}"
