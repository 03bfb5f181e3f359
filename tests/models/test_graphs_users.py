"""Users' co-occurrence against dense R Rᵀ, and the average over it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustrec.models.contract import Problem
from robustrec.models.graphs import UserGraph, co_occurrence, neighbour_average, product


def draw_edges(n_users: int, n_items: int, density: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    edges = (torch.rand(n_users, n_items, generator=generator) < density).nonzero()
    return edges[torch.randperm(len(edges), generator=generator)].T.contiguous()


def brute_force(edges: Tensor, n_users: int, n_items: int, k: int) -> list[list[tuple[int, int]]]:
    """Return each user's (neighbour, shared items), most shared first, ties by lower id."""
    ratings = np.zeros((n_users, n_items), np.int64)
    ratings[edges[0], edges[1]] = 1
    counts = ratings @ ratings.T
    found = []
    for user in range(n_users):
        others = [(other, int(counts[user, other])) for other in range(n_users) if other != user]
        found.append(sorted((row for row in others if row[1]), key=lambda row: (-row[1], row[0]))[:k])
    return found


def lists(found: UserGraph) -> list[list[tuple[int, int]]]:
    pairs = list(zip(found.neighbours.tolist(), found.counts.tolist(), strict=True))
    return [pairs[start:end] for start, end in zip(found.starts[:-1], found.starts[1:], strict=True)]


@settings(max_examples=80, deadline=None)
@given(
    n_users=st.integers(1, 14),
    n_items=st.integers(1, 9),
    density=st.floats(0.0, 1.0),
    k=st.integers(1, 16),
    entries=st.sampled_from([1, 7, 40, 2**20]),
    seed=st.integers(0, 10_000),
)
def test_co_occurrence_is_that_of_brute_force(
    n_users: int, n_items: int, density: float, k: int, entries: int, seed: int
) -> None:
    edges = draw_edges(n_users, n_items, density, seed)
    found = co_occurrence(edges, n_users, n_items, k, entries=entries)
    assert lists(found) == brute_force(edges, n_users, n_items, k)
    assert all(part.dtype == np.int64 for part in found)


@settings(max_examples=30, deadline=None)
@given(n_users=st.integers(1, 12), k=st.integers(1, 6), seed=st.integers(0, 10_000), density=st.floats(0, 1))
def test_fewer_neighbours_are_the_first_of_more(n_users: int, k: int, seed: int, density: float) -> None:
    edges = draw_edges(n_users, 6, density, seed)
    fewer, more = (co_occurrence(edges, n_users, 6, count) for count in (k, 50))
    assert lists(more.first(k)) == lists(fewer)
    assert lists(fewer.first(50)) == lists(fewer)


@settings(max_examples=30, deadline=None)
@given(n_users=st.integers(1, 10), k=st.integers(1, 6), seed=st.integers(0, 10_000), density=st.floats(0, 1))
def test_the_average_weighs_by_the_softmax_of_counts(n_users: int, k: int, seed: int, density: float) -> None:
    edges = draw_edges(n_users, 5, density, seed)
    expected = torch.zeros(n_users, n_users)
    for user, row in enumerate(brute_force(edges, n_users, 5, k)):
        if row:
            neighbours, counts = zip(*row, strict=True)
            expected[user, list(neighbours)] = torch.tensor(counts, dtype=torch.float32).softmax(0)
    matrix = neighbour_average(co_occurrence(edges, n_users, 5, k), n_users)
    torch.testing.assert_close(product(matrix, torch.eye(n_users)), expected)


def test_large_counts_do_not_overflow_the_softmax() -> None:
    found = UserGraph(np.array([0, 2, 2, 2]), np.array([1, 2]), np.array([5000, 4999]))
    weights = neighbour_average(found, 3).values
    torch.testing.assert_close(weights, torch.tensor([1.0, 0.0]).softmax(0))


def test_users_by_users_is_never_held() -> None:
    """A million pairs of users; a block of the product has a few thousand."""
    n_users, n_items = 2000, 400
    edges = draw_edges(n_users, n_items, 0.01, seed=1)
    tracemalloc.start()
    try:
        co_occurrence(edges, n_users, n_items, 10, entries=2**12)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < n_users * n_users  # a byte a pair would be that much


def test_a_problem_counts_once_and_prefers_what_the_data_set_brings() -> None:
    edges = draw_edges(9, 6, 0.5, seed=2)
    problem = Problem(9, 6, edges, {})
    assert problem.nearest_users(3) is problem.nearest_users(3)
    assert lists(problem.nearest_users(3)) == brute_force(edges, 9, 6, 3)
    given_ = UserGraph(np.array([0, 3, *[3] * 8]), np.array([4, 2, 1]), np.array([3, 2, 2]))
    own = Problem(9, 6, edges, {}, user_neighbours=given_)
    assert lists(own.nearest_users(2)) == [[(4, 3), (2, 2)], *[[]] * 8]


@pytest.mark.parametrize("n_users", [3, 5])
def test_users_who_share_nothing_have_no_neighbours(n_users: int) -> None:
    edges = torch.stack([torch.arange(n_users), torch.arange(n_users)])
    found = co_occurrence(edges, n_users, n_users, 4)
    assert found.starts.tolist() == [0] * (n_users + 1)
    matrix = neighbour_average(found, n_users)
    assert product(matrix, torch.ones(n_users, 2)).abs().sum() == 0
