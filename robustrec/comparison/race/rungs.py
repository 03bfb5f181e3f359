"""Successive halving: which arms go on to more training, and how far.

Karnin, Koren and Somekh 2013 ("Almost optimal exploration in multi-armed bandits") and Jamieson and Talwalkar 2016
("Non-stochastic best arm identification and hyperparameter optimization"): all arms train for a share of the budget,
the best 1/η of them for η times as much, and so on. Here an arm that goes on resumes from its checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

ETA = 3
"""Factor η between the budgets, and the numbers of arms, of two rungs."""


class Rung(NamedTuple):
    """A round of the selection.

    Attributes:
        share: of the budget at its end.
        kept: arms other than the reference that go on.
    """

    share: float
    kept: int


def rungs_of(n_arms: int, finalists: int, eta: int = ETA) -> tuple[Rung, ...]:
    """Return the rungs from all arms to the finalists; the last is at the whole budget.

    Args:
        n_arms: arms other than the settings of the reference.
        finalists: that are left at the end.
        eta: η, at least 2.
    """
    counts = [n_arms]
    while counts[-1] > finalists:
        counts.append(max(finalists, math.ceil(counts[-1] / eta)))
    kept = counts[1:] or [n_arms]
    return tuple(Rung(float(eta) ** (place - len(kept) + 1), count) for place, count in enumerate(kept))


def promoted(scores: Mapping[str, float], reference: Sequence[str], kept: int) -> list[str]:
    """Return the arms that go on: the best `kept`, and the best setting of the reference, in the order given.

    Equal scores are decided by the order.

    Args:
        scores: arm -> mean validation score over the seeds of the selection, higher is better.
        reference: arms that are settings of the reference.
        kept: number of other arms that go on.
    """
    others = sorted((name for name in scores if name not in reference), key=lambda name: -scores[name])[:kept]
    best = max((name for name in scores if name in reference), key=lambda name: scores[name], default=None)
    chosen = {*others, *([best] if best is not None else [])}
    return [name for name in scores if name in chosen]
