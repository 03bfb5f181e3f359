"""Item features as files in the MMRec layout, with the item of each row and what made them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robustrec.datasets.feature_files import SUFFIX
from robustrec.datasets.item_numbers import ITEM_MAPPING, read_item_numbers
from robustrec.encoders.features import ItemFeatures
from robustrec.errors import RobustrecError
from robustrec.files import staged_folder

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset

MANIFEST = "encoder.json"


def check_export(folder: Path) -> None:
    """Check, before long work, that a folder for the files does not exist.

    Raises:
        RobustrecError: it exists.
    """
    if folder.exists() or folder.is_symlink():
        raise RobustrecError(
            f"{folder} already exists", where="--export", fix="give the name of a new folder, or remove this one"
        )


def export_features(dataset: Dataset, features: ItemFeatures, folder: Path) -> tuple[str, ...]:
    """Write NAME_feat.npy for each modality, i_id_mapping.csv and encoder.json into a new folder.

    Row i of each file is item i; i_id_mapping.csv has the original id of each item (its number where it has none).

    Args:
        dataset: the data set.
        features: its features.
        folder: the new folder.

    Returns:
        The names of the files.

    Raises:
        RobustrecError: the folder exists or cannot be written.
    """
    check_export(folder)
    numbers = read_item_numbers(dataset.folder) or {}
    ids = {number: name for name, number in numbers.items()}
    manifest = {
        "dataset": {"name": dataset.name, "edition": dataset.edition, "digest": dataset.digest},
        "items": dataset.interactions.n_items,
        "encoder": features.name,
        "widths": {name: table.shape[1] for name, table in features.tables.items()},
        "digest": features.digest,
        "weights": [each._asdict() for each in features.weights],
        "identity": dict(features.identity),
        "notes": list(features.notes),
    }
    with staged_folder(folder) as stage:
        for name, table in features.tables.items():
            np.save(stage / f"{name}{SUFFIX}", table.numpy())
        with (stage / ITEM_MAPPING).open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["asin", "itemID"])
            rows.writerows([ids.get(item, str(item)), item] for item in range(dataset.interactions.n_items))
        (stage / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return tuple(sorted(path.name for path in stage.iterdir()))
