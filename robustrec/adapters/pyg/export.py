"""A data set as PyG's `HeteroData`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from robustrec.datasets.feature_files import open_features
from robustrec.datasets.item_numbers import MAPPINGS, read_numbers
from robustrec.datasets.registry import Dataset
from robustrec.encoders.features import ItemFeatures
from robustrec.errors import RobustrecError
from robustrec.modalities import modality_fault

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

EDGES = ("user", "interacts", "item")
MASKS = ("train_mask", "val_mask", "test_mask")
"""Masks [E] of the edges by split, in the order of the labels 0, 1 and 2."""
IDS = {"user": "user_id", "item": "item_id"}
TEXTS = ("title", "brand", "description")
FEATURES = "_feat"
"""What follows a modality in the name of its attribute on the items, as in the name of its feature file."""


def to_hetero_data(dataset: Dataset, features: ItemFeatures | Mapping[str, Tensor] | None = None) -> HeteroData:
    """Return a data set as a graph of users and items; pictures are left out.

    The edge type ("user", "interacts", "item") has `edge_index` int64 [2, E] of all splits, in the order of the data
    set, and the boolean masks `train_mask`, `val_mask` and `test_mask` [E]: train on `edge_index[:, train_mask]` only.
    Nodes have `num_nodes` and, if the data set has original ids, lists `user_id` and `item_id`. Items have a table
    [I, D] for each modality (`image_feat`, `text_feat`, `NAME_feat`) and, if there is a catalog, lists of texts.

    Args:
        dataset: a data set.
        features: item features, or tables [I, D] by modality; None takes the feature files of the data set.

    Raises:
        RobustrecError: a table has another number of rows than there are items, or an invalid modality.
    """
    from torch_geometric.data import HeteroData

    interactions = dataset.interactions
    data = HeteroData()
    for kind, number in (("user", interactions.n_users), ("item", interactions.n_items)):
        data[kind].num_nodes = number
        ids = _ids(dataset, kind, number)
        if ids is not None:
            data[kind][IDS[kind]] = ids
    data[EDGES].edge_index = torch.from_numpy(np.stack([interactions.users, interactions.items]))
    for label, mask in enumerate(MASKS):
        data[EDGES][mask] = torch.from_numpy(interactions.labels == label)
    for modality, table in _tables(dataset, features).items():
        if modality_fault(modality) or len(table) != interactions.n_items:
            raise RobustrecError(
                f"expected features of a modality, such as image or text, with {interactions.n_items} rows, but got"
                f" {modality} {tuple(table.shape)}",
                where="to_hetero_data, features",
                fix="give the features of this data set: item_features(dataset, encoder, home=home)",
            )
        data["item"][f"{modality}{FEATURES}"] = table
    if dataset.catalog is not None and dataset.catalog.items:
        items = dataset.catalog.items
        for name in TEXTS:
            data["item"][name] = [getattr(item, name) if item else "" for item in items]
        data["item"].categories = [list(item.categories) if item else [] for item in items]
    return data


def _tables(dataset: Dataset, features: ItemFeatures | Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    if isinstance(features, ItemFeatures):
        return dict(features.tables)
    if features is not None:
        return {modality: table.detach().cpu() for modality, table in features.items()}
    files = {m: open_features(path, dataset.interactions.n_items) for m, path in dataset.feature_files.items()}
    # In the byte order of the machine, which torch needs.
    return {m: torch.from_numpy(np.array(table, dtype=table.dtype.newbyteorder("="))) for m, table in files.items()}


def _ids(dataset: Dataset, kind: str, number: int) -> list[str] | None:
    """Return the original id of each user or item; None unless the data set has one for each of them."""
    path = dataset.folder / dict(zip(IDS, MAPPINGS, strict=True))[kind]
    numbers = read_numbers(path, f"{kind}ID") if path.is_file() else {}
    names = {row: name for name, row in numbers.items()}
    if not names and kind == "item" and dataset.catalog is not None:
        external = [item.external[0] if item and item.external else "" for item in dataset.catalog.items]
        names = dict(enumerate(external)) if all(external) and len(set(external)) == number else {}
    return [names[row] for row in range(number)] if all(row in names for row in range(number)) else None
