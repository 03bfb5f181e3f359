"""Shares of users who lose and who gain, on drifts of quality."""

import numpy as np
import pytest

from robustrec.audits.rows import users_who_differ


def test_users_who_lose_and_gain_are_counted_in_each_draw():
    clean = np.array([0.5, 0.5, 0.0, 1.0])
    perturbed = np.array([[0.4, 0.6, 0.0, 1.0 - 1e-15], [0.4, 0.5, 0.0, 0.2]])
    assert users_who_differ("ndcg@20", clean, perturbed) == {
        "users_lose": pytest.approx(3 / 8),
        "users_gain": pytest.approx(1 / 8),
    }


@pytest.mark.parametrize("metric", ["rbo@20", "exposure@20_all", "coverage@20"])
def test_nobody_is_counted_for_measures_that_are_no_quality(metric):
    assert users_who_differ(metric, np.ones(3), np.zeros((1, 3))) == {}
