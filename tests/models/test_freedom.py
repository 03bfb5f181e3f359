"""FREEDOM against dense algebra, and its pruning against exact probabilities."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from robustrec.models import model_class
from robustrec.models.contract import Batch, Problem, item_graphs
from robustrec.models.graphs import Bipartite, product

WIDTHS = {"image": 5, "text": 3}


def draw_problem(n_users: int, n_items: int, density: float, seed: int) -> tuple[Problem, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    edges = (torch.rand(n_users, n_items, generator=generator) < density).nonzero().T.contiguous()
    edges = edges if edges.shape[1] else torch.zeros(2, 1, dtype=torch.int64)
    features = {m: torch.randn(n_items, w, generator=generator, dtype=torch.float64) for m, w in WIDTHS.items()}
    return Problem(n_users, n_items, edges, WIDTHS), features


def build(problem: Problem, seed: int = 0, **options: Any) -> Any:
    kind = model_class("freedom")
    config = kind.Config(**{"latent_width": 4, **options})
    return kind(problem, config, torch.Generator().manual_seed(seed)).double()


def dense_smooth(graph: Tensor, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """Return LightGCN's mean over the adjacency of a block [U, I]."""
    size = sum(graph.shape)
    adjacency = torch.zeros(size, size, dtype=torch.float64)
    adjacency[: graph.shape[0], graph.shape[0] :] = graph
    adjacency[graph.shape[0] :, : graph.shape[0]] = graph.T
    x = torch.cat([users, items])
    mean = sum(torch.linalg.matrix_power(adjacency, layer) @ x for layer in range(layers + 1)) / (layers + 1)
    return mean[: graph.shape[0]], mean[graph.shape[0] :]


def dense_graph(graph: Bipartite) -> Tensor:
    return graph.to_users(torch.eye(graph.matrix.shape[1], dtype=torch.float64))


def normalised_by_brute_force(kept: Tensor) -> Tensor:
    """Return D_u^-1/2 R D_i^-1/2 of a 0/1 matrix, degrees plus 1e-7."""
    return kept * (kept.sum(1, keepdim=True) + 1e-7).rsqrt() * (kept.sum(0) + 1e-7).rsqrt()


@settings(max_examples=25, deadline=None)
@given(
    n_users=st.integers(1, 8),
    n_items=st.integers(1, 9),
    density=st.floats(0.0, 0.9),
    k=st.integers(1, 5),
    layers=st.integers(0, 3),
    item_layers=st.integers(0, 2),
    pruning=st.sampled_from([0.0, 0.3, 0.8]),
    seed=st.integers(0, 10_000),
)
def test_freedom_is_its_equations(
    n_users: int, n_items: int, density: float, k: int, layers: int, item_layers: int, pruning: float, seed: int
) -> None:
    problem, features = draw_problem(n_users, n_items, density, seed)
    options = {"layers": layers, "item_layers": item_layers, "item_neighbours": k, "pruning": pruning}
    model = build(problem, seed, reg_weight=0.2, **options)
    with torch.no_grad():
        for delta in model.deltas.values():
            delta.normal_(generator=torch.Generator().manual_seed(seed))
    graph = torch.zeros(n_items, n_items, dtype=torch.float64)
    for modality, share in (("image", 0.1), ("text", 0.9)):
        unit = functional.normalize(features[modality], dim=1)
        near = (unit @ unit.T).argsort(dim=1, descending=True, stable=True)[:, :k]
        graph += share * torch.zeros_like(graph).scatter(1, near, 1 / (min(k, n_items) + 1e-7))
    own = torch.linalg.matrix_power(graph, item_layers) @ model.items
    ratings = torch.zeros(n_users, n_items, dtype=torch.float64)
    ratings[problem.edges[0], problem.edges[1]] = 1

    found = model.represent(features)

    users, items = dense_smooth(normalised_by_brute_force(ratings), model.users, model.items, layers)
    torch.testing.assert_close(found.users, users, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.items, items + own, rtol=1e-5, atol=1e-6)

    state = model.epoch_state(features, torch.Generator().manual_seed(seed))
    batch = Batch(problem.edges[0][:3], problem.edges[1][:3], torch.zeros_like(problem.edges[1][:3]), epoch=state)
    kept = (dense_graph(state) > 0).double()
    users, items = dense_smooth(normalised_by_brute_force(kept), model.users, model.items, layers)
    expected = bpr(users, items + own, batch)
    for modality in WIDTHS:
        layer = model.projections[modality]
        tuned = (features[modality] + model.deltas[modality]) @ layer.weight.T + layer.bias
        expected = expected + 0.2 * bpr(users, tuned, batch)
    torch.testing.assert_close(model.loss(features, batch).total, expected, rtol=1e-5, atol=1e-6)


