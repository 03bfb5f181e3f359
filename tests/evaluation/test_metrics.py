"""Metrics agree with the reference numbers, with other libraries, and with their definitions."""

from __future__ import annotations

from pathlib import Path

import ir_measures
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, P, R, Success, nDCG
from numpy.typing import NDArray
from scipy.sparse import csr_array

from robustrec.datasets.interactions import TEST, TRAIN, VALIDATION, Interactions
from robustrec.errors import RobustrecError
from robustrec.evaluation import kinds
from robustrec.evaluation.kinds import ACCURACY, KINDS, QUALITY, STABILITY, Metric, parse_metric
from robustrec.evaluation.metrics import evaluated_users, hits_of, per_user_metrics
from robustrec.evaluation.ranking import Ranking

DEPTHS = (1, 2, 5, 10)


def random_case(seed: int, n: int = 30, n_items: int = 40, depth: int = 10) -> tuple[Ranking, csr_array]:
    rng = np.random.default_rng(seed)
    relevant = rng.random((2 * n, n_items)) < 0.15
    relevant[np.arange(2 * n), rng.integers(0, n_items, 2 * n)] = True
    users = rng.permutation(2 * n)[:n]
    items = np.stack([rng.permutation(n_items)[:depth] for _ in users])
    return Ranking(users, items.astype(np.int32)), csr_array(relevant.astype(np.float64))


@pytest.mark.parametrize("kind", ["recall", "precision", "ndcg", "map"])
def test_the_reference_numbers_come_out(kind: str) -> None:
    with np.load(Path(__file__).with_name("golden_metrics.npz"), allow_pickle=False) as golden:
        hits, n_relevant, curve = golden["hit"], golden["n_pos"], golden[kind]
    ours = [ACCURACY[kind].function(hits, n_relevant, k).mean() for k in range(1, 51)]
    np.testing.assert_allclose(ours, curve, rtol=0, atol=1e-12)


def test_a_worked_example() -> None:
    # Relevant: 1, 4, 7. The list hits at places 1 and 3.
    ranking = Ranking(np.array([0]), np.array([[4, 0, 1, 2]], dtype=np.int32))
    relevant = csr_array(([1.0, 1, 1], ([0, 0, 0], [1, 4, 7])), shape=(1, 9))
    found = per_user_metrics(ranking, relevant, ["recall@4", "precision@4", "ndcg@4", "map@4", "map@2", "ndcg@2"])
    late = Ranking(np.array([0]), np.array([[0, 2, 4, 1]], dtype=np.int32))
    found |= per_user_metrics(late, relevant, ["mrr@4", "mrr@2", "hit_rate@2", "hit_rate@3"])
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    assert {name: float(value[0]) for name, value in found.items()} == pytest.approx(
        {
            "recall@4": 2 / 3,
            "precision@4": 1 / 2,
            "ndcg@4": 1.5 / ideal,
            "map@4": (1 + 2 / 3) / 3,
            "map@2": 1 / 2,
            "ndcg@2": 1 / (1 + 1 / np.log2(3)),
            "mrr@4": 1 / 3,
            "mrr@2": 0,
            "hit_rate@2": 0,
            "hit_rate@3": 1,
        },
        rel=1e-15,
    )


def test_it_agrees_with_ir_measures() -> None:
    ranking, relevant = random_case(0)
    qrels = [
        ir_measures.Qrel(str(user), str(item), 1)
        for user in ranking.users
        for item in relevant.indices[relevant.indptr[user] : relevant.indptr[user + 1]]
    ]
    run = [
        ir_measures.ScoredDoc(str(user), str(item), -float(place))
        for user, items in zip(ranking.users, ranking.items, strict=True)
        for place, item in enumerate(items)
    ]
    ours = {"ndcg": nDCG, "precision": P, "recall": R, "mrr": RR, "hit_rate": Success}
    found = per_user_metrics(ranking, relevant, [f"{kind}@{k}" for kind in ours for k in DEPTHS])
    theirs = {
        (value.query_id, str(value.measure)): value.value
        for value in ir_measures.iter_calc([measure @ k for measure in ours.values() for k in DEPTHS], qrels, run)
    }
    for kind, measure in ours.items():
        for k in DEPTHS:
            for place, user in enumerate(ranking.users):
                expected = theirs[str(user), str(measure @ k)]
                assert found[f"{kind}@{k}"][place] == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("ignore")  # that library's own import warnings are not ours
