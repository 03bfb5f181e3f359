"""A stratified sample of test users, for data with more users than an audit can rank.

Users are ordered by strata, at random within each, and every N/n-th is taken from a random start (systematic sampling:
Särndal, Swensson and Wretman 1992, "Model assisted survey sampling", section 3.4). So each stratum has its share of
the sample, up to one user, and each user the same chance n/N: all weights are equal, and a mean over the sample is
unbiased for the mean over all test users without weighting. Strata are the number of training interactions, in powers
of two, and whether a user has a test item without training interactions.

Intervals are those of the bootstrap, as if n users had been drawn independently. They are conservative: neither the
strata nor the finite number of users narrows them, so for the mean over these N test users they are wider than they
need be, by at least the factor 1 / √(1 - n/N). For users like them, of whom the N are a sample themselves, only the
strata make them conservative.

The sample depends on the data and n alone, not on the seed of an audit: subjects, reports and baselines of the same
data with the same n are of the same users.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustrec.datasets.cold_start import trained_items
from robustrec.datasets.interactions import TEST, TRAIN, Interactions
from robustrec.evaluation.error_rates import POWER
from robustrec.seeds import numpy_generator

TOLD_MEAN = 0.02
"""Mean of the metric for which a plan says what a sample detects."""
TOLD_LOSS = 0.02
"""Loss for which a plan says how many users detect it."""
MANY_USERS = 50_000
"""Test users from which on a plan tells of samples."""


def sampled_users(users: NDArray[np.int64], n: int | None, interactions: Interactions) -> NDArray[np.int64]:
    """Return n of the users, ascending, or all of them if there are no more or n is None.

    Args:
        users: [N] test users, ascending.
        n: size of the sample.
        interactions: whose training and test rows make the strata.
    """
    if n is None or n >= len(users):
        return users
    strata = _strata(interactions)[users]
    return users[systematic_sample(strata, n, numpy_generator(0, "sample of test users", n))]


def systematic_sample(strata: NDArray[np.int64], n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return n of N places, ascending, each with the chance n/N and each stratum with its share up to one place.

    Args:
        strata: [N] stratum of each place.
        n: at most N.
        generator: draws the order within the strata and the start.
    """
    size = len(strata)
    order = np.lexsort((generator.permutation(size), strata))
    taken = np.floor((generator.random() + np.arange(n)) * (size / n)).astype(np.int64)
    return np.sort(order[np.minimum(taken, size - 1)])


def _strata(interactions: Interactions) -> NDArray[np.int64]:
    """Return the stratum of each user, [U]: twice the octave of the training rows, plus 1 with a cold test item."""
    trained = np.bincount(interactions.users[interactions.labels == TRAIN], minlength=interactions.n_users)
    octave = np.floor(np.log2(np.maximum(trained, 1))).astype(np.int64)
    in_test = interactions.labels == TEST
    cold = in_test & ~trained_items(interactions)[interactions.items]
    has_cold = np.bincount(interactions.users[cold], minlength=interactions.n_users) > 0
    return np.asarray(2 * octave + has_cold, dtype=np.int64)


def ranked_users(suite: Mapping[str, Any], n_test_users: int | None) -> int | None:
    """Return the size of the sample that a suite asks for, or None where all test users are ranked.

    Args:
        suite: resolved content of the suite.
        n_test_users: number of test users; None in reports of earlier versions, which have no samples.
    """
    n = suite.get("users")
    return n if n is not None and n_test_users is not None and n < n_test_users else None


def sample_words(n: int, n_test_users: int) -> str:
    """Return what was ranked: "a stratified sample of 20,000 of 192,403 test users"."""
    return f"a stratified sample of {n:,} of {n_test_users:,} test users"


def loss_detected(n: int, *, mean: float = TOLD_MEAN, level: float = 0.95) -> float:
    """Return the relative loss of a metric that n users show with a probability of `error_rates.POWER`.

    As in `error_rates.MetricLoss`, a share q of the users loses all it had. The variance of the relative loss is then
    r q (1 - q) / n, with r the users' mean square over the square of their mean. Values between 0 and 1 have a mean
    square of at most their mean, so r is at most 1 / mean. The loss equals k standard errors,
    k = z(1 - α/2) + z(power), at q = k² r / (n + k² r).

    Args:
        n: users.
        mean: of the metric.
        level: of the interval, for a single finding.
    """
    spread = _k(level) ** 2 / mean
    return spread / (n + spread)


def users_needed(loss: float = TOLD_LOSS, *, mean: float = TOLD_MEAN, level: float = 0.95) -> int:
    """Return how many users detect a loss, see `loss_detected`, rounded up to two digits."""
    exact = _k(level) ** 2 / mean * (1 - loss) / loss
    unit = 10 ** max(0, math.floor(math.log10(exact)) - 1)
    return int(math.ceil(exact / unit) * unit)


def plan_words(n: int | None, n_test_users: int, level: float) -> str:
    """Return what a plan says of its users; empty where all of few users are ranked."""
    found = f"with a probability of {100 * POWER:.0f} %, for a metric with a mean of {TOLD_MEAN:g} and a single finding"
    if n is not None and n < n_test_users:
        loss = loss_detected(n, level=level)
        return (
            f"{sample_words(n, n_test_users)}, all with equal weight; it detects a loss of {100 * loss:.2g} % {found};"
            " the intervals are conservative"
        )
    needed = users_needed(level=level)
    if n_test_users < max(MANY_USERS, needed):
        return ""
    return f"all {n_test_users:,} test users; --users {needed} detects a loss of {100 * TOLD_LOSS:.0f} % {found}"


def _k(level: float) -> float:
    normal = NormalDist()
    return normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(POWER)