def bpr(users: Tensor, items: Tensor, batch: Batch) -> Tensor:
    difference = (users[batch.users] * (items[batch.positives] - items[batch.negatives])).sum(1)
    return -functional.logsigmoid(difference).mean()


@settings(max_examples=30, deadline=None)
@given(
    density=st.floats(0.1, 1.0), pruning=st.sampled_from([0.1, 0.3, 0.5, 0.8, 0.9, 0.99]), seed=st.integers(0, 10_000)
)
def test_a_pruned_graph_holds_a_share_of_the_edges(density: float, pruning: float, seed: int) -> None:
    problem, features = draw_problem(7, 6, density, seed)
    model = build(problem, pruning=pruning)
    state = model.epoch_state(features, torch.Generator().manual_seed(seed))
    kept = dense_graph(state) > 0
    ratings = torch.zeros(7, 6, dtype=torch.bool)
    ratings[problem.edges[0], problem.edges[1]] = True
    assert kept.sum() == problem.edges.shape[1] * (100 - round(100 * pruning)) // 100
    assert not (kept & ~ratings).any()
    torch.testing.assert_close(dense_graph(state), normalised_by_brute_force(kept.double()), rtol=1e-6, atol=1e-9)
    transpose = state.to_items(torch.eye(7, dtype=torch.float64))
    torch.testing.assert_close(transpose, dense_graph(state).T)


def test_without_pruning_every_epoch_has_all_edges() -> None:
    problem, features = draw_problem(6, 5, 0.5, seed=1)
    model = build(problem, pruning=0.0)
    batch = Batch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([2, 3]))
    state = model.epoch_state(features, torch.Generator())
    assert torch.equal(model.loss(features, batch).total, model.loss(features, batch._replace(epoch=state)).total)


def test_edges_are_kept_with_the_probabilities_of_successive_draws() -> None:
    """Exactly: P(S) is the sum over the orders of S of the products of w_e over what is left of all weights."""
    edges = torch.tensor([[0, 0, 0, 1, 2, 2], [0, 1, 2, 0, 0, 3]])
    problem = Problem(3, 4, edges, WIDTHS)
    model = build(problem, pruning=0.5)
    degree = torch.tensor([3.0, 1, 2]), torch.tensor([3.0, 1, 1, 1])
    weights = (degree[0][edges[0]] * degree[1][edges[1]]).rsqrt().tolist()
    exact = torch.zeros(6, dtype=torch.float64)
    for order in permutations(range(6), 3):
        probability, left = 1.0, sum(weights)
        for edge in order:
            probability *= weights[edge] / left
            left -= weights[edge]
        exact[list(order)] += probability
    assert exact.sum().item() == pytest.approx(3)

    draws = 4000
    generator = torch.Generator().manual_seed(11)
    count = torch.zeros(3, 4, dtype=torch.float64)
    for _ in range(draws):
        count += dense_graph(model.epoch_state({}, generator)) > 0

    frequency = (count / draws)[edges[0], edges[1]]
    spread = (exact * (1 - exact) / draws).sqrt()
    assert ((frequency - exact).abs() < 4.5 * spread).all(), (frequency, exact)
    # Uniform draws would keep every edge half the time: the test would see them.
    assert ((0.5 - exact).abs() > 9 * spread).any()


def test_scores_follow_features_through_the_item_graph_alone() -> None:
    problem, features = draw_problem(6, 9, 0.4, seed=2)
    model = build(problem, item_neighbours=3)
    graphs = item_graphs(model, features)
    moved = {m: torch.randn_like(table) for m, table in features.items()}
    assert torch.equal(model.represent(moved, graphs).items, model.represent(features, graphs).items)
    assert not torch.equal(model.represent(moved).items, model.represent(features).items)
    # A change too small to change who is nearest changes nothing.
    nudged = {m: table * (1 + 1e-12) for m, table in features.items()}
    assert torch.equal(model.represent(nudged).items, model.represent(features).items)
    table = features["image"].clone().requires_grad_()
    users, items = model.represent(features | {"image": table})
    assert torch.autograd.grad((users @ items.T).sum(), table, allow_unused=True)[0] is None


def test_fine_tuned_features_do_not_change_the_item_graph_or_the_scores() -> None:
    problem, features = draw_problem(6, 9, 0.4, seed=3)
    model = build(problem, item_neighbours=3)
    before = model.represent(features)
    with torch.no_grad():
        for delta in model.deltas.values():
            delta.normal_()
    assert torch.equal(model.represent(features).items, before.items)


def test_products_over_a_pruned_graph_have_their_gradient() -> None:
    problem, features = draw_problem(5, 6, 0.6, seed=4)
    state = build(problem, pruning=0.4).epoch_state(features, torch.Generator().manual_seed(0))
    x = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: product(state.matrix, x), (x,))
