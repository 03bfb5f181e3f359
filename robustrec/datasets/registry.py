"""Data sets by name or path: imported data sets, sample editions, and folders that were not imported."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from robustrec.config import home_words
from robustrec.datasets.catalog import Catalog, build_catalog
from robustrec.datasets.checksums import CHECKSUMS, check_unchanged, write_checksums
from robustrec.datasets.content import content_digest
from robustrec.datasets.feature_files import map_features, not_read, open_features, zero_rows
from robustrec.datasets.interactions import COLUMNS, KEPT, FilterCount, Interactions, read_inter
from robustrec.datasets.item_numbers import read_item_numbers
from robustrec.datasets.items import ABOUT_OTHERS, CatalogItem, read_items
from robustrec.datasets.layout import describe_folder
from robustrec.datasets.manifest import MANIFEST, NAME_PATTERN, Manifest, files_of
from robustrec.datasets.split_record import NO_COLD_USERS, SplitRecord
from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import path_inside, remove_leftovers, staged_folder, unwritable
from robustrec.in_use import mark_used
from robustrec.progress import Progress, silent

EDITIONS = ("auto", "full", "sample")
MAX_ITEMS_PER_CHOSEN = 10  # beyond it, a catalog or features are of another data set
BUILD_SECONDS = 600  # how long to wait for another process that builds the same sample


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set ready for use.

    Attributes:
        name: its name.
        edition: "full" or "sample".
        interactions: (user, item) pairs by split.
        catalog: texts and pictures; None without both.
        clean_catalog: sample editions only: the catalog without merchant noise.
        feature_files: .npy file by modality, in the order of modalities, checked: finite, one row per item.
        filters: counts of dropped rows at import and at reading, with the reasons.
        digest: sha256 over interactions, texts, picture bytes, feature files and user graph.
        folder: folder of the data set.
        synthetic: True for sample editions, which have no real users.
        user_graph: user graph file, checked; None if it is computed from the interactions.
        split: how the interactions were split; None if the import did not record it.
        user_columns: file with the columns of the users; None without.
    """

    name: str
    edition: str
    interactions: Interactions
    catalog: Catalog | None
    clean_catalog: Catalog | None
    feature_files: dict[str, Path]
    filters: tuple[FilterCount, ...]
    digest: str
    folder: Path
    synthetic: bool
    user_graph: Path | None = None
    split: SplitRecord | None = None
    user_columns: Path | None = None

    def import_command(self, options: str) -> str:
        """Return the command that imports the data set again, with other options.

        Args:
            options: as they are written, with values in capitals that the user replaces.
        """
        at = home_words(self.folder.parent.parent) if self.folder.parent.name == "data" else []
        return f"robustrec data import PATH {shlex.join(['--name', self.name, *at])} {options} --replace"


def data_folder(home: Path, name: str) -> Path:
    """Return the folder of an imported data set."""
    return home / "data" / name


def dataset_names(home: Path) -> list[str]:
    """Return the names of imported data sets and of those with a sample edition, sorted."""
    from robustrec.datasets.shop import SHOPS

    return sorted({*SHOPS, *imported_names(home)})


def imported_names(home: Path) -> list[str]:
    """Return the names of imported data sets, sorted."""
    try:
        folders = list((home / "data").iterdir())
    except OSError:
        return []
    return sorted(
        place.name for place in folders if re.fullmatch(NAME_PATTERN, place.name) and (place / MANIFEST).is_file()
    )


def load_dataset(name_or_path: str, *, home: Path, edition: str = "auto", progress: Progress = silent) -> Dataset:
    """Load a data set; create its sample edition if needed.

    Args:
        name_or_path: a name in `robustrec data list`, or a folder with a dataset.toml or in the MMRec layout.
        home: the robustrec home folder.
        edition: "full", "sample", or "auto": full if imported, else sample.
        progress: reports the creation of a sample edition.

    Raises:
        RobustrecError: the name or edition is unknown, the edition does not exist, or the data are malformed.
    """
    if edition not in EDITIONS:
        raise unknown_name("edition", edition, EDITIONS, where="option --edition")
    return load_folder(locate(name_or_path, home=home, edition=edition, progress=progress), home=home)


