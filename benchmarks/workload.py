"""A synthetic data set of the size of Amazon Baby (spec 1.1), with popularity and activity by power laws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION, Interactions
from robustrec.evaluation.metrics import evaluated_users
from robustrec.runs.prepared import Split

SEED = 20260


class Size(NamedTuple):
    """How large the data are: users, items, rows by split, feature widths, and triples a batch."""

    n_users: int
    n_items: int
    train: int
    validation: int
    test: int
    image_width: int
    text_width: int
    batch: int


BABY = Size(19_445, 7_050, 118_551, 21_682, 20_559, 4096, 384, 2048)
QUICK = Size(2_000, 700, 12_000, 2_200, 2_100, 512, 64, 512)


class Workload(NamedTuple):
    """What is trained on: interactions, and non-negative features as a convolutional network would leave them."""

    size: Size
    interactions: Interactions
    features: dict[str, torch.Tensor]


def make_workload(size: Size) -> Workload:
    """Return the data of one size; the same on every call."""
    rng = np.random.default_rng(SEED)
    keys = _distinct_pairs(size, rng)
    labels = np.full(len(keys), TRAIN, np.int8)
    # The first pair of each user stays in training, so that every user can be evaluated.
    later = size.n_users + rng.permutation(len(keys) - size.n_users)
    labels[later[: size.validation]] = VALIDATION
    labels[later[size.validation : size.validation + size.test]] = TEST
    interactions = Interactions(keys // size.n_items, keys % size.n_items, labels, size.n_users, size.n_items)
    widths = {"image": size.image_width, "text": size.text_width}
    features = {
        modality: torch.from_numpy(np.maximum(rng.standard_normal((size.n_items, width), np.float32), 0))
        for modality, width in widths.items()
    }
    return Workload(size, interactions, features)


def split_of(work: Workload) -> Split:
    """Return the test users with their relevant and masked items, as a run prepares them before it evaluates."""
    pairs = work.interactions
    return Split(evaluated_users(pairs, TEST), pairs.csr(TEST), pairs.csr(TRAIN))


def _distinct_pairs(size: Size, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return distinct `user * n_items + item`, one of each user first."""
    wanted = size.train + size.validation + size.test
    popularity = (1 + np.arange(size.n_items)) ** -0.8
    activity = (1 + np.arange(size.n_users)) ** -0.4
    users = np.arange(size.n_users)
    keys = users * size.n_items + rng.choice(size.n_items, size.n_users, p=popularity / popularity.sum())
    while len(keys) < wanted:
        missing = wanted - len(keys)
        drawn = rng.choice(size.n_users, missing, p=activity / activity.sum()) * size.n_items
        drawn += rng.choice(size.n_items, missing, p=popularity / popularity.sum())
        both = np.concatenate([keys, drawn])
        keys = both[np.sort(np.unique(both, return_index=True)[1])]
    return keys.astype(np.int64)