@pytest.mark.parametrize("k", DEPTHS)
def test_it_agrees_with_torch_geometric(k: int) -> None:
    from torch_geometric.metrics import (
        LinkPredHitRatio,
        LinkPredMAP,
        LinkPredMRR,
        LinkPredNDCG,
        LinkPredPrecision,
        LinkPredRecall,
    )

    theirs = {"map": LinkPredMAP, "ndcg": LinkPredNDCG, "precision": LinkPredPrecision, "recall": LinkPredRecall}
    theirs |= {"mrr": LinkPredMRR, "hit_rate": LinkPredHitRatio}
    ranking, relevant = random_case(1)
    edges = np.stack(relevant[ranking.users].nonzero())
    found = per_user_metrics(ranking, relevant, [f"{kind}@{k}" for kind in theirs])
    for kind, metric in theirs.items():
        computed = metric(k)
        computed.update(torch.from_numpy(ranking.items.astype(np.int64)), torch.from_numpy(edges.astype(np.int64)))
        assert float(computed.compute()) == pytest.approx(found[f"{kind}@{k}"].mean(), rel=2e-6), kind


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_bounds_and_monotone_recall(seed: int) -> None:
    ranking, relevant = random_case(seed, n=8, n_items=14)
    found = per_user_metrics(ranking, relevant, [f"{kind}@{k}" for kind in ACCURACY for k in range(1, 11)])
    for name, values in found.items():
        assert values.dtype == np.float64, name
        assert (values >= 0).all(), name
        assert (values <= 1).all(), name
    for kind in ("recall", "hit_rate", "mrr"):
        curve = np.stack([found[f"{kind}@{k}"] for k in range(1, 11)])
        assert (np.diff(curve, axis=0) >= 0).all(), kind


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_users_may_come_in_any_order(seed: int) -> None:
    ranking, relevant = random_case(seed, n=8, n_items=14)
    order = np.random.default_rng(seed).permutation(8)
    names = [f"{kind}@5" for kind in ACCURACY]
    before = per_user_metrics(ranking, relevant, names)
    after = per_user_metrics(Ranking(ranking.users[order], ranking.items[order]), relevant, names)
    for name in names:
        assert (after[name] == before[name][order]).all()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 20))
def test_a_perfect_list_has_exactly_one(counts: list[int], k: int) -> None:
    n_relevant = np.array(counts, dtype=np.int64)
    hits: NDArray[np.bool_] = np.arange(20) < n_relevant[:, None]
    assert (ACCURACY["ndcg"].function(hits, n_relevant, k) == 1).all()
    assert (ACCURACY["map"].function(hits, n_relevant, k) == 1).all()
    assert (ACCURACY["recall"].function(hits, n_relevant, 20) == 1).all()
    assert (ACCURACY["precision"].function(hits, n_relevant, int(min(counts))) == 1).all()


def test_stored_zeros_and_unsorted_rows_are_read_right() -> None:
    relevant = csr_array((np.array([1.0, 0.0, 1.0]), np.array([5, 3, 1]), np.array([0, 3])), shape=(1, 6))
    rows, places, n_relevant = hits_of(Ranking(np.array([0]), np.array([[1, 3, 5]], dtype=np.int32)), relevant)
    assert rows.tolist() == [0, 0]
    assert places.tolist() == [0, 2]
    assert n_relevant.tolist() == [2]
    assert relevant.nnz == 3


