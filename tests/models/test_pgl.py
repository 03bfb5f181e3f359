"""PGL: its published numbers in both modes and with dropout, dense algebra, and its graph of large entries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from drawn_problems import SIZES, draw, unit
from golden_recent import CASES, GLOBAL, OFFSET
from goldens import Case, load
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import svds
from torch import Tensor
from torch.nn import functional

from robustrec.models import pgl
from robustrec.models.contract import Batch, item_graphs
from robustrec.models.graphs import Bipartite, UserItemGraph, normalised, principal, principal_graph


def block(graph: Bipartite) -> Tensor:
    """Return R̂ [U, I] of a graph as a dense matrix."""
    values = graph.matrix.values
    return graph.to_users(torch.eye(graph.matrix.shape[1], dtype=values.dtype))


def both_ways(graph: Bipartite) -> Tensor:
    """Return the adjacency [[0, R̂], [R̂ᵀ, 0]]."""
    n_users, n_items = graph.matrix.shape
    whole = torch.zeros(n_users + n_items, n_users + n_items, dtype=graph.matrix.values.dtype)
    whole[:n_users, n_users:] = block(graph)
    whole[n_users:, :n_users] = graph.to_items(torch.eye(n_users, dtype=whole.dtype))
    return whole


def published(case: Case, key: str) -> Tensor:
    return torch.from_numpy(case.numbers[key])


def test_the_graphs_of_mode_local_are_the_published_ones() -> None:
    case = load("PGL", CASES["PGL"])
    graph = item_graphs(case.model, case.features)["items"]
    dense = graph_of(graph, case.model.n_items)
    torch.testing.assert_close(dense, published(case, "item_graph_dense"), rtol=1e-6, atol=1e-8)
    drawn = case.batches[0].epoch
    torch.testing.assert_close(both_ways(drawn), published(case, "train_graph_dense"), rtol=1e-6, atol=1e-8)
    # The number of edges that the published code keeps; which ones is its draw.
    own = case.model.epoch_state(case.features, torch.Generator().manual_seed(1))
    assert own.matrix.pattern.n_entries == case.numbers["kept_edges"].shape[1]


def graph_of(graph: Any, size: int) -> Tensor:
    return Bipartite(graph).to_users(torch.eye(size, dtype=graph.values.dtype))


def test_mode_global_has_the_published_numbers() -> None:
    case = load("PGL", GLOBAL)
    trained_on = Bipartite(case.model.principal.matrix())
    torch.testing.assert_close(both_ways(trained_on), published(case, "global/train_graph_dense"), rtol=0, atol=1e-7)
    loss = case.model.loss(case.features, case.batches[0])
    assert loss.total.item() == pytest.approx(case.numbers["global/loss"].item(), rel=1e-6)
    users, items = case.model.represent(case.features)
    torch.testing.assert_close(users @ items.T, published(case, "global/scores"), rtol=0, atol=1e-5)
    loss.total.backward()
    expected = case.group("global/grad")
    for name, parameter in case.model.named_parameters():
        off = (parameter.grad - expected[name]).abs().max()
        assert off <= min(1e-6, 1e-5 * float(expected[name].abs().max())), name


def test_dropout_has_the_published_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the recorded masks, in the order users, users again, positives, positives again."""
    case = load("PGL", CASES["PGL"])
    rate = case.numbers["noisy/rate"].item()
    masks = iter([case.numbers[f"noisy/mask_{name}"] for name in ("u", "u2", "p", "p2")])
    monkeypatch.setattr(pgl, "dropped", lambda rows, *_: rows * torch.from_numpy(next(masks)) / (1 - rate))
    loss = case.model.loss(case.features, case.batches[0])
    assert loss.total.item() == pytest.approx(case.numbers["noisy/loss"].item(), rel=1e-6)
    loss.total.backward()
    expected = case.group("noisy/grad")
    assert len(expected) == 3
    for name, gradient in expected.items():
        found = case.model.get_parameter(name).grad
        assert (found - gradient).abs().max() <= min(1e-6, 1e-5 * float(gradient.abs().max())), name
    assert next(masks, None) is None


def test_dropout_keeps_a_share_and_its_mean_and_the_views_differ() -> None:
    rows = torch.ones(400, 50)
    first, second = (pgl.dropped(rows, 0.3, Batch(rows, rows, rows, seed=4).noise(f"dropout {v}")) for v in (1, 2))
    values, counts = first.unique(return_counts=True)
    torch.testing.assert_close(values, torch.tensor([0, 1 / 0.7]))
    assert counts[0].item() == pytest.approx(0.3 * rows.numel(), rel=0.05)
    # Two masks that are independent are both 0 at 9 % of the places.
    assert ((first == 0) & (second == 0)).double().mean().item() == pytest.approx(0.09, rel=0.1)
    assert pgl.dropped(rows, 0.3, None) is rows


