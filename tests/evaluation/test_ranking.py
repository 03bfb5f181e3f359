"""Full ranking is exact, breaks ties by item id, and refuses what it cannot rank."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from robustrec.errors import RobustrecError
from robustrec.evaluation import scoring
from robustrec.evaluation.ranking import EMPTY, Pairs, rank, rank_pairs
from robustrec.evaluation.scoring import BLOCK
from robustrec.evaluation.top import top_items
from robustrec.models.contract import Scored

NO_PAIRS = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))


class Representation(NamedTuple):
    users: torch.Tensor
    items: torch.Tensor


def of_scores(scores: Any) -> Representation:
    """A representation whose scores are exactly these: items are unit vectors."""
    table = torch.as_tensor(scores, dtype=torch.float32)
    return Representation(table, torch.eye(table.shape[1]))


def nothing(shape: tuple[int, ...]) -> csr_array:
    return csr_array(shape, dtype=np.float64)


def naive(scores: NDArray[np.float32], masked: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    lists = []
    for row, out in zip(scores, masked, strict=True):
        rankable = [item for item in range(len(row)) if not out[item]]
        lists.append(sorted(rankable, key=lambda item: (-row[item], item))[:k])
    return np.array(lists)


def test_a_worked_example() -> None:
    rep = Representation(
        torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 5.0], [3.0, 1.0], [2.0, 3.0], [-1.0, 9.0]])
    )
    masked = csr_array(np.array([[0, 1, 0, 0], [0, 0, 0, 1]], dtype=np.float64))
    found = rank(rep, np.array([1, 0]), masked, k=3)
    assert found.users.tolist() == [1, 0]
    assert found.items.tolist() == [[0, 2, 1], [2, 0, 3]]
    assert found.items.dtype == np.int32


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([BLOCK - 1, BLOCK, 5 * BLOCK + 3, 40 * BLOCK]))
def test_it_agrees_with_sorting_when_most_scores_are_equal(seed: int, k: int, n_items: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.float32([-2, -0.0, 0.0, 1, 1.5])[: rng.integers(1, 6)]
    scores = rng.choice(values, size=(7, n_items))
    masked = rng.random((7, n_items)) < 0.3
    found = rank(of_scores(scores), np.arange(7), csr_array(masked.astype(np.float64)), k=k)
    assert found.items.tolist() == naive(scores, masked, k).tolist()


def test_lists_do_not_depend_on_chunks_or_on_who_else_is_ranked() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(-3, 4, size=(50, 3000)).astype(np.float32)
    masked = csr_array((rng.random((50, 3000)) < 0.01).astype(np.float64))
    users = rng.permutation(50)
    whole = rank(of_scores(scores), users, masked, k=20)
    for chunk in (1, 7, 50, 1000):
        assert (rank(of_scores(scores), users, masked, k=20, chunk=chunk).items == whole.items).all()
    some = rank(of_scores(scores), users[13:20], masked, k=20)
    assert (some.items == whole.items[13:20]).all()


def test_a_tie_across_the_end_of_the_list_goes_to_the_lower_ids() -> None:
    scores = np.zeros((1, 4000), dtype=np.float32)
    scores[0, 3999] = 1
    assert rank(of_scores(scores), np.array([0]), nothing((1, 4000)), k=5).items.tolist() == [[3999, 0, 1, 2, 3]]


def test_random_scores_agree_with_topk_of_torch() -> None:
    scores = torch.randn(40, 100 * BLOCK, generator=torch.Generator().manual_seed(1))
    assert (top_items(scores, 30) == scores.topk(30, dim=1).indices).all()


def test_minus_zero_ties_with_zero() -> None:
    scores = torch.tensor([[-0.0, 0.0] * (BLOCK // 2)])
    assert top_items(scores, 4).tolist() == [[0, 1, 2, 3]]


def test_masked_items_never_appear_even_when_all_scores_are_terrible() -> None:
    scores = np.full((3, 60), -3e37, dtype=np.float32)
    masked = np.zeros((3, 60))
    masked[:, :10] = 1
    found = rank(of_scores(scores), np.arange(3), csr_array(masked), k=50)
    assert found.items.tolist() == [list(range(10, 60))] * 3


def test_a_mask_with_repeated_and_zero_entries_is_read_right() -> None:
    scores = np.float32([[3, 2, 1]])
    masked = csr_array((np.array([1.0, 1.0, 0.0]), np.array([0, 0, 1]), np.array([0, 3])), shape=(1, 3))
    assert rank(of_scores(scores), np.array([0]), masked, k=2).items.tolist() == [[1, 2]]
    assert masked.nnz == 3  # the caller's matrix is left alone


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chunk", [1, None])
def test_scores_that_are_not_finite_are_refused_with_the_number_of_users(bad: float, chunk: int | None) -> None:
    table = torch.ones(5, 4)
    table[1, 0] = bad
    table[4, 3] = bad
    with pytest.raises(RobustrecError, match="the scores of 2 of 5 users are not finite"):
        rank(Representation(table, torch.ones(8, 4)), np.arange(5), nothing((5, 8)), k=2, chunk=chunk)


def test_an_item_of_nan_and_an_overflow_are_found_too() -> None:
    items = torch.ones(8, 4)
    items[7, 1] = torch.nan
    with pytest.raises(RobustrecError, match="5 of 5 users"):
        rank(Representation(torch.ones(5, 4), items), np.arange(5), nothing((5, 8)), k=2)
    with pytest.raises(RobustrecError, match="5 of 5 users"):
        rank(Representation(torch.full((5, 4), 1e30), torch.full((8, 4), 1e30)), np.arange(5), nothing((5, 8)), k=2)


def test_large_but_finite_scores_are_ranked() -> None:
    rep = Representation(torch.tensor([[1e19]]), torch.tensor([[1e18], [2e18], [3e19]]))
    assert rank(rep, np.array([0]), nothing((1, 3)), k=3).items.tolist() == [[2, 1, 0]]


@pytest.mark.parametrize(
    ("users", "shape", "k", "what"),
    [
        ([], (2, 3), 1, "no users"),
        ([2], (2, 3), 1, "user ids reach from 2 to 2"),
        ([-1, 0], (2, 3), 1, "user ids reach from -1"),
        ([0], (2, 4), 1, "does not fit"),
        ([0], (2, 3), 0, "cannot make lists of 0 items"),
    ],
)
def test_what_cannot_be_ranked_is_refused(users: list[int], shape: tuple[int, int], k: int, what: str) -> None:
    with pytest.raises(RobustrecError, match=what):
        rank(of_scores(np.eye(2, 3)), np.array(users, dtype=np.int64), nothing(shape), k=k)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_user_with_fewer_items_left_gets_them_all(k: int, dtype: type) -> None:
    """Three items; the second user has one left, the third none. 40 is beyond the padded columns too."""
    masked = csr_array(np.array([[0, 0, 0], [0, 1, 1], [1, 1, 1]], dtype=np.float64))
    table = np.array([[1, 3, 2], [-9, 5, 6], [1, 2, 3]], dtype=dtype)
    rep = Scored(lambda users: torch.from_numpy(table[users]), 3, 3)
    wanted = [[1, 2, 0], [0], []]
    users = np.array([2, 0, 1])
    for found in (rank(rep, users, masked, k=k), rank_pairs(rep, users, masked, NO_PAIRS, k=k)[0]):
        assert found.items.shape == (3, k)
        for row, user in enumerate(users):
            best = wanted[user][:k]
            assert found.items[row].tolist() == best + [EMPTY] * (k - len(best))
            assert found.lengths[row] == len(best)
    counts = np.bincount([item for best in wanted for item in best[:k]], minlength=3)
    assert found.counts(k, 3).tolist() == counts.tolist()
    assert found.share(np.array([True, False, False]), k).tolist() == [0, 1 / 3 if k > 2 else 0, 1]


def test_scores_in_float64_are_not_merged() -> None:
    """A service that adds a base score of ten million: float32 would make all of these equal."""
    small = np.random.default_rng(0).normal(size=(6, 50))
    small[0, 7] = small[0, 3]  # a tie goes to the lower id
    plain, raised = (Scored(lambda users, t=t: torch.from_numpy(t[users]), 6, 50) for t in (small, small + 1e7))
    one, other = (rank(rep, np.arange(6), nothing((6, 50)), k=50).items for rep in (plain, raised))
    assert (one == other).all()
    assert (one == np.argsort(-small, axis=1, kind="stable")).all()


def test_a_chunk_is_at_least_one_user() -> None:
    with pytest.raises(RobustrecError, match="chunk is 0"):
        rank(of_scores(np.eye(2, 3)), np.array([0]), nothing((2, 3)), k=2, chunk=0)


def test_gradients_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "CPU_SCORE_BYTES", 1)  # one user at a time
    rep = Representation(torch.ones(3, 2, requires_grad=True), torch.ones(6, 2, requires_grad=True))
    found = rank(rep, np.arange(3), nothing((3, 6)), k=2)
    assert found.items.tolist() == [[0, 1]] * 3
    assert rep.users.grad is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_ties_on_a_gpu_go_to_the_lower_ids_too() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(-3, 4, size=(50, 3000)).astype(np.float32)
    masked = csr_array((rng.random((50, 3000)) < 0.01).astype(np.float64))
    rep = of_scores(scores)
    on_gpu = Representation(rep.users.cuda(), rep.items.cuda())
    assert (rank(on_gpu, np.arange(50), masked, k=20).items == rank(rep, np.arange(50), masked, k=20).items).all()