@pytest.mark.parametrize("name", ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@1.5", "ndcg@five", "ndcg@5@5", "ndcg@ 5"])
def test_a_name_without_a_list_length_is_refused(name: str) -> None:
    with pytest.raises(RobustrecError, match="has no list length"):
        parse_metric(name)


def test_names_are_parsed_and_mistyped_ones_get_a_hint() -> None:
    assert parse_metric("ndcg@20") == Metric("ndcg", 20)
    assert parse_metric("rbo@50") == Metric("rbo", 50)
    with pytest.raises(RobustrecError, match="did you mean 'ndcg'"):
        parse_metric("ndgc@20", where="quick.toml: gates")
    with pytest.raises(RobustrecError, match="unknown metric 'rbo'"):
        per_user_metrics(*random_case(0), ["rbo@5"])
    with pytest.raises(RobustrecError, match="coverage@5 is not a metric of relevant items"):
        per_user_metrics(*random_case(0), ["coverage@5"])


def test_every_metric_is_described() -> None:
    assert [*KINDS] == [*QUALITY, *STABILITY]
    for name, kind in KINDS.items():
        assert kind.description[0].isupper(), name
        assert kind.description.endswith("."), name
        assert kind.label, name
        assert kind.low <= 0 <= kind.high, name


def test_lists_are_looked_at_in_blocks_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    ranking, relevant = random_case(5)
    names = [f"{kind}@{k}" for kind in ACCURACY for k in (1, 7, 10)]
    whole = per_user_metrics(ranking, relevant, names)
    monkeypatch.setattr(kinds, "_CELLS", 40)  # four lists of ten
    parts = per_user_metrics(ranking, relevant, names)
    assert all((parts[name] == whole[name]).all() for name in names)


def test_what_has_no_metric_is_refused() -> None:
    ranking, relevant = random_case(0)
    with pytest.raises(RobustrecError, match="ndcg@11 requires lists of 11 items, but these have 10"):
        per_user_metrics(ranking, relevant, ["ndcg@11"])
    empty = csr_array(relevant.shape, dtype=np.float64)
    with pytest.raises(RobustrecError, match="30 of 30 users have no relevant item"):
        per_user_metrics(ranking, empty, ["ndcg@5"])
    with pytest.raises(RobustrecError, match="0 of 0 users"):
        per_user_metrics(Ranking(ranking.users[:0], ranking.items[:0]), relevant, ["ndcg@5"])


def test_evaluated_users_have_training_rows_and_rows_of_the_split() -> None:
    interactions = Interactions(
        users=np.array([4, 4, 0, 1, 2, 2, 2]),
        items=np.array([0, 1, 0, 0, 0, 1, 2]),
        labels=np.array([TRAIN, TEST, TRAIN, TEST, VALIDATION, TRAIN, TEST], dtype=np.int8),
        n_users=5,
        n_items=3,
    )
    assert evaluated_users(interactions, TEST).tolist() == [2, 4]
    assert evaluated_users(interactions, VALIDATION).tolist() == [2]


def test_a_short_list_scores_like_its_items_and_misses() -> None:
    """User 0 has two items left, both found; user 1 has item 4, which an empty place before row 1 must not hit."""
    relevant = csr_array(np.array([[0, 0, 0, 1, 1], [0, 0, 0, 0, 1]], dtype=np.float64))
    lists = Ranking(np.array([0, 1]), np.array([[3, 4, -1, -1], [-1, -1, -1, -1]], dtype=np.int32))
    found = per_user_metrics(lists, relevant, ["recall@4", "precision@4", "ndcg@4", "map@4", "mrr@4", "hit_rate@4"])
    assert found["recall@4"].tolist() == [1, 0]
    assert found["mrr@4"].tolist() == found["hit_rate@4"].tolist() == [1, 0]
    assert found["precision@4"].tolist() == [0.5, 0]
    assert found["ndcg@4"].tolist() == [1, 0]
    assert found["map@4"].tolist() == [1, 0]
