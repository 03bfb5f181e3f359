"""Checks of a scorer: shapes, side effects, order and batches of users, effect of the features."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.audits.reach.check import check_reach
from robustrec.checking.toy import N_ITEMS, N_USERS, Toy, demand
from robustrec.errors import RobustrecError
from robustrec.models.contract import Features, Scored, Scorer
from robustrec.models.own import attributed_to
from robustrec.models.scorers import build_scorer, checked_scores, scored

EVERYBODY = np.arange(N_USERS)


class ScorerTrial:
    """A scorer and the small problem for its checks."""

    def __init__(self, toy: Toy) -> None:
        self.toy = toy
        self.scorer: Scorer = build_scorer(toy.name, toy.kind, toy.problem)

    def scored(self, features: Features) -> Scored:
        """Return its scores for features, called as in an audit."""
        return scored(self.toy.name, self.scorer, features, self.toy.problem)

    def scores(self, users: NDArray[np.int64] = EVERYBODY, seed: int = 0) -> Tensor:
        """Return its scores of users for random features."""
        return self.scored(self.toy.features(seed=seed)).score(users)


def shape(toy: Toy) -> str:
    """Check that it returns one row of numbers per user."""
    trial = ScorerTrial(toy)
    for users in (EVERYBODY, EVERYBODY[:1]):
        trial.scores(users)
    return f"{N_ITEMS} numbers for each of {N_USERS} users, and for a single user"


def finite(toy: Toy) -> str:
    """Check that no score is NaN or infinite, also for an item without interactions."""
    broken = (~torch.isfinite(ScorerTrial(toy).scores())).any(dim=0).nonzero()[:, 0].tolist()
    where = "the item without interactions" if broken == [N_ITEMS - 1] else f"{len(broken)} items"
    demand(
        not broken,
        f"scores are NaN or infinite for {where}; return a low number for items that must not be recommended",
    )
    return "all scores are finite, also for an item without interactions"


def repeatable(toy: Toy) -> str:
    """Check that the same call returns the same scores, also after other calls."""
    trial = ScorerTrial(toy)
    first = trial.scores()
    demand(_close(first, trial.scores()), "two calls with the same features return different scores; use a fixed seed")
    trial.scores(seed=1)
    demand(_close(first, trial.scores()), "scores depend on earlier calls; keep no state between calls")
    return "the same call returns the same scores"


def order(toy: Toy) -> str:
    """Check that the scores of a user do not depend on the order of users or on other users of the call."""
    trial = ScorerTrial(toy)
    first, reversed_scores = trial.scores(), trial.scores(EVERYBODY[::-1].copy())
    demand(
        _close(first, reversed_scores.flip(0)),
        "row r must hold the scores of users[r], but does not for another order of users",
    )
    alone = torch.cat([trial.scores(EVERYBODY[part : part + 7]) for part in range(0, N_USERS, 7)])
    demand(_close(first, alone), "the scores of a user depend on the other users of the call")
    return "rows follow the order of users and do not depend on the other users of the call"


def inputs(toy: Toy) -> str:
    """Check that it does not change features or user ids; an audit passes read-only copies."""
    trial = ScorerTrial(toy)
    arrays = {name: table.numpy() for name, table in toy.features().items()}
    before, users = {name: array.copy() for name, array in arrays.items()}, EVERYBODY.copy()
    for array in (*arrays.values(), users):
        array.flags.writeable = False
    trial.scorer(arrays, users)
    changed = [name for name, array in arrays.items() if not np.array_equal(array, before[name])]
    demand(not changed, f"the scorer changes the {' and '.join(changed)} features that are passed; work on a copy")
    demand(bool(np.array_equal(users, EVERYBODY)), "the scorer changes the user ids that are passed; work on a copy")
    return "features and user ids are not changed"


def follows(toy: Toy) -> str:
    """Check that it reads the features again if they change in place."""
    trial = ScorerTrial(toy)
    base = {name: table.numpy().copy() for name, table in toy.features().items()}
    views = {name: table.view() for name, table in base.items()}
    # Other arrays, at other addresses.
    fresh = {name: table.numpy().copy() for name, table in toy.features(seed=1).items()}
    for array in (*views.values(), *fresh.values()):
        array.flags.writeable = False
    with attributed_to(toy.name, "score"):
        trial.scorer(views, EVERYBODY.copy())
        for name, table in fresh.items():
            base[name][:] = table
        found, wanted = (
            checked_scores(toy.name, trial.scorer(arrays, EVERYBODY.copy()), (N_USERS, N_ITEMS))
            for arrays in (views, fresh)
        )
    demand(
        _close(wanted, found),
        "scores do not change if feature values change in place; do not cache features by id or address",
    )
    return "features that change in place change the scores"


def reach(toy: Toy, modality: str) -> str:
    """Check that scores depend on a declared modality."""
    try:
        found = {each.modality: each for each in check_reach(ScorerTrial(toy).scored, toy.features(), seed=0)}
    except RobustrecError as error:
        demand(False, f"{error.what}: {error.fix}")
    read = tuple(name for name in toy.declared if found[name].reached)
    listed = "".join(f"{name!r}, " for name in read).strip()
    demand(
        found[modality].reached,
        f"the scorer receives {modality}, but its top-k lists do not depend on it: {found[modality].fault}. Declare "
        f"what it reads: modalities = ({listed})",
    )
    return (
        f"heavy noise on the {modality} features changes scores by up to {found[modality].change:.1f} of their spread"
    )


def _close(a: Tensor, b: Tensor) -> bool:
    # As in the reach check: other batches may change the order of summation.
    return bool(torch.allclose(a, b, rtol=1e-5, atol=1e-6 * float(a.abs().max())))