@settings(max_examples=20, deadline=None)
@given(
    **SIZES,
    k=st.integers(1, 5),
    layers=st.integers(0, 3),
    item_layers=st.integers(0, 2),
    mode=st.sampled_from(["local", "global"]),
)
def test_pgl_is_its_equations(
    n_users: int, n_items: int, density: float, seed: int, k: int, layers: int, item_layers: int, mode: str
) -> None:
    drawn = draw(n_users, n_items, density, seed)
    options = {"item_neighbours": k, "layers": layers, "item_layers": item_layers, "mode": mode}
    model = drawn.build("pgl", seed, contrast_weight=0.3, temperature=0.4, **options)
    with torch.no_grad():
        for delta in model.deltas.values():
            delta.normal_(generator=torch.Generator().manual_seed(seed))
    item_graph = torch.zeros(n_items, n_items, dtype=torch.float64)
    own = []
    for modality, share in (("image", 0.1), ("text", 0.9)):
        near = unit(drawn.features[modality]) @ unit(drawn.features[modality]).T
        near = near.argsort(dim=1, descending=True, stable=True)[:, :k]
        item_graph += share * torch.zeros_like(item_graph).scatter(1, near, 1 / (min(k, n_items) + 1e-7))
        layer = model.projections[modality]
        own.append(unit(layer(drawn.features[modality] + model.deltas[modality])))
    start = torch.cat([torch.cat([model.preferences["image"], model.preferences["text"]], 1), torch.cat(own, 1)])

    def vectors(adjacency: Tensor) -> tuple[Tensor, Tensor]:
        mean = sum(torch.linalg.matrix_power(adjacency, layer) @ start for layer in range(layers + 1)) / (layers + 1)
        spread = torch.linalg.matrix_power(item_graph, item_layers) @ start[n_users:]
        return mean[:n_users], mean[n_users:] + spread

    ratings = drawn.ratings
    normed = ratings * (ratings.sum(1, keepdim=True) + 1e-7).rsqrt() * (ratings.sum(0) + 1e-7).rsqrt()
    whole = torch.zeros(n_users + n_items, n_users + n_items, dtype=torch.float64)
    whole[:n_users, n_users:], whole[n_users:, :n_users] = normed, normed.T
    for found, expected in zip(model.represent(drawn.features), vectors(whole), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)

    state = model.epoch_state(drawn.features, torch.Generator().manual_seed(seed))
    if mode == "local":
        assert state.matrix.pattern.n_entries == 3 * drawn.problem.edges.shape[1] // 10
    trained_on = Bipartite(model.principal.matrix()) if state is None else state
    users, items = vectors(both_ways(trained_on))
    batch = drawn.batch._replace(epoch=state)
    u, p, n = users[batch.users], items[batch.positives], items[batch.negatives]
    expected = -functional.logsigmoid((u * (p - n)).sum(1)).mean()
    for rows in (u, p):
        expected = expected + 0.15 * -torch.log_softmax(unit(rows) @ unit(rows).T / 0.4, 1).diagonal().mean()
    torch.testing.assert_close(model.loss(drawn.features, batch).total, expected, rtol=1e-6, atol=1e-8)


def test_an_item_without_features_has_the_vector_of_the_biases() -> None:
    drawn = draw(6, 9, 0.4, seed=2)
    model = drawn.build("pgl", layers=0, item_layers=0)
    features = {m: table.clone() for m, table in drawn.features.items()}
    for table in features.values():
        table[4] = 0
    found = model.represent(features).items
    assert found.isfinite().all()
    expected = torch.cat([functional.normalize(model.projections[m].bias, dim=0) for m in ("image", "text")])
    torch.testing.assert_close(found[4], 2 * expected)  # g and G⁰z
    full = drawn.build("pgl", item_neighbours=3)
    loss = full.loss(features, drawn.batch)
    loss.total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in full.parameters())
    graph = graph_of(full.item_graphs(features)["items"], 9)
    assert (graph[:, 4] > 0).sum() < 6, "an item without features is not everyone's neighbour"


def test_without_a_weight_there_is_no_contrast() -> None:
    drawn = draw(6, 9, 0.4, seed=3)
    model = drawn.build("pgl", contrast_weight=0.0)
    assert set(model.loss(drawn.features, drawn.batch._replace(seed=1)).terms) == {"bpr"}


