"""A data set with its features on the device, shared by the trainings and audits of a command."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from robustrec.config import Settings
from robustrec.datasets.interactions import LABEL_NAMES, TEST, TRAIN, VALIDATION
from robustrec.datasets.registry import Dataset
from robustrec.datasets.user_graph import UserGraph, read_user_graph
from robustrec.encoders.features import ItemFeatures
from robustrec.encoders.options import EncoderOptions, options_of
from robustrec.errors import RobustrecError
from robustrec.evaluation.metrics import evaluated_users
from robustrec.evaluation.user_items import UserItems
from robustrec.feature_names import Shrink
from robustrec.files import digest_json
from robustrec.models.contract import Problem
from robustrec.models.filtered import FeatureFilter
from robustrec.models.graphs import Neighbours, cosine_neighbours
from robustrec.runs.shrinking import Fitted
from robustrec.runs.user_sample import sampled_users
from robustrec.training.sampling import Positives, positives_of


@dataclass(frozen=True)
class EditSource:
    """What edited content for training is made with, besides the data set and its features.

    Attributes:
        home: folder of the store.
        options: of the encoder.
        language: language pack for texts of unknown language.
        vocabulary: files with language packs.
    """

    home: Path
    options: EncoderOptions
    language: str
    vocabulary: tuple[str, ...]


def edit_source(settings: Settings) -> EditSource:
    """Return what edited content is made with under some settings."""
    return EditSource(settings.home, options_of(settings), settings.language, settings.vocabulary)


_FINDING = threading.Lock()
"""Held while neighbours are found; not part of `Prepared`, which can be pickled so."""


@dataclass(frozen=True)
class Split:
    """Users of one split, their relevant items, and the items masked in their top-k lists.

    Attributes:
        users: int64 [n] users with at least one row in the split and one in training.
        relevant: [U, I] interactions of the split.
        masked: [U, I] pairs that are never recommended.
    """

    users: NDArray[np.int64]
    relevant: csr_array
    masked: csr_array

    @cached_property
    def mask(self) -> UserItems:
        """What is never recommended to the users, copied to a device once for all rankings."""
        return UserItems(self.users, self.masked)

    @cached_property
    def wanted(self) -> UserItems:
        """Their relevant items, likewise."""
        return UserItems(self.users, self.relevant)


@dataclass(frozen=True)
class Prepared:
    """Data and features, ready to train and audit on one device.

    Attributes:
        dataset: the data set.
        features: item features with their digest; None if no model of the command reads features.
        tables: modality -> float32 [I, D_m] on the device.
        problem: sizes, training graph and feature widths for the models.
        positives: training interactions for sampling, on the device.
        validation: split for model selection; it may have no users if no model is trained.
        test: split of the reported metrics.
        device: the device.
        fitted: the filters of the features, by what subjects name.
        edits: what edited content for training is made with; None where nothing trains on it.
    """

    dataset: Dataset
    features: ItemFeatures | None
    tables: dict[str, Tensor]
    problem: Problem
    positives: Positives
    validation: Split
    test: Split
    device: torch.device
    fitted: Mapping[Shrink, Fitted] = field(default_factory=dict)
    edits: EditSource | None = None
    _filters: dict[Shrink, FeatureFilter] = field(default_factory=dict, init=False, repr=False, compare=False)
    _found: dict[tuple[str, int], Neighbours] = field(default_factory=dict, init=False, repr=False, compare=False)

    def neighbours(self, x: Tensor, k: int) -> Neighbours:
        """Return each item's k nearest, found once for each of the clean tables, which nobody changes; thread-safe."""
        filtered = {
            f"{name} after {shrink.label}": table
            for shrink, each in self._filters.items()
            for name, table in each.clean.items()
        }
        modality = next((name for name, table in (self.tables | filtered).items() if table is x), None)
        if modality is None:
            return cosine_neighbours(x, k)
        with _FINDING:
            if (modality, k) not in self._found:
                self._found[modality, k] = cosine_neighbours(x, k)
            return self._found[modality, k]

    def filter_of(self, shrink: Shrink | None) -> FeatureFilter | None:
        """Return the filter of the features on the device, made once; None without one; thread-safe."""
        if shrink is None or not self.tables:
            return None
        with _FINDING:
            if shrink not in self._filters:
                self._filters[shrink] = FeatureFilter(self.fitted[shrink].of, self.tables)
            return self._filters[shrink]

    def features_digest(self, shrink: Shrink | None) -> str | None:
        """Return the digest of the features that a subject with this filter reads; None without features."""
        if self.features is None:
            return None
        return self.features.digest if shrink is None else digest_json(self.fitted[shrink].identity)

    @property
    def searches(self) -> list[str]:
        """What to know of the neighbours found so far: the recall of those that were searched approximately."""
        return [
            f"the {k} nearest of {len(found.items):,} items by {modality} were searched by faiss: recall"
            f" {found.recall:.1%}, measured against the exact search of a sample of items"
            for (modality, k), found in sorted(self._found.items())
            if found.recall is not None
        ]


def prepare(
    dataset: Dataset,
    features: ItemFeatures | None,
    device: torch.device,
    *,
    mask_validation: bool = False,
    users: int | None = None,
    fitted: Mapping[Shrink, Fitted] | None = None,
    edits: EditSource | None = None,
) -> Prepared:
    """Put a data set and its features on the device.

    Args:
        dataset: interactions and catalogue.
        features: item features, or None.
        device: where training and audits run.
        mask_validation: mask validation positives in the test lists, too.
        users: number of test users to rank, a stratified sample of them; None for all.
        fitted: the filters of the features that subjects name.
        edits: what edited content for training is made with; None where nothing trains on it.

    Raises:
        RobustrecError: no user has test interactions.
    """
    interactions = dataset.interactions
    edges = torch.from_numpy(np.stack(interactions.pairs(TRAIN)))
    tables = {name: table.to(device) for name, table in features.tables.items()} if features else {}
    train = interactions.csr(TRAIN)
    test_mask = train.maximum(interactions.csr(VALIDATION)) if mask_validation else train
    test = with_users(dataset, _split(dataset, TEST, csr_array(test_mask)), TEST)
    problem = Problem(
        n_users=interactions.n_users,
        n_items=interactions.n_items,
        edges=edges,
        feature_widths={name: table.shape[1] for name, table in tables.items()},
        user_neighbours=_user_neighbours(dataset),
    )
    return Prepared(
        dataset=dataset,
        features=features,
        tables=tables,
        problem=problem,
        positives=positives_of(edges, interactions.n_items, device),
        validation=_split(dataset, VALIDATION, train),
        test=replace(test, users=sampled_users(test.users, users, interactions)),
        device=device,
        fitted=fitted or {},
        edits=edits,
    )


def _user_neighbours(dataset: Dataset) -> UserGraph | None:
    if dataset.user_graph is None:
        return None
    return read_user_graph(dataset.user_graph, dataset.interactions.n_users)


def _split(dataset: Dataset, label: int, masked: csr_array) -> Split:
    return Split(evaluated_users(dataset.interactions, label), dataset.interactions.csr(label), masked)


def with_users(dataset: Dataset, split: Split, label: int) -> Split:
    """Return a split that has users.

    Raises:
        RobustrecError: it has none.
    """
    if len(split.users) == 0:
        raise RobustrecError(
            f"no user has {LABEL_NAMES[label]} interactions",
            where=f"{dataset.folder}, x_label {label}",
            fix=f"label some rows of users with training rows as {label}, or import ratings to have them split",
        )
    return split
