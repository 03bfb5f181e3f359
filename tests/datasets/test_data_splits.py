from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION
from robustrec.datasets.splits import k_core, split_per_user

pair_sets = st.sets(st.tuples(st.integers(0, 7), st.integers(0, 30)), max_size=120).map(sorted)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def plain_core(pairs: list[tuple[int, int]], k: int) -> set[tuple[int, int]]:
    left = list(pairs)
    while True:
        users = [user for user, _ in left]
        items = [item for _, item in left]
        kept = [(u, i) for u, i in left if users.count(u) >= k and items.count(i) >= k]
        if len(kept) == len(left):
            return set(kept)
        left = kept


@given(pairs=pair_sets, k=st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_k_core_is_the_largest_set_where_everyone_has_k(pairs: list[tuple[int, int]], k: int) -> None:
    keep = k_core(*columns(pairs), k=k)
    assert {pair for pair, kept in zip(pairs, keep, strict=True) if kept} == plain_core(pairs, k)


def test_k_core_unravels_a_chain() -> None:
    """A path of user-item edges has no 2-core, but it takes many rounds to see it."""
    users = np.repeat(np.arange(20), 2)[1:-1]
    items = np.repeat(np.arange(19), 2)
    assert not k_core(users, items, k=2).any()
    assert k_core(users, items, k=1).all()


def test_k_core_takes_any_ids() -> None:
    users = np.array(["b", "a", "b", "a", "c"])
    items = np.array([10**12, 10**12, -5, -5, -5])
    assert k_core(users, items, k=2).tolist() == [True, True, True, True, False]


@pytest.mark.parametrize(
    ("n", "train", "validation", "test"),
    [(1, 1, 0, 0), (2, 2, 0, 0), (3, 1, 1, 1), (5, 3, 1, 1), (9, 7, 1, 1), (10, 8, 1, 1), (14, 12, 1, 1),
     (15, 12, 1, 2), (20, 16, 2, 2), (25, 20, 2, 3), (35, 28, 3, 4), (100, 80, 10, 10)],
)  # fmt: skip
def test_split_sizes_follow_the_rule(n: int, train: int, validation: int, test: int) -> None:
    labels = split_per_user(np.zeros(n, dtype=np.int64), np.arange(n), seed=3)
    assert [int((labels == label).sum()) for label in (TRAIN, VALIDATION, TEST)] == [train, validation, test]


@given(pairs=pair_sets, seed=st.integers(0, 2**31), data=st.data())
@settings(max_examples=60, deadline=None)
def test_split_depends_on_the_pairs_and_the_seed_alone(
    pairs: list[tuple[int, int]], seed: int, data: st.DataObject
) -> None:
    labels = split_per_user(*columns(pairs), seed=seed)
    assert labels.dtype == np.int8
    by_pair = dict(zip(pairs, labels.tolist(), strict=True))
    shuffled = data.draw(st.permutations(pairs))
    again = split_per_user(*columns(list(shuffled)), seed=seed)
    assert dict(zip(shuffled, again.tolist(), strict=True)) == by_pair
    for user in {user for user, _ in pairs}:
        n = sum(1 for other, _ in pairs if other == user)
        held = n // 5 if n >= 10 else 2 if n >= 3 else 0
        counts = [sum(1 for (other, _), label in by_pair.items() if other == user and label == x) for x in range(3)]
        assert counts == [n - held, held // 2, held - held // 2]


def test_seeds_differ_and_every_position_is_held_out_equally_often() -> None:
    users, items = np.zeros(10, dtype=np.int64), np.arange(10)
    splits = np.array([split_per_user(users, items, seed=seed) for seed in range(2000)])
    assert len(np.unique(splits, axis=0)) > 80  # of 90 possible
    share = (splits == TEST).mean(axis=0)
    # Each is 0.1 with a standard error of 0.0067; five of them leave a false alarm in a million.
    assert np.abs(share - 0.1).max() < 5 * np.sqrt(0.1 * 0.9 / 2000)
