"""Items without training interactions, and their test interactions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.interactions import TEST, TRAIN, Interactions
from robustrec.datasets.split_record import ColdStart

FEWEST_USERS = 2
"""Smallest number of test users whose items are measured on their own: one user has no interval."""


def trained_items(interactions: Interactions) -> NDArray[np.bool_]:
    """Return which items have a training interaction, [I]."""
    return np.bincount(interactions.pairs(TRAIN)[1], minlength=interactions.n_items) > 0


def cold_start(interactions: Interactions) -> ColdStart:
    """Return the counts of users and items without training interactions, and of their held-out interactions."""
    trained = trained_items(interactions)
    users, items = interactions.pairs(TEST)  # all of users with training rows
    cold = ~trained[items]
    return ColdStart(
        users=interactions.cold_users,
        items=int((~trained).sum()),
        test_of_items=int(cold.sum()),
        users_of_items=np.count_nonzero(np.bincount(users[cold])),
    )
