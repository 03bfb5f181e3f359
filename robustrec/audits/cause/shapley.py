"""Shapley values and leave-one-out effects of the parts of an input, from the values of all their coalitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import factorial

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Coalition = frozenset[str]
"""The parts that are perturbed; the others are clean."""


def coalitions_of(players: Sequence[str]) -> Iterator[Coalition]:
    """Yield all 2^n coalitions, small ones first: the first is empty, the last has all players."""
    for size in range(len(players) + 1):
        yield from map(frozenset, combinations(players, size))


def shapley_values(values: Mapping[Coalition, Floats], players: Sequence[str]) -> dict[str, Floats]:
    """Return the Shapley value of every player; their sum is the value of all minus the value of none.

    φ_i = Σ_{S without i} |S|! (n-|S|-1)! / n! · (v(S ∪ i) - v(S)). Source: Shapley 1953, "A value for n-person games",
    Contributions to the Theory of Games II. It is linear in v, so values of single users have it too.

    Args:
        values: the value of every coalition, arrays of one shape.
        players: n names.
    """
    n = len(players)
    found = {}
    for player in players:
        total = np.zeros_like(values[frozenset()])
        for coalition in coalitions_of([each for each in players if each != player]):
            weight = factorial(len(coalition)) * factorial(n - len(coalition) - 1) / factorial(n)
            total += weight * (values[coalition | {player}] - values[coalition])
        found[player] = total
    return found


def leave_one_out(values: Mapping[Coalition, Floats], players: Sequence[str]) -> dict[str, Floats]:
    """Return, for every player, the value of all minus the value of all others."""
    everyone = frozenset(players)
    return {player: values[everyone] - values[everyone - {player}] for player in players}