def locate(name_or_path: str, *, home: Path, edition: str = "auto", progress: Progress = silent) -> Path:
    """Return the folder of a data set; create its sample edition if needed.

    Raises:
        RobustrecError: as `load_dataset`, but without reading the data.
    """
    from robustrec.datasets.shop import SHOPS

    full = data_folder(home, name_or_path) if re.fullmatch(NAME_PATTERN, name_or_path) else None
    if full is not None and edition != "sample" and (full / MANIFEST).is_file():
        return full
    if name_or_path in SHOPS:
        if edition == "full":
            raise RobustrecError(
                f"the full edition of {name_or_path!r} is not imported; only its synthetic sample edition is available",
                where="option --edition (or require_edition of the suite): full",
                fix=f"robustrec data import FOLDER --name {name_or_path}",
            )
        return sample_folder(name_or_path, home, progress)
    if full is not None and (full / MANIFEST).is_file():
        raise RobustrecError(
            f"{name_or_path!r} has no sample edition; sample editions exist for {', '.join(SHOPS)}",
            where="option --edition: sample",
            fix=f"--edition full, or --dataset {SHOPS[0]} --edition sample",
        )
    return _located_path(name_or_path, home, edition)


def sample_folder(name: str, home: Path, progress: Progress = silent) -> Path:
    """Return the folder of a sample edition; create it if it does not exist.

    Raises:
        RobustrecError: the folder cannot be written.
    """
    folder = sample_path(name, home)
    if (folder / CHECKSUMS).is_file():
        mark_used(folder)
        return folder
    from filelock import FileLock, Timeout

    from robustrec.datasets.shop import build_shop

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Two processes at once: the second waits and finds the folder whole.
        with FileLock(folder.parent / f".{folder.name}.lock", timeout=BUILD_SECONDS):
            if not (folder / CHECKSUMS).is_file():
                shutil.rmtree(folder, ignore_errors=True)  # of a version that wrote no checksums
                remove_leftovers(folder.parent)
                with staged_folder(folder) as stage:
                    build_shop(name, stage, progress)
                    write_checksums(stage)
    except Timeout as error:
        raise RobustrecError(
            f"another process has been creating the sample edition of {name!r} for {BUILD_SECONDS} s",
            where=str(folder),
            fix=f"stop this process, then: rm {folder.parent / f'.{folder.name}.lock'}",
        ) from error
    except OSError as error:
        raise unwritable(folder, error) from error
    mark_used(folder)
    return folder


def sample_path(name: str, home: Path) -> Path:
    """Return the folder of a sample edition for this version of the shop."""
    from robustrec.datasets.shop import shop_digest

    return home / "samples" / f"{name}-{shop_digest()[:12]}"


def load_folder(folder: Path, *, home: Path) -> Dataset:
    """Load a data set from a folder with a dataset.toml, or from a folder in the MMRec layout.

    Raises:
        RobustrecError: a file is missing or malformed, or row counts do not match.
    """
    check_unchanged(folder, home / "digests")
    manifest, bare = describe_folder(folder)
    files = files_of(manifest, folder)
    features = {modality: path_inside(folder, name) for modality, name in files.feature_files.items()}
    items = path_inside(folder, files.items) if files.items else None
    interactions, found = read_interactions(folder, manifest, items=items, features=features.values())
    if manifest.cold_users != NO_COLD_USERS:
        interactions = replace(interactions, cold_users=manifest.cold_users)
    catalog, gaps = _catalog(folder, files.items, files.pictures, interactions.n_items, bare=bare)
    clean, _ = _catalog(folder, files.clean_items, files.clean_pictures, interactions.n_items, bare=False)
    for path in features.values():
        zeros = zero_rows(open_features(path, interactions.n_items))
        if zeros:
            gaps.append(FilterCount(f"items with all-zero features in {path.name}{KEPT}", zeros))
    if bare:
        gaps += [FilterCount(reason, 1) for _, reason in not_read(folder, features.values())]
    user_graph = path_inside(folder, files.user_graph) if files.user_graph else None
    digest = content_digest(
        interactions, catalog, features, user_graph=user_graph, cache=home / "digests", folder=folder
    )
    return Dataset(
        name=manifest.name,
        edition=manifest.edition,
        interactions=interactions,
        catalog=catalog,
        clean_catalog=clean,
        feature_files=features,
        filters=(*(FilterCount(row.reason, row.rows) for row in manifest.filters), *found, *gaps),
        digest=digest,
        folder=folder,
        synthetic=manifest.synthetic,
        user_graph=user_graph,
        split=_split(manifest, bare=bare),
        user_columns=path_inside(folder, files.users) if files.users else None,
    )


def _split(manifest: Manifest, *, bare: bool) -> SplitRecord | None:
    if manifest.synthetic:
        return SplitRecord(kind="random")
    return SplitRecord(kind="published", source=f"column {COLUMNS[2]}") if bare else manifest.split


