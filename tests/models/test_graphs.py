"""The sparse graph against dense algebra and against torch-geometric."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustrec.models import model_class
from robustrec.models.contract import Problem
from robustrec.models.graphs import UserItemGraph


def random_edges(n_users: int, n_items: int, density: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    edges = (torch.rand(n_users, n_items, generator=generator) < density).nonzero().T
    return edges if edges.shape[1] else torch.zeros(2, 1, dtype=torch.int64)


def dense_adjacency(n_users: int, n_items: int, edges: Tensor, offset: float) -> Tensor:
    """D^-1/2 A D^-1/2 of the whole graph, float64."""
    size = n_users + n_items
    adjacency = torch.zeros(size, size, dtype=torch.float64)
    adjacency[edges[0], n_users + edges[1]] = 1
    adjacency += adjacency.T.clone()
    scale = (adjacency.sum(1) + offset).rsqrt()
    return scale[:, None] * adjacency * scale


@settings(max_examples=40, deadline=None)
@given(
    n_users=st.integers(1, 9),
    n_items=st.integers(1, 9),
    layers=st.integers(0, 5),
    density=st.floats(0.0, 1.0),
    seed=st.integers(0, 10_000),
)
def test_propagation_is_the_mean_of_dense_powers(
    n_users: int, n_items: int, layers: int, density: float, seed: int
) -> None:
    edges = random_edges(n_users, n_items, density, seed)
    generator = torch.Generator().manual_seed(seed)
    users = torch.randn(n_users, 3, dtype=torch.float64, generator=generator)
    items = torch.randn(n_items, 5, dtype=torch.float64, generator=generator)
    graph = UserItemGraph(n_users, n_items, edges, offset=1e-7).double()
    adjacency = dense_adjacency(n_users, n_items, edges, 1e-7)
    mean = torch.stack([torch.linalg.matrix_power(adjacency, k) for k in range(layers + 1)]).mean(0)

    found = graph.propagate(users, items, layers)

    for part, expected in [
        (found.users_from_users, mean[:n_users, :n_users] @ users),
        (found.users_from_items, mean[:n_users, n_users:] @ items),
        (found.items_from_users, mean[n_users:, :n_users] @ users),
        (found.items_from_items, mean[n_users:, n_users:] @ items),
    ]:
        # The edge weights were rounded to float32.
        torch.testing.assert_close(part, expected, rtol=1e-5, atol=1e-6)


def test_product_is_differentiable_twice() -> None:
    edges = random_edges(5, 4, 0.5, seed=3)
    graph = UserItemGraph(5, 4, edges, offset=1e-7).double()
    generator = torch.Generator().manual_seed(0)
    items = torch.randn(4, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    users = torch.randn(5, 2, dtype=torch.float64, generator=generator, requires_grad=True)

    def curved(users: Tensor, items: Tensor) -> Tensor:
        return sum((part**3).sum() for part in graph.propagate(users, items, 3))

    assert torch.autograd.gradcheck(graph.bipartite().to_users, (items,))
    assert torch.autograd.gradcheck(curved, (users, items))
    assert torch.autograd.gradgradcheck(curved, (users, items))


def test_hessian_vector_product_matches_the_dense_hessian() -> None:
    graph = UserItemGraph(3, 2, random_edges(3, 2, 0.7, seed=1), offset=1e-7).double()
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).requires_grad_()

    def energy(flat: Tensor) -> Tensor:
        return graph.bipartite().to_users(flat.view(2, 3)).pow(4).sum()

    vector = torch.arange(6, dtype=torch.float64)
    gradient = torch.autograd.grad(energy(x), x, create_graph=True)[0]
    product = torch.autograd.grad(gradient @ vector, x)[0]
    # The same with a dense matrix in its place.
    matrix = graph.bipartite().to_users(torch.eye(2, dtype=torch.float64))
    dense = torch.autograd.functional.hessian(lambda flat: (matrix @ flat.view(2, 3)).pow(4).sum(), x.detach())
    torch.testing.assert_close(product, dense @ vector)


def test_nodes_without_edges_stay_finite_and_receive_nothing() -> None:
    graph = UserItemGraph(3, 3, torch.tensor([[0], [1]]), offset=1e-8)
    spread = graph.propagate(torch.ones(3, 2), torch.ones(3, 2), 2)
    assert all(part.isfinite().all() for part in spread)
    assert spread.items_from_users[0].abs().sum() == 0
    assert spread.users_from_items[2].abs().sum() == 0


def test_graph_is_no_part_of_the_saved_state() -> None:
    assert UserItemGraph(2, 2, torch.tensor([[0, 1], [1, 0]]), offset=1e-7).state_dict() == {}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch-geometric imports torch.jit
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_lightgcn_matches_torch_geometric(layers: int) -> None:
    from torch_geometric.nn.models import LightGCN as Oracle

    n_users, n_items, width = 13, 9, 8
    edges = random_edges(n_users, n_items, 0.3, seed=layers)
    kind = model_class("lightgcn")
    model = kind(
        Problem(n_users, n_items, edges, {}),
        kind.Config(latent_width=width, layers=layers),
        torch.Generator().manual_seed(1),
    )
    oracle = Oracle(n_users + n_items, width, layers)
    with torch.no_grad():
        oracle.embedding.weight.copy_(torch.cat([model.users, model.items]))
    across = torch.stack([edges[0], edges[1] + n_users])
    smooth = oracle.get_embedding(torch.cat([across, across.flip(0)], dim=1))

    users, items = model.represent({})

    torch.testing.assert_close(torch.cat([users, items]), smooth, rtol=1e-5, atol=1e-6)
    (users.pow(2).sum() + items.sum()).backward()
    (smooth[:n_users].pow(2).sum() + smooth[n_users:].sum()).backward()
    torch.testing.assert_close(
        torch.cat([model.users.grad, model.items.grad]), oracle.embedding.weight.grad, rtol=1e-5, atol=1e-6
    )
