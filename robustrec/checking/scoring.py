"""What a scorer does when it is called: shapes, purity, order and batches of users, reach."""

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
    """A scorer with the problem it is tried on."""

    def __init__(self, toy: Toy) -> None:
        self.toy = toy
        self.scorer: Scorer = build_scorer(toy.name, toy.kind, toy.problem)

    def scored(self, features: Features) -> Scored:
        """Return its scores on features, as audits call it."""
        return scored(self.toy.name, self.scorer, features, self.toy.problem)

    def scores(self, users: NDArray[np.int64] = EVERYBODY, seed: int = 0) -> Tensor:
        """Return its scores of users on random features."""
        return self.scored(self.toy.features(seed=seed)).score(users)


def shape(toy: Toy) -> str:
    """Check that it returns a row of numbers for each user asked for."""
    trial = ScorerTrial(toy)
    for users in (EVERYBODY, EVERYBODY[:1]):
        trial.scores(users)
    return f"{N_ITEMS} numbers for each of {N_USERS} users, and for one alone"


def finite(toy: Toy) -> str:
    """Check that no score is NaN or infinite, although one item has no interaction."""
    broken = (~torch.isfinite(ScorerTrial(toy).scores())).any(dim=0).nonzero()[:, 0].tolist()
    where = "the item that nobody has" if broken == [N_ITEMS - 1] else f"{len(broken)} items"
    demand(not broken, f"scores are NaN or infinite for {where}; for what must never be shown, return a low number")
    return "all scores are finite, also of an item without interactions"


def repeatable(toy: Toy) -> str:
    """Check that the same call gives the same scores, whatever was scored in between."""
    trial = ScorerTrial(toy)
    first = trial.scores()
    demand(_close(first, trial.scores()), "the same features scored twice give different scores: fix what it draws")
    trial.scores(seed=1)
    demand(_close(first, trial.scores()), "scores depend on what was scored before: keep nothing of earlier features")
    return "the same call gives the same scores"


def order(toy: Toy) -> str:
    """Check that a user's scores depend neither on the order of users nor on who else is asked for."""
    trial = ScorerTrial(toy)
    first, reversed_scores = trial.scores(), trial.scores(EVERYBODY[::-1].copy())
    demand(
        _close(first, reversed_scores.flip(0)),
        "row r must be the scores of users[r]; in another order of users it is not",
    )
    alone = torch.cat([trial.scores(EVERYBODY[part : part + 7]) for part in range(0, N_USERS, 7)])
    demand(_close(first, alone), "a user's scores depend on who else is asked for in the same call")
    return "rows follow the order of users and do not depend on who else is asked for"


def inputs(toy: Toy) -> str:
    """Check that it leaves features and user ids as they are; an audit hands it read-only copies."""
    trial = ScorerTrial(toy)
    arrays = {name: table.numpy() for name, table in toy.features().items()}
    before, users = {name: array.copy() for name, array in arrays.items()}, EVERYBODY.copy()
    for array in (*arrays.values(), users):
        array.flags.writeable = False
    trial.scorer(arrays, users)
    changed = [name for name, array in arrays.items() if not np.array_equal(array, before[name])]
    demand(not changed, f"it changes the {' and '.join(changed)} features it is given; work on a copy")
    demand(bool(np.array_equal(users, EVERYBODY)), "it changes the user ids it is given; work on a copy")
    return "features and user ids stay as they are"


def follows(toy: Toy) -> str:
    """Check that it reads features anew even where new ones lie at the place of old ones."""
    trial = ScorerTrial(toy)
    base = {name: table.numpy().copy() for name, table in toy.features().items()}
    views = {name: table.view() for name, table in base.items()}
    # At other places as long as the first ones are there.
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
        "new values at the place of old features give old scores: do not remember features by their id or address",
    )
    return "new values at the place of old ones are seen"


def reach(toy: Toy, modality: str) -> str:
    """Check that a modality that is claimed arrives at the scores."""
    try:
        found = {each.modality: each for each in check_reach(ScorerTrial(toy).scored, toy.features(), seed=0)}
    except RobustrecError as error:
        demand(False, f"{error.what}: {error.fix}")
    read = tuple(name for name in toy.claimed if found[name].reached)
    listed = "".join(f"{name!r}, " for name in read).strip()
    demand(
        found[modality].reached,
        f"it is given {modality}, but its lists do not follow it: {found[modality].fault}. Say what it reads: "
        f"modalities = ({listed})",
    )
    return f"heavy noise on the {modality} features moves scores by up to {found[modality].change:.1f} of their spread"


def _close(a: Tensor, b: Tensor) -> bool:
    # As the reach check has it: sums may come in another order with other batches.
    return bool(torch.allclose(a, b, rtol=1e-5, atol=1e-6 * float(a.abs().max())))
