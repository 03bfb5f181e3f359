"""Metrics of values: numbers worked out by hand, and what they have in common with NDCG."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from robustrec.errors import RobustrecError
from robustrec.evaluation.beyond import Catalogue
from robustrec.evaluation.kinds import largest_changes
from robustrec.evaluation.metrics import per_user_metrics
from robustrec.evaluation.ranking import Ranking
from robustrec.evaluation.value import known_or_mean

VALUES = np.array([10.0, 0.0, 4.0, 1.0, 6.0])
NAMES = ["value@3", "value_ndcg@3", "ndcg@3"]


def measured(lists: list[list[int]], relevant: list[list[int]], values: np.ndarray = VALUES) -> dict[str, np.ndarray]:
    table = np.zeros((len(lists), len(values)))
    for user, items in enumerate(relevant):
        table[user, items] = 1
    ranking = Ranking(np.arange(len(lists)), np.array(lists, dtype=np.int32))
    return per_user_metrics(ranking, csr_array(table), NAMES, Catalogue(np.ones(len(values)), 3, {}, values))


def test_value_is_the_discounted_sum_by_hand():
    found = measured([[0, 2, 4], [4, -1, -1], [1, 3, 2]], [[0], [4], [1]])
    half, third = 1 / np.log2(3), 1 / np.log2(4)
    np.testing.assert_allclose(found["value@3"], [10 + 4 * half + 6 * third, 6, half + 4 * third])


def test_value_ndcg_is_the_gain_over_that_of_the_most_valuable_first():
    half = 1 / np.log2(3)
    found = measured([[2, 0, 3], [0, 2, 1], [3, 4, 2]], [[0, 2], [0, 2], [1]])["value_ndcg@3"]
    np.testing.assert_allclose(found, [(4 + 10 * half) / (10 + 4 * half), 1, 0])
    assert found[1] == 1.0, "exactly"


def test_more_relevant_items_than_places_have_an_ideal_of_the_most_valuable():
    found = measured([[0, 4, 2]], [[0, 1, 2, 3, 4]])["value_ndcg@3"]
    assert found[0] == 1.0


def test_equal_values_give_ndcg_and_a_scale_does_not_matter():
    rng = np.random.default_rng(0)
    lists = [rng.permutation(30)[:3].tolist() for _ in range(40)]
    relevant = [rng.permutation(30)[: rng.integers(1, 6)].tolist() for _ in range(40)]
    alike = measured(lists, relevant, np.full(30, 7.0))
    np.testing.assert_allclose(alike["value_ndcg@3"], alike["ndcg@3"], atol=1e-12)
    values = rng.lognormal(size=30)
    one, scaled = (measured(lists, relevant, factor * values) for factor in (1.0, 1000.0))
    np.testing.assert_allclose(scaled["value_ndcg@3"], one["value_ndcg@3"])
    np.testing.assert_allclose(scaled["value@3"], 1000 * one["value@3"])


def test_no_change_of_a_list_is_larger_than_the_bound():
    rng = np.random.default_rng(1)
    bound = largest_changes(["value@3"], VALUES.max())["value@3"]
    lists = [rng.permutation(5)[:3].tolist() for _ in range(200)]
    found = measured(lists, [[0]] * 200)["value@3"]
    assert np.ptp(found) <= bound
    assert largest_changes(["value@3", "value_ndcg@3"]) == {"value@3": None, "value_ndcg@3": 1.0}


def test_an_unknown_value_is_the_mean_of_the_known_ones():
    np.testing.assert_array_equal(known_or_mean([1.0, None, 3.0, 0.0, None]), [1, 4 / 3, 3, 0, 4 / 3])


def test_values_are_needed():
    ranking = Ranking(np.arange(1), np.array([[0]], dtype=np.int32))
    with pytest.raises(RobustrecError, match="needs a value of each item"):
        per_user_metrics(ranking, csr_array(np.ones((1, 2))), ["value@1"], Catalogue(np.ones(2), 1))
