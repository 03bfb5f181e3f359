"""DualGNN and DRAGON against dense algebra in float64, and their graphs against the published ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from golden_user_graph import CASES
from goldens import GOLDEN, load, tiny_data
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from robustrec.models import model_class
from robustrec.models.contract import Batch, Problem, item_graphs, represent
from robustrec.models.graphs import UserGraph, product

WIDTHS = {"image": 5, "text": 3}


def dense(graph: Any) -> Tensor:
    """Return a sparse matrix as a dense one."""
    return product(graph, torch.eye(graph.shape[1], dtype=graph.values.dtype))


def draw_problem(n_users: int, n_items: int, density: float, seed: int) -> tuple[Problem, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    edges = (torch.rand(n_users, n_items, generator=generator) < density).nonzero().T.contiguous()
    edges = edges if edges.shape[1] else torch.zeros(2, 1, dtype=torch.int64)
    features = {m: torch.randn(n_items, w, generator=generator, dtype=torch.float64) for m, w in WIDTHS.items()}
    return Problem(n_users, n_items, edges, WIDTHS), features


def build(name: str, problem: Problem, seed: int = 0, **options: Any) -> Any:
    kind = model_class(name)
    config = kind.Config(**{"latent_width": 4, **options})
    return kind(problem, config, torch.Generator().manual_seed(seed)).double()


def dense_channels(model: Any, problem: Problem, features: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return r_v and r_t of users and items, by the equations of spec 4.1 on dense matrices."""
    ratings = torch.zeros(problem.n_users, problem.n_items, dtype=torch.float64)
    ratings[problem.edges[0], problem.edges[1]] = 1
    size = sum(ratings.shape)
    adjacency = torch.zeros(size, size, dtype=torch.float64)
    adjacency[: problem.n_users, problem.n_users :] = ratings
    adjacency += adjacency.T.clone()
    root = torch.diag(adjacency.sum(1).clamp_min(1).rsqrt())
    smooth = root @ adjacency @ root
    own = dict(model.encoders.named_parameters())
    channels = {}
    for m in model.modalities:
        hidden = functional.leaky_relu(features[m] @ own[f"first.{m}.weight"].T + own[f"first.{m}.bias"], 0.01)
        items = hidden @ own[f"second.{m}.weight"].T + own[f"second.{m}.bias"]
        x = torch.cat([own[f"preferences.{m}"], items])
        x = x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)
        r = x + smooth @ x + smooth @ (smooth @ x)
        channels[m] = (r[: problem.n_users], r[problem.n_users :])
    return channels


def dense_average(problem: Problem, k: int) -> Tensor:
    """Return the user graph, by brute force over all pairs: most shared items first, ties by lower id."""
    ratings = np.zeros((problem.n_users, problem.n_items))
    ratings[problem.edges[0], problem.edges[1]] = 1
    counts = ratings @ ratings.T
    weights = torch.zeros(problem.n_users, problem.n_users, dtype=torch.float64)
    for user in range(problem.n_users):
        others = [other for other in range(problem.n_users) if other != user and counts[user, other] > 0]
        nearest = sorted(others, key=lambda other: (-counts[user, other], other))[:k]
        if nearest:
            weights[user, nearest] = torch.from_numpy(counts[user, nearest]).softmax(0)
    return weights


SIZES = {
    "n_users": st.integers(1, 9),
    "n_items": st.integers(1, 9),
    "density": st.floats(0.0, 0.9),
    "k": st.integers(1, 6),
    "seed": st.integers(0, 10_000),
}


