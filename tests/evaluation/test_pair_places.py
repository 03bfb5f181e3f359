"""Exact places of given items among all, against a brute-force ranking."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from robustrec.evaluation import scoring
from robustrec.evaluation.ranking import Pairs, rank, rank_pairs
from robustrec.models.contract import Scored


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(21, 40), st.sampled_from([None, 1, 3]))
def test_places_are_those_of_a_full_sort_with_ties_by_lower_id(
    seed: int, n_users: int, n_items: int, chunk: int | None
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (n_users, n_items)).astype(np.float32)  # many ties
    masked = csr_array((rng.random((n_users, n_items)) < 0.2).astype(np.int8) * (np.arange(n_items) > 19))
    rep = Scored(lambda users: torch.from_numpy(scores[users]), n_users, n_items)
    users = rng.permutation(n_users)
    pairs = Pairs(rng.integers(0, n_users, 50), rng.integers(0, n_items, 50))
    lists, places = rank_pairs(rep, users, masked, pairs, k=5, chunk=chunk)
    hidden = np.where(masked.toarray() != 0, -np.inf, scores)
    order = [np.lexsort((np.arange(n_items), -hidden[user])) for user in users]
    expected = [int(np.flatnonzero(order[row] == item)[0]) + 1 for row, item in zip(*pairs, strict=True)]
    assert places.tolist() == expected
    assert np.array_equal(lists.items, rank(rep, users, masked, k=5, chunk=chunk).items)
    inside = places <= 5
    assert all((item in lists.items[row]) == within for row, item, within in zip(*pairs, inside.tolist(), strict=True))


def test_no_pairs_and_many_pairs_of_one_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "CPU_SCORE_BYTES", 4 * 30 * 2)  # two users at once
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(5, 30)).astype(np.float32)
    rep = Scored(lambda users: torch.from_numpy(scores[users]), 5, 30)
    nothing = csr_array((5, 30), dtype=np.int8)
    _, places = rank_pairs(rep, np.arange(5), nothing, Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64)), k=3)
    assert len(places) == 0
    _, places = rank_pairs(rep, np.arange(5), nothing, Pairs(np.full(30, 3), np.arange(30)), k=3)
    assert sorted(places.tolist()) == list(range(1, 31))
    assert np.array_equal(np.argsort(places), np.argsort(-scores[3]))
