"""Metrics without lists are those of fully sorted scores, to the bit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from robustrec.errors import RobustrecError
from robustrec.evaluation import places, scoring, top
from robustrec.evaluation.kinds import ACCURACY, parse_metric
from robustrec.evaluation.metrics import per_user_metrics
from robustrec.evaluation.places import per_user_accuracy
from robustrec.evaluation.ranking import rank
from robustrec.evaluation.user_items import UserItems, user_items
from robustrec.models.contract import Scored

Floats = NDArray[np.float64]


class Vectors(NamedTuple):
    users: torch.Tensor
    items: torch.Tensor


class Case(NamedTuple):
    """Scores [U, I] of a kind, and what is masked and relevant; every ranked user has a relevant item."""

    scores: NDArray[np.floating]
    users: NDArray[np.int64]
    masked: csr_array
    relevant: csr_array


def case_of(seed: int, n_items: int, kind: str, share_masked: float) -> Case:
    rng = np.random.default_rng(seed)
    n_users = int(rng.integers(1, 9))
    scores = {
        "distinct": lambda: rng.normal(size=(n_users, n_items)),
        "ties": lambda: rng.choice([-2, -0.0, 0.0, 1, 1.5], size=(n_users, n_items)),
        "constant": lambda: np.full((n_users, n_items), rng.choice([-3.0, 0.0, 2.5])),
        "one user constant": lambda: rng.normal(size=(n_users, n_items)) * (np.arange(n_users) > 0)[:, None],
        "extreme": lambda: rng.choice([-3e38, 3e38, 1e-44, -1e-44, 0.0], size=(n_users, n_items)),
    }[kind]()
    relevant = rng.random((n_users, n_items)) < rng.choice([0.02, 0.3])
    relevant[np.arange(n_users), rng.integers(0, n_items, n_users)] = True
    masked = rng.random((n_users, n_items)) < share_masked
    users = rng.permutation(n_users)[: int(rng.integers(1, n_users + 1))]
    return Case(scores, users, csr_array(masked.astype(np.int8)), csr_array(relevant.astype(np.float64)))


def sorted_lists(case: Case, k: int) -> NDArray[np.int64]:
    """Lists of a full sort by (score descending, id ascending), [n, k]; -1 where nothing is left."""
    found = np.full((len(case.users), k), -1)
    for row, user in enumerate(case.users):
        left = np.flatnonzero(case.masked[[user]].toarray()[0] == 0)
        order = left[np.lexsort((left, -case.scores[user, left]))][:k]
        found[row, : len(order)] = order
    return found


def from_sorted(case: Case, names: list[str]) -> dict[str, Floats]:
    """Metrics of fully sorted lists."""
    longest = max(parse_metric(name).k for name in names)
    lists, relevant = sorted_lists(case, longest), case.relevant[case.users].toarray() != 0
    hits = np.take_along_axis(relevant, np.maximum(lists, 0), axis=1) & (lists >= 0)
    return {
        name: ACCURACY[metric.kind].function(hits, relevant.sum(axis=1), metric.k)
        for name, metric in ((name, parse_metric(name)) for name in names)
    }


NAMES = [f"{kind}@{k}" for kind in ACCURACY for k in (1, 5, 20, 50)]
SIZES = st.sampled_from([1, 3, 15, 16, 17, 120, 800, 1700])
KINDS = st.sampled_from(["distinct", "ties", "constant", "one user constant", "extreme"])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), SIZES, KINDS, st.sampled_from([0.0, 0.1, 0.9, 1.0]), st.sampled_from(["<f4", "<f8"]))
def test_metrics_and_lists_are_those_of_a_full_sort(
    seed: int, n_items: int, kind: str, share_masked: float, dtype: str
) -> None:
    case = case_of(seed, n_items, kind, share_masked)
    case = case._replace(scores=case.scores.astype(dtype))
    rep = Scored(lambda users: torch.from_numpy(case.scores[users]), *case.scores.shape)
    expected = from_sorted(case, NAMES)
    found = per_user_accuracy(rep, case.users, case.masked, case.relevant, NAMES)
    lists = rank(rep, case.users, case.masked, k=50)
    assert lists.items.tolist() == sorted_lists(case, 50).tolist()
    of_lists = per_user_metrics(lists, case.relevant, NAMES)
    assert list(found) == list(of_lists) == NAMES
    for name in NAMES:
        assert found[name].tobytes() == expected[name].tobytes(), name
        assert of_lists[name].tobytes() == expected[name].tobytes(), name


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1000, 333]), KINDS)
def test_long_lists_too(seed: int, k: int, kind: str) -> None:
    case = case_of(seed, 1700, kind, 0.1)
    case = case._replace(scores=case.scores.astype(np.float32))
    rep = Scored(lambda users: torch.from_numpy(case.scores[users]), *case.scores.shape)
    names = [f"{kind}@{k}" for kind in ACCURACY]
    expected = from_sorted(case, names)
    found = per_user_accuracy(rep, case.users, case.masked, case.relevant, names)
    assert rank(rep, case.users, case.masked, k=k).items.tolist() == sorted_lists(case, k).tolist()
    assert all(found[name].tobytes() == expected[name].tobytes() for name in names)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), SIZES, KINDS)
def test_what_an_accelerator_does_is_the_same(seed: int, n_items: int, kind: str) -> None:
    """It chooses no pairs and sorts groups of neighbours, so that it waits for nothing."""
    case = case_of(seed, n_items, kind, 0.1)
    columns = scoring.whole_blocks(n_items)
    scores = torch.full((len(case.users), columns), -torch.inf)
    scores[:, :n_items] = torch.from_numpy(case.scores[case.users].astype(np.float32))
    k = min(20, columns)
    block = scoring.block_of(n_items)
    assert top._top_by_groups(scores, k, block).tolist() == top.top_items(scores, k, block).tolist()
    rows, items = (torch.from_numpy(each).long() for each in np.nonzero(case.relevant[case.users].toarray()))
    own = scores[rows, items]
    counted = places._counted(scores[rows], own[:, None], items) + 1
    assert counted.tolist() == places.places_of(scores, rows, items).tolist()


def test_parts_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of parts are those of the whole, to the bit, and so are lists."""
    generator = torch.Generator().manual_seed(0)
    rep = Vectors(torch.randn(700, 24, generator=generator), torch.randn(2000, 24, generator=generator))
    rng = np.random.default_rng(0)
    masked, relevant = (csr_array((rng.random((700, 2000)) < share).astype(np.int8)) for share in (0.01, 0.005))
    users = np.flatnonzero(np.diff(relevant.indptr))
    whole = rank(rep, users, masked, k=50).items
    metrics = per_user_accuracy(rep, users, masked, relevant, ["ndcg@50", "map@50"])
    monkeypatch.setattr(scoring, "PART_BYTES", 2**30)  # no parts
    assert np.array_equal(whole, rank(rep, users, masked, k=50).items)
    for chunk in (64, 300):
        again = per_user_accuracy(rep, users, masked, relevant, ["ndcg@50", "map@50"], chunk=chunk)
        assert all(np.array_equal(metrics[name], again[name]) for name in metrics)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused_as_in_lists(bad: float) -> None:
    scores = np.random.default_rng(0).normal(size=(5, 300)).astype(np.float32)
    scores[1, 7], scores[3] = bad, bad
    rep = Scored(lambda users: torch.from_numpy(scores[users]), 5, 300)
    nothing = csr_array((5, 300), dtype=np.int8)
    with pytest.raises(RobustrecError, match="the scores of 2 of 5 users are not finite"):
        per_user_accuracy(rep, np.arange(5), nothing, csr_array(np.ones((5, 300))), ["ndcg@20"])
    vectors = Vectors(torch.from_numpy(scores), torch.eye(300))
    with pytest.raises(RobustrecError, match="users are not finite"):
        per_user_accuracy(vectors, np.arange(5), nothing, csr_array(np.ones((5, 300))), ["ndcg@20"])