@settings(max_examples=25, deadline=None)
@given(compat=st.booleans(), **SIZES)
def test_dualgnn_is_its_equations(n_users: int, n_items: int, density: float, k: int, seed: int, compat: bool) -> None:
    problem, features = draw_problem(n_users, n_items, density, seed)
    model = build("dualgnn", problem, seed, user_neighbours=k, mmrec_compat=compat)
    (v_users, v_items), (t_users, t_items) = dense_channels(model, problem, features).values()
    w = model.user_weights[:, :, 0]
    first = v_users + t_users if compat else v_users
    users = w[:, :1] * first + w[:, 1:] * t_users

    found = model.represent(features)

    # The graphs' weights were rounded to float32.
    torch.testing.assert_close(found.users, users + dense_average(problem, k) @ users, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.items, v_items + t_items, rtol=1e-5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(layers=st.integers(0, 3), alpha=st.floats(0, 1), **SIZES)
def test_dragon_is_its_equations(
    n_users: int, n_items: int, density: float, k: int, seed: int, layers: int, alpha: float
) -> None:
    problem, features = draw_problem(n_users, n_items, density, seed)
    options = {"user_neighbours": k, "item_neighbours": k, "item_layers": layers, "image_weight": alpha}
    model = build("dragon", problem, seed, **options)
    (v_users, v_items), (t_users, t_items) = dense_channels(model, problem, features).values()
    w = model.user_weights[:, :, 0]
    users, items = torch.cat([w[:, :1] * v_users, w[:, 1:] * t_users], 1), torch.cat([v_items, t_items], 1)
    graph = torch.zeros(n_items, n_items, dtype=torch.float64)
    for modality, share in (("image", alpha), ("text", 1 - alpha)):
        unit = functional.normalize(features[modality], dim=1)
        near = (unit @ unit.T).argsort(dim=1, descending=True, stable=True)[:, :k]
        graph += share * torch.zeros_like(graph).scatter(1, near, 1 / (min(k, n_items) + 1e-7))

    found = model.represent(features)

    torch.testing.assert_close(dense(item_graphs(model, features)["items"]), graph, rtol=1e-9, atol=1e-12)
    expected = items + torch.linalg.matrix_power(graph, layers) @ items
    torch.testing.assert_close(found.users, users + dense_average(problem, k) @ users, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.items, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["dualgnn", "dragon"])
def test_only_the_batchs_users_are_averaged_and_nothing_else_changes(name: str) -> None:
    """The loss from the whole representation, with its gradients, is the loss that averages the batch's rows only."""
    problem, features = draw_problem(9, 8, 0.4, seed=1)
    model = build(name, problem, reg_weight=0.3)
    batch = Batch(torch.tensor([3, 0, 3, 8]), torch.tensor([0, 2, 2, 1]), torch.tensor([5, 5, 7, 0]))
    users, items = model.represent(features)
    difference = (users[batch.users] * (items[batch.positives] - items[batch.negatives])).sum(1)
    squares = sum(model.encoders.preferences[m][batch.users].square().mean() for m in WIDTHS)
    squares = squares + model.user_weights.square().mean()
    expected = -torch.log2(torch.sigmoid(difference)).mean() + 0.3 * squares
    loss = model.loss(features, batch).total
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    parameters = list(model.parameters())
    for one, other in zip(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["dualgnn", "dragon"])
def test_large_differences_of_scores_do_not_overflow(name: str) -> None:
    problem, features = draw_problem(5, 4, 0.6, seed=2)
    model = build(name, problem).float()
    with torch.no_grad():
        model.user_weights.mul_(1e4)
    batch = Batch(torch.arange(4), torch.tensor([0, 1, 2, 3]), torch.tensor([3, 2, 1, 0]))
    loss = model.loss({m: table.float() for m, table in features.items()}, batch).total
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_dualgnn_compat_adds_a_table_that_only_the_regularisation_sees() -> None:
    problem, features = draw_problem(6, 5, 0.5, seed=3)
    plain, compat = build("dualgnn", problem), build("dualgnn", problem, mmrec_compat=True)
    assert {name for name, _ in compat.named_parameters()} - {name for name, _ in plain.named_parameters()} == {
        "item_weights"
    }
    before = compat.represent(features)
    with torch.no_grad():
        compat.item_weights.add_(1)
    assert torch.equal(compat.represent(features).users, before.users)
    assert torch.equal(compat.represent(features).items, before.items)


@pytest.mark.parametrize("name", ["dualgnn", "dragon"])
def test_user_weights_start_as_shares(name: str) -> None:
    problem, _ = draw_problem(200, 4, 0.2, seed=4)
    weights = build(name, problem).user_weights
    assert weights.shape == (200, 2, 1)
    torch.testing.assert_close(weights.sum(1), torch.ones(200, 1, dtype=torch.float64), rtol=0, atol=1e-6)
    # Xavier with fan_in 2 and fan_out U: logits of standard deviation √(2 / (U + 2)).
    logits = weights[:, :, 0].log()
    spread = (logits[:, 0] - logits[:, 1]).std() / 2**0.5
    assert spread.item() == pytest.approx((2 / 202) ** 0.5, rel=0.3)


@pytest.mark.parametrize("name", ["dualgnn", "dragon"])
def test_a_given_user_graph_takes_the_place_of_the_counted_one(name: str) -> None:
    problem, features = draw_problem(4, 5, 0.5, seed=5)
    given = UserGraph(np.array([0, 2, 2, 3, 3]), np.array([3, 1, 0]), np.array([2, 1, 1]))
    problem = Problem(4, 5, problem.edges, WIDTHS, user_neighbours=given)
    model = build(name, problem, user_neighbours=1)
    users = dense(model.neighbours.matrix())
    assert users.nonzero().tolist() == [[0, 3], [2, 0]], "the first of each list"
    assert represent(model, features, None).users.isfinite().all()


@pytest.mark.parametrize("name", ["DualGNN", "DRAGON"])
def test_our_user_graph_is_the_published_one_up_to_ties(name: str) -> None:
    problem, _, _ = tiny_data()
    with np.load(GOLDEN / "tiny_data.npz", allow_pickle=False) as archive:
        counts = archive["cooc"]
    case = load(name, CASES[name])
    ours = dense(build(case.golden.model, problem, user_neighbours=3).neighbours.matrix())
    for user in range(problem.n_users):
        published = case.numbers["ug_index"][user]
        found = ours[user].nonzero()[:, 0].numpy()
        assert sorted(counts[user, found]) == sorted(counts[user, published])
        least = min(counts[user, found])
        # Those above the last count are the same users; among the rest the lowest ids are ours.
        assert {u for u in found if counts[user, u] > least} == {u for u in published if counts[user, u] > least}
        tied = [u for u in range(problem.n_users) if u != user and counts[user, u] == least]
        chosen = sorted(u for u in found if counts[user, u] == least)
        assert chosen == tied[: len(chosen)]
        np.testing.assert_allclose(
            sorted(ours[user, found].numpy()), sorted(case.numbers["ug_weight"][user]), rtol=1e-6
        )


@pytest.mark.parametrize("name", ["DRAGON", "FREEDOM"])
def test_the_item_graph_is_the_published_one(name: str) -> None:
    case = load(name, CASES[name])
    graph = dense(item_graphs(case.model, case.features)["items"])
    torch.testing.assert_close(graph, torch.from_numpy(case.numbers["item_graph_dense"]), rtol=1e-6, atol=1e-8)
