"""DA-MRS: its published graphs, dense algebra, and what its graphs do with features that carry nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from drawn_problems import SIZES, WIDTHS, Drawn, draw, same_gradients, unit
from golden_recent import CASES
from goldens import load, tiny_data
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from robustrec.errors import RobustrecError
from robustrec.models import da_mrs, log_partition, pseudo_neighbours
from robustrec.models.contract import Batch, Problem
from robustrec.models.graphs import Bipartite, Sparse, denoised, denoised_graphs, session_graph


def dense(graph: Sparse) -> Tensor:
    return Bipartite(graph).to_users(torch.eye(graph.shape[1], dtype=graph.values.dtype))


def by_brute_force(tables: list[Tensor], k: int) -> tuple[list[Tensor], Tensor]:
    """Return the graph [I, I] of each modality, and which pairs survive."""
    n_items = len(tables[0])
    cosines = [unit(table) @ unit(table).T for table in tables]
    survive = torch.stack([c >= c.mean() for c in cosines]).all(0) | torch.eye(n_items, dtype=torch.bool)
    sizes = survive.sum(1).clamp_max(k)
    graphs = []
    for c in cosines:
        order = c.masked_fill(~survive, -torch.inf).argsort(dim=1, descending=True, stable=True)
        graph = torch.zeros(n_items, n_items, dtype=torch.float64)
        for i in range(n_items):
            for j in order[i, : sizes[i]].tolist():
                graph[i, j] = 1 / ((sizes[i].item() + 1e-7) * (sizes[j].item() + 1e-7)) ** 0.5
        graphs.append(graph)
    return graphs, survive


def sessions_by_brute_force(ratings: Tensor, k: int) -> Tensor:
    common = ratings.T @ ratings
    n_items = len(common)
    near = torch.eye(n_items, dtype=torch.bool)
    for i in range(n_items):
        others = sorted((-common[i, j].item(), j) for j in range(n_items) if j != i and common[i, j] >= 2)
        near[i, [j for _, j in others[:k]]] = True
    roots = (near.sum(1).double() + 1e-7).rsqrt()
    return near * roots[:, None] * roots


def test_the_graphs_of_the_modalities_are_the_published_ones() -> None:
    case = load("DAMRS", CASES["DAMRS"])
    graphs = case.model.item_graphs(case.features)
    for name, letter in (("image", "v"), ("text", "t")):
        expected = torch.from_numpy(case.numbers[f"item_graph_{letter}"])
        torch.testing.assert_close(dense(graphs[name]), expected, rtol=1e-6, atol=1e-8)
        # An item of the published example has fewer survivors than neighbours: the row sizes are not all 3.
        assert len(expected.gt(0).sum(1).unique()) > 1


def test_the_session_graph_is_the_published_one_but_for_items_with_as_many_users_in_common() -> None:
    case = load("DAMRS", CASES["DAMRS"])
    problem, _, _ = tiny_data()
    ours = dense(session_graph(problem.edges, problem.n_users, problem.n_items, 2))
    theirs = torch.from_numpy(case.numbers["item_graph_session"])
    pairs = {tuple(pair) for pair in case.numbers["session_pairs"].tolist()}
    assert {tuple(pair) for pair in theirs.nonzero().tolist()} == pairs | {(i, i) for i in range(problem.n_items)}
    ratings = torch.zeros(problem.n_users, problem.n_items)
    ratings[problem.edges[0], problem.edges[1]] = 1
    common = (ratings.T @ ratings).fill_diagonal_(99)
    for i in range(problem.n_items):
        kept = [{j for j in range(problem.n_items) if graph[i, j] > 0} for graph in (ours, theirs)]
        assert sorted(common[i, list(kept[0])].tolist()) == sorted(common[i, list(kept[1])].tolist())
    torch.testing.assert_close(ours[ours > 0].unique(), theirs[theirs > 0].unique())


@settings(max_examples=25, deadline=None)
@given(
    n_items=st.integers(1, 14), k=st.integers(1, 5), seed=st.integers(0, 10_000), held=st.sampled_from([1, 30, 1000])
)
def test_graphs_are_those_of_all_pairs(n_items: int, k: int, seed: int, held: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tables = [torch.randn(n_items, w, generator=generator, dtype=torch.float64) + 0.5 for w in WIDTHS.values()]
    expected, survive = by_brute_force(tables, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(denoised, "HELD", held)
        found = denoised_graphs(tables, k)
    for graph, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(dense(graph), wanted, rtol=1e-12, atol=0)
    assert bool(survive.diagonal().all())


def test_row_sizes_weigh_columns_by_their_own_size() -> None:
    """Items in two groups and one apart: entries between rows of sizes n_i and n_j are neither 1/n_i nor 1/n_j."""
    angles = torch.tensor([0.0, 0.1, 0.2, 0.3, 2.0, 2.1])
    table = torch.stack([angles.cos(), angles.sin()], dim=1)
    (graph,) = denoised_graphs([table], 10)
    found = dense(graph)
    sizes = (found > 0).sum(1)
    assert len(sizes.unique()) > 1
    rows, columns = graph.pattern.rows(), graph.pattern.columns.long()
    expected = (sizes[rows] * sizes[columns]).double().rsqrt().float()
    torch.testing.assert_close(graph.values, expected, rtol=1e-6, atol=0)


@settings(max_examples=20, deadline=None)
@given(**SIZES, k=st.integers(0, 3))
def test_sessions_are_those_of_all_pairs(n_users: int, n_items: int, density: float, seed: int, k: int) -> None:
    drawn = draw(n_users, n_items, density, seed)
    found = dense(session_graph(drawn.problem.edges, n_users, n_items, k))
    torch.testing.assert_close(found, sessions_by_brute_force(drawn.ratings, k).float(), rtol=1e-6, atol=0)


def loss_by_hand(drawn: Drawn, model: Any, n: int, nu: float, zeta: float) -> tuple[Tensor, Tensor]:
    """Return the loss and the scores, with every matrix whole."""
    n_users = drawn.problem.n_users
    start = torch.cat([model.users, model.items])
    ratings = drawn.ratings
    normed = ratings * (ratings.sum(1, keepdim=True) + 1e-7).rsqrt() * (ratings.sum(0) + 1e-7).rsqrt()
    whole = torch.zeros(len(start), len(start), dtype=torch.float64)
    whole[:n_users, n_users:], whole[n_users:, :n_users] = normed, normed.T
    g = (start + whole @ start + whole @ (whole @ start)) / 3
    users, items = g[:n_users], g[n_users:]
    tables = [drawn.features[m] for m in model.modalities]
    graphs = [*by_brute_force(tables, model.config.item_neighbours)[0], sessions_by_brute_force(ratings, 2)]
    h = [graph.detach() @ model.items for graph in graphs]
    mean = sum(h) / len(h)
    scores = users @ (items + mean).T

    u, p, q = drawn.batch[:3]
    own = torch.stack([torch.sigmoid((users[u] * unit(each)[p]).sum(1)) for each in h]).detach()
    level = torch.stack([torch.sigmoid((users[u] * unit(each)[q]).sum(1)) for each in h]).detach().mean()
    sure = (own.mean(0) * torch.exp(-2 * own.var(0))).clamp(0, 1)
    doubted = torch.where(own.mean(0) < level, (own.max(0).values - level).clamp(0, 1), torch.zeros(()).double())
    delta = scores[u, p] - scores[u, q]
    loss = (sure * functional.softplus(-delta) + doubted * functional.softplus(delta)).mean()

    rows, people = torch.cat([p, q]).unique(), u.unique()
    cosines = [unit(each) @ unit(each).T for each in h]
    likely = [torch.softmax(c, dim=1).detach() for c in cosines]
    lost = []
    for place, c in enumerate(cosines):
        others = [each for other, each in enumerate(likely) if other != place]
        rank = sum(others) + len(others) * likely[place]
        for i in rows.tolist():
            first = rank[i].topk(n).indices
            second = likely[place][i].clone().index_fill(0, first, -1).topk(n).indices
            e = torch.exp(c[i] / 0.2)
            lost.append(-torch.log(e[first].sum() / e.sum() + 1e-9))
            lost[-1] = lost[-1] - torch.log(e[second].sum() / (e.sum() - e[first].sum()) + 1e-9)
    loss = loss + nu * torch.stack(lost).mean()
    x = torch.sigmoid(users[people] @ unit(items)[rows].T)
    y = torch.sigmoid(users[people] @ unit(mean)[rows].T)
    divergence = sum(a * (a / b).log() + (1 - a) * ((1 - a) / (1 - b)).log() for a, b in ((x, y), (y, x)))
    return loss + zeta * divergence.mean(), scores


@settings(max_examples=15, deadline=None)
@given(
    **{**SIZES, "n_items": st.integers(6, 12)},
    modalities=st.sampled_from([("image", "text"), ("text",)]),
    held=st.sampled_from([1, 40, 10_000]),
)
def test_da_mrs_is_its_equations(
    n_users: int, n_items: int, density: float, seed: int, modalities: tuple[str, ...], held: int
) -> None:
    drawn = draw(n_users, n_items, density, seed, modalities)
    options = {"pseudo_positives": 3, "item_neighbours": 3, "neighbour_weight": 0.3, "alignment_weight": 0.7}
    model = drawn.build("da-mrs", seed, **options)
    expected, scores = loss_by_hand(drawn, model, 3, 0.3, 0.7)
    users, items = model.represent(drawn.features)
    torch.testing.assert_close(users @ items.T, scores, rtol=1e-6, atol=1e-8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pseudo_neighbours, "HELD", held)
        patch.setitem(log_partition.LOGIT_BYTES, "cpu", 8 * held)
        found = model.loss(drawn.features, drawn.batch).total
        assume(bool((expected - found).abs() < 1e-3 * expected))  # equal vectors tie, and either may be chosen
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
        parameters = list(model.parameters())
        for ours, theirs in zip(
            torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_partitions_leave_keys_out_and_have_both_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (5, 7))
    without = torch.stack([torch.randperm(7, generator=generator)[:2] for _ in range(5)])
    monkeypatch.setitem(log_partition.LOGIT_BYTES, "cpu", 2 * 7 * 8)
    expected = (queries @ keys.T - 2).exp().scatter(1, without, 0).sum(1)
    torch.testing.assert_close(log_partition.partition(queries, keys, without, 2.0), expected)
    inputs = (queries.requires_grad_(), keys.requires_grad_())
    call = lambda a, b: log_partition.partition(a, b, without, 2.0)  # noqa: E731
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)


# --- features that carry nothing


def with_sessions(seed: int = 3) -> tuple[Drawn, Any]:
    drawn = draw(9, 30, 0.3, seed)
    return drawn, drawn.build("da-mrs", item_neighbours=4, pseudo_positives=3)


def test_with_equal_features_the_graphs_carry_nothing() -> None:
    """All cosines are equal, so every row has the same items: scores rank as without the graphs of the modalities."""
    drawn, model = with_sessions()
    model = model.float()
    for value in (0.3, 1e4):  # sums of float32 round
        flat = {m: torch.full_like(table, value).float() for m, table in drawn.features.items()}
        graphs = model.item_graphs(flat)
        for graph in graphs.values():
            assert dense(graph).gt(0).sum(1).tolist() == [4] * 30
            assert torch.equal(dense(graph)[0], dense(graph)[17])
        found = model.represent(flat)
        users, items = model.graph.smooth(model.users, model.items, 2)
        alone = items + _sessions(model) / 3
        difference = found.users @ found.items.T - users @ alone.T
        torch.testing.assert_close(difference, difference[:, :1].expand_as(difference), rtol=0, atol=1e-6)
    # With one modality flat, the other one alone decides which pairs survive.
    half = model.double().item_graphs(drawn.features | {"text": torch.ones_like(drawn.features["text"])})
    (alone_image,) = denoised_graphs([drawn.features["image"]], 4)
    torch.testing.assert_close(dense(half["image"]), dense(alone_image))


def _sessions(model: Any) -> Tensor:
    return dense(model.session.matrix()) @ model.items


def test_zero_rows_are_alone_and_move_no_threshold_to_nan() -> None:
    drawn, model = with_sessions()
    features = {m: table + 1 for m, table in drawn.features.items()}
    features["text"] = features["text"].clone()
    features["text"][4] = 0
    tables = list(features.values())
    for graph, expected in zip(denoised_graphs(tables, 4), by_brute_force(tables, 4)[0], strict=True):
        torch.testing.assert_close(dense(graph), expected)
        assert dense(graph)[4].nonzero().flatten().tolist() == [4]
        assert dense(graph)[:, 4].nonzero().flatten().tolist() == [4]
    assert model.represent(features).items.isfinite().all()
    loss = model.loss(features, drawn.batch)
    loss.total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    none = {m: torch.zeros_like(table) for m, table in features.items()}
    assert model.loss(none, drawn.batch).total.isfinite()


def test_with_frozen_graphs_features_change_nothing_at_all() -> None:
    drawn, model = with_sessions()
    graphs = model.item_graphs(drawn.features)
    moved = {m: torch.randn_like(table) for m, table in drawn.features.items()}
    for one, other in zip(model.represent(drawn.features, graphs), model.represent(moved, graphs), strict=True):
        assert torch.equal(one, other)
    same_gradients(model, *(model.loss(each, drawn.batch, graphs).total for each in (drawn.features, moved)))
    assert not torch.equal(model.represent(drawn.features).items, model.represent(moved).items)


def test_an_edit_of_one_item_can_change_edges_between_others() -> None:
    """The threshold is the mean over the whole catalogue."""
    table = draw(3, 24, 0.3, seed=5).features["image"] + 0.3
    moved = table.clone()
    moved[0] = -20 * moved.mean(0)
    before, after = (dense(denoised_graphs([each], 6)[0])[1:, 1:] > 0 for each in (table, moved))
    assert not torch.equal(before, after)


# --- settings


def test_too_few_items_for_two_sets_are_an_error_that_says_what_to_set() -> None:
    problem = Problem(3, 15, torch.tensor([[0, 1, 2], [0, 1, 14]]), WIDTHS)
    with pytest.raises(RobustrecError, match="2 × 10 pseudo-neighbours of an item, but the data set has 15") as caught:
        da_mrs.DAMRS(problem, da_mrs.DAMRSConfig(), torch.Generator())
    assert "--set da-mrs.pseudo_positives=7" in caught.value.fix
    da_mrs.DAMRS(problem, da_mrs.DAMRSConfig(pseudo_positives=7), torch.Generator())
    da_mrs.DAMRS(problem, da_mrs.DAMRSConfig(neighbour_weight=0), torch.Generator())


@pytest.mark.parametrize("size", [4, 40])
def test_shares_without_a_host_are_those_of_distinct_ids(size: int) -> None:
    """As on a GPU, where rows repeat or are all there are: weighted sums are means over distinct ids."""
    ids = torch.tensor([3, 1, 3, 3, 0, 1])
    x = torch.arange(40.0)[:size] ** 2
    rows, shares = da_mrs.shares_of_repeated(ids, size, torch.float32)
    assert (x[rows] * shares).sum().item() == pytest.approx(x[[0, 1, 3]].mean().item())
    rows, shares = da_mrs._shares(ids, size, torch.float32)
    assert (x[rows] * shares).sum().item() == pytest.approx(x[[0, 1, 3]].mean().item())


def test_weights_of_zero_leave_terms_out() -> None:
    drawn = draw(5, 8, 0.4, seed=1)
    model = drawn.build("da-mrs", neighbour_weight=0.0, alignment_weight=0.0)
    loss = model.loss(drawn.features, Batch(*drawn.batch[:3]))
    assert set(loss.terms) == {"bpr"}