# --- the graph of large entries


def random_graph(n_users: int, n_items: int, density: float, seed: int) -> Bipartite:
    generator = torch.Generator().manual_seed(seed)
    edges = (torch.rand(n_users, n_items, generator=generator) < density).nonzero().T
    return normalised(edges[0], edges[1], (n_users, n_items), offset=OFFSET, dtype=torch.float64)


def by_the_whole_adjacency(graph: Bipartite) -> Tensor:
    """Return Σ_{j≤16} s_j s_{K-16+j} l_j r_jᵀ with entries below 1e-3 set to 0, from the whole adjacency's triples."""
    left, values, right = torch.linalg.svd(both_ways(graph))
    kept = min(64, len(values))
    weights = values[:16] * values[kept - 16 : kept]
    whole = (left[:, :16] * weights) @ right[:16]
    return torch.where(whole.abs() < 1e-3, 0.0, whole)


@pytest.mark.parametrize(("n_users", "n_items", "density"), [(220, 150, 0.08), (150, 200, 0.05), (40, 50, 0.2)])
def test_the_graph_is_that_of_the_whole_adjacency(n_users: int, n_items: int, density: float) -> None:
    graph = random_graph(n_users, n_items, density, seed=1)
    found = both_ways(principal_graph(graph))
    torch.testing.assert_close(found, by_the_whole_adjacency(graph), rtol=0, atol=1e-11)
    assert 0 < found.count_nonzero() < found.numel() // 2


def test_sparse_and_dense_singular_values_give_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(220, 150, 0.08, seed=2)
    used = []
    monkeypatch.setattr(principal, "svds", lambda *a, **k: used.append(1) or svds(*a, **k))
    sparse = block(principal_graph(graph))
    monkeypatch.setattr(principal, "_SHORT", 1000)
    dense = block(principal_graph(graph))
    assert used == [1]
    torch.testing.assert_close(sparse, dense, rtol=0, atol=1e-11)


def test_equal_singular_values_do_not_leave_the_graph_to_a_basis() -> None:
    """Two components with the largest singular value each: renamed, the graph is the same."""
    graph = random_graph(30, 25, 0.2, seed=3)
    users, items = graph.matrix.pattern.rows(), graph.matrix.pattern.columns.long()
    twice = torch.cat([users, users + 30]), torch.cat([items, items + 25])
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    places = torch.randperm(50, generator=torch.Generator().manual_seed(2))
    found = block(principal_graph(normalised(*twice, (60, 50), offset=OFFSET, dtype=torch.float64)))
    renamed = normalised(order[twice[0]], places[twice[1]], (60, 50), offset=OFFSET, dtype=torch.float64)
    torch.testing.assert_close(block(principal_graph(renamed))[order][:, places], found, rtol=0, atol=1e-10)
    torch.testing.assert_close(found[:30, :25], found[30:, 25:], rtol=0, atol=1e-10)
    assert not found[:30, 25:].any()
    assert not found[30:, :25].any()


def test_as_many_components_as_singular_values_and_more() -> None:
    """Forty pairs: each singular value is 1, and each pair has its share of the eight that are kept."""
    pairs = torch.arange(40)
    found = block(principal_graph(normalised(pairs, pairs, (40, 40), offset=0.0, dtype=torch.float64)))
    torch.testing.assert_close(found, torch.eye(40, dtype=torch.float64) * 8 / 40)


def test_entries_are_at_least_the_threshold_and_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(principal, "_HELD", 500)
    graph = random_graph(150, 140, 0.05, seed=4)
    in_parts = principal_graph(graph, 0.01)
    monkeypatch.setattr(principal, "_HELD", 10**7)
    found = principal_graph(graph, 0.01)
    assert torch.equal(found.matrix.pattern.columns, in_parts.matrix.pattern.columns)
    assert found.matrix.values.abs().min() >= 0.01
    assert found.matrix.pattern.n_entries <= 8 / 0.01**2
    dense = block(principal_graph(graph, 0.0))
    expected = torch.where(dense.abs() < 0.01, 0.0, dense)
    torch.testing.assert_close(block(found), expected, rtol=0, atol=1e-12)
    assert principal_graph(graph, 10.0).matrix.pattern.n_entries == 0


def test_the_buffer_of_a_float32_model_is_float32() -> None:
    graph = UserItemGraph(3, 4, torch.tensor([[0, 1, 2], [0, 1, 3]]), offset=OFFSET)
    assert principal_graph(graph.bipartite()).matrix.values.dtype == torch.float32
    assert np.isfinite(principal_graph(graph.bipartite()).matrix.values.numpy()).all()
