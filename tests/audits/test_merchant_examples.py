"""Which user is the example, and what is recorded of the lists."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from robustrec.audits.merchant.audit import MerchantCondition
from robustrec.audits.merchant.conditions import EvaluationTargets, Lists, scene_of
from robustrec.audits.merchant.exhibits import Fragile
from robustrec.audits.quality import MetricSuite
from robustrec.evaluation.ranking import EMPTY, Ranking
from robustrec.runs.prepared import Split
from robustrec.runs.treatments import treatments_of

EDIT = MerchantCondition(treatments_of(["crop"])[0], 3, 0.1)


def targets() -> EvaluationTargets:
    # Users 5, 6 and 7; users 5 and 6 should get item 0, user 7 item 3.
    relevant = csr_array(np.array([[0] * 4] * 5 + [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]))
    masked = csr_array(np.zeros((8, 4)))
    split = Split(np.array([5, 6, 7]), relevant, masked)
    return scene_of(split, MetricSuite(("ndcg@2",), ()), np.array([2, 0, 1, 1]), metric="ndcg@2", k=2)


def lists(places: list[int], ndcg: list[float], items: list[list[int]]) -> Lists:
    ranking = Ranking(np.array([5, 6, 7]), np.array(items, dtype=np.int32))
    return Lists(ranking, {"ndcg@2": np.array(ndcg)}, np.array(places), np.zeros(4, np.int64))


BEFORE = lists([2, 1, 1], [0.6, 1.0, 1.0], [[1, 0], [0, 2], [3, EMPTY]])


def test_the_example_is_the_user_who_loses_most_by_the_item_that_loses_most() -> None:
    fragile = Fragile(targets(), 5)
    fragile.add(EDIT, 0, BEFORE, lists([3, 4, 1], [0.0, 0.0, 1.0], [[1, 2], [2, 1], [3, EMPTY]]), np.array([0, 3]))
    assert fragile.example is not None
    assert (fragile.example.user, fragile.example.item, fragile.example.places) == (6, 0, (1, 4))
    assert (fragile.example.before, fragile.example.after) == ((0, 2), (2, 1))
    assert (fragile.example.edited, fragile.example.wanted) == ((0,), (0,))
    assert fragile.example.values == (1.0, 0.0)
    # A smaller loss does not replace it; a larger one does, with lists without their empty places.
    fragile.add(EDIT, 1, BEFORE, lists([3, 1, 1], [0.0, 1.0, 1.0], [[1, 2], [0, 2], [3, EMPTY]]), np.array([0]))
    assert fragile.example.user == 6
    fragile.add(EDIT, 2, BEFORE, lists([2, 1, 4], [0.6, 1.0, 0.0], [[1, 0], [0, 2], [1, 2]]), np.array([3]))
    assert fragile.example.user == 6, "0.57 of one user are less than 0.13 + 0.57 of two"


def test_without_a_loss_there_is_no_example() -> None:
    fragile = Fragile(targets(), 5)
    fragile.add(EDIT, 0, BEFORE, BEFORE, np.array([0, 3]))
    assert fragile.example is None
