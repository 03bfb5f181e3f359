"""What a folder of data holds, without importing it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from robustrec.datasets.catalog import sentence
from robustrec.datasets.cold_start import cold_start
from robustrec.datasets.column_option import column_names
from robustrec.datasets.import_catalog import STORED, import_items, unpack_pictures
from robustrec.datasets.import_options import ImportOptions
from robustrec.datasets.importing import are_rows, interactions_of, recognised, sources_of
from robustrec.datasets.interactions import TEST, Interactions
from robustrec.datasets.picture_index import index_pictures
from robustrec.datasets.split_record import SplitRecord
from robustrec.errors import RobustrecError

FEWEST_TEST_USERS = 200
LEAST_TEST_SHARE = 0.1


class Survey(NamedTuple):
    """What an import of a folder would give.

    Attributes:
        recognised: formats, files and rows in one line.
        interactions: the interactions.
        split: their split.
        options: the options of the import.
        n_texts: items with a text.
        n_titles: items with a title.
        n_pictures: items with a picture, by name.
        features: modalities with a feature file that the import would use.
    """

    recognised: str
    interactions: Interactions
    split: SplitRecord
    options: ImportOptions
    n_texts: int
    n_titles: int
    n_pictures: int
    features: tuple[str, ...]

    @property
    def n_test_users(self) -> int:
        """Number of users with test interactions."""
        return len(set(self.interactions.pairs(TEST)[0].tolist()))

    @property
    def cold_test_users(self) -> int:
        """Number of users with a test item without training interactions."""
        return cold_start(self.interactions).users_of_items


def survey(folder: Path, name: str, options: ImportOptions) -> Survey:
    """Read interactions and catalog of a folder, and choose the split.

    A published split is kept. Data with times are split by one cut, if that leaves at least 200 test users and a tenth
    of all, else by the last two interactions of each user. Other data are split at random.

    Args:
        folder: the folder.
        name: name that the data set would have.
        options: of the import; `split` is chosen here.

    Raises:
        RobustrecError: as an import, apart from pictures, which are not opened.
    """
    sources = sources_of(folder, name, options)
    material = interactions_of(sources, options)
    if material.split.kind == "random" and material.split.first is not None:
        for kind in ("time", "leave-last-two"):
            chosen = replace(options, split=kind)
            try:
                found = interactions_of(sources, chosen)
            except RobustrecError:  # times that cannot be ordered, or a part without interactions
                continue
            n_users = len(set(found.interactions.pairs(TEST)[0].tolist()))
            least = max(FEWEST_TEST_USERS, LEAST_TEST_SHARE * found.interactions.n_users)
            if kind == "leave-last-two" or n_users >= least:
                options, material = chosen, found
                break
    columns = column_names(options.columns)
    with TemporaryDirectory(prefix="robustrec-survey-") as stage:
        stored = unpack_pictures(Path(stage), sources.items, sources.pictures, columns)
        place = Path(stage) / STORED if stored else sources.pictures
        n_items, originals = material.interactions.n_items, material.item_ids
        items = import_items(sources.items, n_items, originals, sources.folder, columns, stored_pictures=stored)
        entries: list[str | None] = []
        if place is not None:
            entries = index_pictures(items.rows, place, guess=True, numbered=originals is None).entries
    return Survey(
        recognised=recognised(sources, material, items.lines),
        interactions=material.interactions,
        split=material.split,
        options=options,
        n_texts=sum(row is not None and bool(sentence(row)) for row in items.rows),
        n_titles=sum(row is not None and bool(row.title) for row in items.rows),
        n_pictures=sum(entry is not None for entry in entries),
        features=tuple(
            modality
            for modality, path in sources.features.items()
            if material.item_ids is None or are_rows(material, path)
        ),
    )
