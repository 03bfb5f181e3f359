"""A stratified sample of test users: chances, shares of strata, coverage of its intervals, and what it detects."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from robustrec.datasets.interactions import TEST, TRAIN, Interactions
from robustrec.evaluation.metrics import evaluated_users
from robustrec.evaluation.statistics import mean_interval
from robustrec.runs.user_sample import (
    loss_detected,
    plan_words,
    ranked_users,
    sampled_users,
    systematic_sample,
    users_needed,
)
from robustrec.seeds import numpy_generator

STRATA = np.repeat([0, 1, 2, 5], [37, 200, 60, 3])


def test_every_place_has_the_same_chance() -> None:
    generator, draws, n = numpy_generator(1, "chances"), 4000, 70
    counts = np.zeros(len(STRATA))
    for _ in range(draws):
        counts[systematic_sample(STRATA, n, generator)] += 1
    chance = n / len(STRATA)
    # Shares of one stratum are nearly fixed, so the counts vary less than binomially.
    assert np.abs(counts / draws - chance).max() < 5 * math.sqrt(chance * (1 - chance) / draws)
    for stratum in np.unique(STRATA):
        mean = counts[stratum == STRATA].mean() / draws
        assert mean == pytest.approx(chance, abs=4 * 0.5 / (stratum == STRATA).sum() / math.sqrt(draws))


@pytest.mark.parametrize("n", [1, 7, 100, 299, 300])
def test_every_stratum_has_its_share_up_to_one_place(n: int) -> None:
    taken = systematic_sample(STRATA, n, numpy_generator(2, "shares"))
    assert len(taken) == len(set(taken.tolist())) == n
    for stratum in np.unique(STRATA):
        share = n * (stratum == STRATA).sum() / len(STRATA)
        assert abs((STRATA[taken] == stratum).sum() - share) < 1 + 1e-9


def test_intervals_of_samples_cover_the_mean_of_all_users_at_least_as_often_as_they_say() -> None:
    """Strata that differ make the intervals conservative; they must not make them biased."""
    generator = numpy_generator(3, "coverage")
    values = np.where(generator.random(2000) < 0.3, generator.random(2000), 0.0) + 0.1 * np.repeat([0, 1, 2, 4], 500)
    strata = np.repeat([0, 1, 2, 3], 500)
    truth, hits, means = values.mean(), 0, []
    for place in range(200):
        taken = systematic_sample(strata, 200, generator)
        interval = mean_interval(values[taken], seed=place, replicates=300)
        hits += interval.low <= truth <= interval.high
        means.append(values[taken].mean())
    assert hits >= stats.binom.ppf(0.001, 200, 0.95)
    assert np.mean(means) == pytest.approx(truth, abs=4 * np.std(means) / math.sqrt(200))


def interactions() -> Interactions:
    """100 users with 1 to 16 training items and a test item; the last item is in no training row."""
    rows = [(user, item % 40, TRAIN) for user in range(100) for item in range(1 + user % 16)]
    rows += [(user, 50 if user % 5 == 0 else 39, TEST) for user in range(100)]
    users, items, labels = np.array(rows).T
    return Interactions(users, items, labels.astype(np.int8), 100, 51)


def test_a_sample_keeps_the_shares_of_activity_and_of_cold_test_items() -> None:
    data = interactions()
    users = evaluated_users(data, TEST)
    chosen = sampled_users(users, 50, data)
    assert (np.diff(chosen) > 0).all()
    assert abs((chosen % 5 == 0).sum() - 10) <= 3
    for low, high in ((1, 2), (2, 4), (4, 8), (8, 16)):
        of_all = ((1 + users % 16 >= low) & (1 + users % 16 < high)).sum()
        of_sample = ((1 + chosen % 16 >= low) & (1 + chosen % 16 < high)).sum()
        assert abs(of_sample - of_all / 2) <= 2, "two strata of this activity, each up to one user"


def test_the_sample_depends_on_data_and_size_alone() -> None:
    data = interactions()
    users = evaluated_users(data, TEST)
    assert np.array_equal(sampled_users(users, 40, data), sampled_users(users, 40, data))
    for all_of_them in (None, 100, 5000):
        assert np.array_equal(sampled_users(users, all_of_them, data), users)


def test_what_a_sample_detects_is_what_the_model_of_losses_says() -> None:
    """At the loss q, k standard errors of the relative loss are q itself; a simulation then finds it in 80 %."""
    n, mean = 20_000, 0.02
    loss = loss_detected(n, mean=mean)
    k = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert loss == pytest.approx(k * math.sqrt(loss * (1 - loss) / (mean * n)))
    generator, found = numpy_generator(4, "power"), 0
    for _ in range(400):
        before = generator.random(n) < mean
        lost = before & (generator.random(n) < loss)
        relative = lost.sum() / before.sum()
        error = math.sqrt(relative * (1 - relative) / before.sum())
        found += relative - stats.norm.ppf(0.975) * error > 0
    assert found / 400 > 0.75


def test_the_number_of_users_needed_detects_the_loss() -> None:
    assert users_needed(0.02) == 20_000, "the exact number is 19,230"
    assert loss_detected(users_needed(0.02)) <= 0.02 < loss_detected(int(0.95 * users_needed(0.02)))


def test_what_a_plan_says() -> None:
    assert plan_words(None, 10_000, 0.95) == ""
    assert plan_words(None, 192_403, 0.95).startswith(
        "all 192,403 test users; --users 20000 detects a loss of 2 % with"
    )
    assert plan_words(20_000, 192_403, 0.95) == (
        "a stratified sample of 20,000 of 192,403 test users, all with equal weight; it detects a loss of 1.9 % with a"
        " probability of 80 %, for a metric with a mean of 0.02 and a single finding; the intervals are conservative"
    )
    assert plan_words(20_000, 20_000, 0.95) == ""


def test_users_that_are_not_fewer_are_no_sample() -> None:
    assert ranked_users({"users": 500}, 501) == 500
    assert ranked_users({"users": 500}, 500) is None
    assert ranked_users({"users": None}, 500) is None
    assert ranked_users({}, None) is None