def read_inter_of_all_items(
    interactions: Path, items: Sequence[Path], features: Iterable[Path], *, canonical: bool = True
) -> tuple[Interactions, list[FilterCount]]:
    """Read interactions; the catalog or feature files may have items without interactions.

    Raises:
        RobustrecError: the interactions or the catalog are malformed, or most items have no interactions, so that the
            files do not belong to the same data set.
    """
    read = read_inter(interactions, canonical=canonical)
    chosen = read[0].n_items
    rows = read_items(items, None, numbers=read_item_numbers(interactions.parent)).rows if items else []
    known = len(rows)
    if known == chosen + 1 and rows[0] is None and all(rows[1:]):
        raise RobustrecError(
            f"the catalog numbers its items from 1 to {chosen}, the interactions from 0 to {chosen - 1}",
            where=", ".join(map(str, items)),
            fix="write the itemID of the interactions into the catalog",
        )
    for path in features:
        with suppress(RobustrecError):  # reported where the features are read
            known = max((known, *map_features(path).shape[:1]))
    if known <= chosen:
        return read
    if known > MAX_ITEMS_PER_CHOSEN * chosen:
        raise RobustrecError(
            f"the catalog or the feature files have {known} items, but the interactions have {chosen}",
            where=str(interactions),
            fix="use interactions, catalog and features of the same data set: row i must be item i",
        )
    return read_inter(interactions, n_items=known, canonical=canonical)


def read_interactions(
    folder: Path, manifest: Manifest, *, items: Path | None = None, features: Iterable[Path] = ()
) -> tuple[Interactions, list[FilterCount]]:
    """Read the interactions of a folder and check them against the counts of its manifest.

    Args:
        folder: the folder.
        manifest: manifest of the folder.
        items: catalog, and
        features: feature files, which may know more items where the manifest counts none.

    Raises:
        RobustrecError: they are malformed, or the number of rows differs from the manifest.
    """
    path = path_inside(folder, files_of(manifest, folder).interactions)
    counts = manifest.counts
    # A sample edition is in the order of time, the same bytes everywhere, and trainings have followed that order.
    canonical = not manifest.synthetic
    if counts is None:
        return read_inter_of_all_items(path, [items] if items is not None else [], features, canonical=canonical)
    interactions, filters = read_inter(path, n_items=counts.items, n_users=counts.users, canonical=canonical)
    rows = len(interactions.users) + sum(row.rows for row in filters if not row.reason.endswith(KEPT))
    if rows != counts.interactions:
        raise RobustrecError(
            f"expected {counts.interactions} rows as in {MANIFEST}, but got {rows}; the file was truncated or changed",
            where=str(path),
            fix=f"import it again: robustrec data import FOLDER --name {manifest.name} --replace"
            if not manifest.synthetic
            else f"remove the sample; it is created again at the next use: rm -r {shlex.quote(str(folder))}",
        )
    return interactions, filters


def _catalog(
    folder: Path, items: str, pictures: str, n_items: int, *, bare: bool
) -> tuple[Catalog | None, list[FilterCount]]:
    if not items and not pictures:
        return None, []
    numbers = read_item_numbers(folder) if items else None
    table = read_items(path_inside(folder, items), n_items, numbers=numbers, stored=True) if items else None
    rows: list[CatalogItem | None] = table.rows if table else [None] * n_items
    catalog, index = build_catalog(rows, path_inside(folder, pictures) if pictures else None, guess=bare)
    if numbers:
        names = {number: name for name, number in numbers.items()}
        catalog = replace(catalog, ids=tuple(names.get(row, "") for row in range(n_items)))
    untitled = sum(row is not None and not row.title for row in rows) if catalog.n_texts else 0
    gaps = {
        ABOUT_OTHERS: table.unknown if table else 0,
        f"items that are missing in the catalog{KEPT}": sum(row is None for row in rows) if table else 0,
        f"items without a title in the catalog{KEPT}": untitled,
        f"items with a named picture that is not found{KEPT}": index.lost,
        "additional pictures of items that have one": index.further,
        "pictures that match no item": index.unused,
        f"items with a picture of that name in another folder than the catalog names{KEPT}": index.elsewhere,
    }
    return catalog, [FilterCount(reason, count) for reason, count in gaps.items() if count]


def _located_path(name_or_path: str, home: Path, edition: str) -> Path:
    folder = Path(name_or_path).expanduser()
    if not folder.is_dir():
        if re.fullmatch(NAME_PATTERN, name_or_path):
            raise unknown_name("dataset", name_or_path, dataset_names(home), where="name of the data set (--dataset)")
        raise RobustrecError(
            f"{name_or_path!r} is not a directory",
            where="name of the data set (--dataset)",
            fix=f"give a folder, or one of: {', '.join(dataset_names(home))}",
        )
    manifest: Manifest = describe_folder(folder)[0]
    if edition not in ("auto", manifest.edition):
        raise RobustrecError(
            f"the folder has the {manifest.edition} edition",
            where=f"{folder}, option --edition: {edition}",
            fix=f"--edition {manifest.edition}",
        )
    return folder
