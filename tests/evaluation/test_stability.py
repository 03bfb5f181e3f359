"""Agreement of lists: closed forms, and a plain implementation as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustrec.errors import RobustrecError
from robustrec.evaluation.ranking import Ranking
from robustrec.evaluation.stability import changed_at, overlap_at, per_user_stability, rbo_at, shared_items

P = 0.9


def ranking(*lists: list[int]) -> Ranking:
    return Ranking(np.arange(len(lists)), np.array(lists, dtype=np.int32))


def naive_rbo(a: list[int], b: list[int], p: float) -> float:
    """RBO_ext as printed in Webber et al. 2010, for two lists of equal length."""
    agreement = [len(set(a[:d]) & set(b[:d])) / d for d in range(1, len(a) + 1)]
    return agreement[-1] * p ** len(a) + (1 - p) / p * sum(x * p ** (d + 1) for d, x in enumerate(agreement))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0.05, 0.99))
def test_it_agrees_with_the_plain_definition(seed: int, depth: int, p: float) -> None:
    rng = np.random.default_rng(seed)
    lists = [[rng.permutation(15)[:depth].tolist() for _ in range(6)] for _ in range(2)]
    a, b = ranking(*lists[0]), ranking(*lists[1])
    shared = shared_items(a, b)
    for k in range(1, depth + 1):
        for user, (one, other) in enumerate(zip(*lists, strict=True)):
            common = len(set(one[:k]) & set(other[:k]))
            assert shared[user, k - 1] == common
            assert overlap_at(a, b, k)[user] == common / k
            assert changed_at(a, b, k)[user] == (common < k)
            assert rbo_at(a, b, k, persistence=p)[user] == pytest.approx(naive_rbo(one[:k], other[:k], p), abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_equal_lists_agree_exactly_and_agreement_is_symmetric(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    a = ranking(*[rng.permutation(80)[:k].tolist() for _ in range(5)])
    b = ranking(*[rng.permutation(80)[:k].tolist() for _ in range(5)])
    names = [f"overlap@{k}", f"rbo@{k}", f"changed@{k}"]
    same = per_user_stability(a, a, names)
    assert (same[f"overlap@{k}"] == 1).all()
    assert (same[f"rbo@{k}"] == 1).all()
    assert (same[f"changed@{k}"] == 0).all()
    one, other = per_user_stability(a, b, names), per_user_stability(b, a, names)
    for name in names:
        assert (one[name] == other[name]).all()
        assert (one[name] >= 0).all()
        assert (one[name] <= 1).all()


def test_closed_forms() -> None:
    a = ranking([0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3])
    b = ranking([9, 8, 7, 6], [1, 0, 2, 3], [0, 1, 2, 9])
    assert rbo_at(a, b, 4).tolist() == pytest.approx(
        [
            0,  # disjoint
            P,  # the first two swapped: only A_1 = 0 is missing, weight 1 - p
            1 - ((1 - P) * P**3 + P**4) / 4,  # the last one replaced: A_4 = 3/4, weight (1-p)p³ + p⁴
        ],
        abs=1e-15,
    )
    assert overlap_at(a, b, 4).tolist() == [0, 1, 0.75]
    assert changed_at(a, b, 4).tolist() == [1, 0, 1]
    assert changed_at(a, b, 1).tolist() == [1, 1, 0]


def test_longer_lists_are_cut_to_the_shorter_ones() -> None:
    a, b = ranking([0, 1, 2, 3]), ranking([0, 1])
    assert overlap_at(a, b, 2).tolist() == [1]
    with pytest.raises(RobustrecError, match="overlap@3 requires lists of 3 items, but these have 2"):
        overlap_at(a, b, 3)


def test_lists_that_are_short_are_compared_to_their_end() -> None:
    """Two users with three items left, ranked for five places, and one with none."""
    a = ranking([4, 5, 6, -1, -1], [4, 5, 6, -1, -1], [-1] * 5, [0, 1, 2, 3, 4])
    b = ranking([4, 5, 6, -1, -1], [5, 4, 6, -1, -1], [-1] * 5, [0, 1, 2, 3, 9])
    whole = per_user_stability(a, b, ["overlap@5", "rbo@5", "changed@5", "overlap@2"])
    cut = [ranking(*[row.tolist()[:3] for row in each.items[:2]]) for each in (a, b)]
    assert whole["overlap@5"].tolist() == [1, 1, 1, 0.8]
    assert whole["overlap@2"].tolist() == [1, 1, 1, 1]
    assert whole["changed@5"].tolist() == [0, 0, 0, 1]
    assert whole["rbo@5"][:2].tolist() == rbo_at(*cut, 3).tolist()
    assert whole["rbo@5"][2] == 1


def test_what_cannot_be_compared_is_refused() -> None:
    a = ranking([0, 1], [2, 3])
    with pytest.raises(RobustrecError, match="different users"):
        overlap_at(a, Ranking(np.array([1, 0]), a.items), 1)
    with pytest.raises(RobustrecError, match="different users"):
        overlap_at(a, ranking([0, 1]), 1)
    with pytest.raises(RobustrecError, match="unknown metric 'ndcg'"):
        per_user_stability(a, a, ["ndcg@1"])
    with pytest.raises(RobustrecError, match="p=1"):
        rbo_at(a, a, 1, persistence=1)
