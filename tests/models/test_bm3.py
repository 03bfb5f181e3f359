"""BM3 against dense algebra in float64, and its dropout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from robustrec.models import bm3 as module
from robustrec.models.bm3 import BM3, BM3Config
from robustrec.models.contract import Batch, Problem

WIDTHS = {"image": 5, "text": 3}
USERS, ITEMS = 9, 8


def draw_problem(
    n_users: int, n_items: int, density: float, seed: int, modalities: tuple[str, ...] = ("image", "text")
) -> tuple[Problem, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    edges = (torch.rand(n_users, n_items, generator=generator) < density).nonzero().T.contiguous()
    edges = edges if edges.shape[1] else torch.zeros(2, 1, dtype=torch.int64)
    features = {m: torch.randn(n_items, WIDTHS[m], generator=generator, dtype=torch.float64) for m in modalities}
    return Problem(n_users, n_items, edges, {m: WIDTHS[m] for m in modalities}), features


def build(problem: Problem, **options: Any) -> BM3:
    model = BM3(problem, BM3Config(**{"latent_width": 4, **options}), torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        for delta in model.deltas.values():
            delta.copy_(torch.linspace(-1, 1, delta.numel()).view_as(delta))
    return model


def draw_batch(problem: Problem, size: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    users = torch.randint(problem.n_users, (size,), generator=generator)
    items = torch.randint(problem.n_items, (2, size), generator=generator)
    return Batch(users, items[0], items[1])


def whole_tables(model: BM3, problem: Problem) -> tuple[Tensor, Tensor]:
    """Return h_u and h_i by dense powers of the adjacency."""
    ratings = torch.zeros(problem.n_users, problem.n_items, dtype=torch.float64)
    ratings[problem.edges[0], problem.edges[1]] = 1
    graph = (ratings.sum(1) + 1e-7).rsqrt()[:, None] * ratings * (ratings.sum(0) + 1e-7).rsqrt()
    layers = [(model.users, model.items)]
    for _ in range(model.config.layers):
        users, items = layers[-1]
        layers.append((graph @ items, graph.T @ users))
    users, items = (torch.stack(part).mean(0) for part in zip(*layers, strict=True))
    return users, items + model.items


@settings(max_examples=30)
@given(
    n_users=st.integers(1, 9),
    n_items=st.integers(1, 9),
    density=st.floats(0, 1),
    layers=st.integers(0, 3),
    size=st.integers(1, 12),
    modalities=st.sampled_from([("image", "text"), ("image",), ("text",)]),
    seed=st.integers(0, 1000),
)
def test_bm3_is_its_equations(
    n_users: int, n_items: int, density: float, layers: int, size: int, modalities: tuple[str, ...], seed: int
) -> None:
    problem, features = draw_problem(n_users, n_items, density, seed, modalities)
    model = build(problem, layers=layers, reg_weight=0.3, feature_weight=1.7)
    users, items = whole_tables(model, problem)
    q = model.predictor
    # The weights of the edges were rounded to float32.
    close = {"rtol": 1e-5, "atol": 1e-6}
    found = model.represent(features)
    torch.testing.assert_close(found.users, q(users), **close)
    torch.testing.assert_close(found.items, q(items), **close)

    batch = draw_batch(problem, size, seed)

    def apart(a: Tensor, b: Tensor, at_a: Tensor, at_b: Tensor) -> Tensor:
        return 1 - functional.cosine_similarity(a[at_a], b.detach()[at_b]).mean()

    u, i = batch.users, batch.positives
    expected = apart(q(users), items, u, i) + apart(q(items), users, i, u)
    expected = expected + 0.3 * (users.norm() + items.norm()) / n_items
    for m in modalities:
        vectors = model.projections[m](features[m] + model.deltas[m])
        expected = expected + 1.7 * (apart(q(vectors), items, i, i) + apart(q(vectors), vectors, i, i))
    loss = model.loss(features, batch)
    torch.testing.assert_close(loss.total, expected, **close)
    gradients = torch.autograd.grad(loss.total, list(model.parameters()))
    for gradient, wanted in zip(gradients, torch.autograd.grad(expected, list(model.parameters())), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


@pytest.fixture
def case() -> tuple[Problem, dict[str, Tensor], BM3, Batch]:
    problem, features = draw_problem(USERS, ITEMS, 0.3, seed=1)
    return problem, features, build(problem), draw_batch(problem, 20)


def test_negatives_are_not_used(case: tuple[Problem, dict[str, Tensor], BM3, Batch]) -> None:
    _, features, model, batch = case
    other = batch._replace(negatives=batch.negatives.flip(0), seed=4)
    assert torch.equal(model.loss(features, batch._replace(seed=4)).total, model.loss(features, other).total)


def test_rows_that_occur_twice_change_nothing(
    case: tuple[Problem, dict[str, Tensor], BM3, Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where the batch's ids are not made distinct."""
    _, features, model, batch = case
    expected = model.loss(features, batch).total
    monkeypatch.setattr(module, "distinct", lambda ids, size: (ids, torch.arange(len(ids))))
    torch.testing.assert_close(model.loss(features, batch).total, expected)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_share_of_each_target_is_dropped(share: float) -> None:
    problem, _ = draw_problem(USERS, ITEMS, 0.3, seed=1)
    model = build(problem, latent_width=8, dropout=share)
    batch = draw_batch(problem, 5)._replace(seed=11)
    vectors = torch.ones(2000, 8, dtype=torch.float64, requires_grad=True)
    target = model._target(vectors, batch, "items")
    assert not target.requires_grad
    dropped = target == 0
    # 16,000 draws: six standard deviations.
    assert dropped.double().mean().item() == pytest.approx(share, abs=6 * 0.5 / 16_000**0.5)
    kept = target[~dropped.all(dim=1)]
    torch.testing.assert_close(kept.norm(dim=1), torch.ones(len(kept), dtype=torch.float64))
    assert torch.equal(dropped, model._target(vectors, batch, "items") == 0), "all passes of a step share the noise"
    if share:
        assert not torch.equal(dropped, model._target(vectors, batch, "users") == 0)
        assert not torch.equal(dropped, model._target(vectors, batch._replace(seed=12), "items") == 0)


def test_without_dropout_the_seed_does_not_matter(case: tuple[Problem, dict[str, Tensor], BM3, Batch]) -> None:
    problem, features, _, batch = case
    model = build(problem, dropout=0.0)
    plain = model.loss(features, batch).total
    assert torch.equal(model.loss(features, batch._replace(seed=5)).total, plain)


def test_only_the_batchs_rows_of_the_feature_tables_move(case: tuple[Problem, dict[str, Tensor], BM3, Batch]) -> None:
    _, features, model, _ = case
    batch = Batch(torch.tensor([0, 1]), torch.tensor([3, 5]), torch.tensor([0, 0]))
    model.loss(features, batch).total.backward()
    for delta in model.deltas.values():
        assert (delta.grad.abs().sum(1) > 0).nonzero()[:, 0].tolist() == [3, 5]