def test_what_has_no_metric_is_refused() -> None:
    rep = Vectors(torch.ones(2, 1), torch.ones(3, 1))
    nothing, relevant = csr_array((2, 3)), csr_array(np.float64([[1, 0, 0], [0, 0, 0]]))
    with pytest.raises(RobustrecError, match="1 of 2 users have no relevant item"):
        per_user_accuracy(rep, np.arange(2), nothing, relevant, ["ndcg@2"])
    with pytest.raises(RobustrecError, match="unknown metric 'coverage'"):
        per_user_accuracy(rep, np.arange(1), nothing, relevant, ["coverage@2"])


def test_relevant_items_that_are_masked_are_never_hits() -> None:
    """They stand within the first k of a small catalogue, but in no list."""
    rep = Vectors(torch.ones(1, 1), torch.arange(4.0)[:, None])
    masked, relevant = csr_array(np.float64([[0, 0, 1, 1]])), csr_array(np.float64([[1, 0, 0, 1]]))
    found = per_user_accuracy(rep, np.arange(1), masked, relevant, ["recall@20", "mrr@20"])
    assert found["recall@20"].tolist() == [0.5]
    assert found["mrr@20"].tolist() == [0.5]


def test_few_pairs_are_compared_with_all_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the pairs, only those are compared with every item whose groups leave open whether they are in the list."""
    compared = []
    monkeypatch.setattr(
        places, "_places_in_groups", lambda *given: compared.append(len(given[2])) or torch.ones(len(given[2])).long()
    )
    generator = torch.Generator().manual_seed(0)
    rep = Vectors(torch.randn(200, 16, generator=generator), torch.randn(3200, 16, generator=generator))
    relevant = csr_array((np.random.default_rng(0).random((200, 3200)) < 0.003).astype(np.int8))
    users = np.flatnonzero(np.diff(relevant.indptr))
    per_user_accuracy(rep, users, csr_array((200, 3200)), relevant, ["ndcg@20"])
    assert relevant.nnz > 1500
    assert 0 < sum(compared) < 0.02 * relevant.nnz


def test_items_of_users_are_made_and_copied_once() -> None:
    matrix = csr_array((np.array([1.0, 0.0, 2.0, 1.0]), np.array([4, 1, 0, 4]), np.array([0, 2, 4])), shape=(2, 5))
    items = UserItems(np.array([1, 0]), matrix)
    assert (items.rows.tolist(), items.items.tolist()) == ([0, 0, 1], [0, 4, 4])
    assert items.starts.tolist() == [0, 2, 3]
    on = items.on(torch.device("cpu"))
    assert items.on(torch.device("cpu")) is on
    assert user_items(np.array([1, 0]), items) is items
    assert user_items(np.array([0]), items).items.tolist() == [4]
    assert matrix.nnz == 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_finds_the_same_metrics() -> None:
    """Whole numbers, which every product rounds alike, with many ties."""
    rng = np.random.default_rng(0)
    users, items = (torch.from_numpy(rng.integers(-2, 3, size).astype(np.float32)) for size in ((300, 8), (2000, 8)))
    masked, relevant = (csr_array((rng.random((300, 2000)) < share).astype(np.int8)) for share in (0.02, 0.01))
    ranked = np.flatnonzero(np.diff(relevant.indptr))
    found = [
        per_user_accuracy(Vectors(users.to(device), items.to(device)), ranked, masked, relevant, NAMES)
        for device in ("cpu", "cuda")
    ]
    assert all(found[0][name].tobytes() == found[1][name].tobytes() for name in NAMES)
