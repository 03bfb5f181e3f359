"""LATTICE and MGCN against dense algebra in float64, and what LATTICE holds during an epoch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_item_graph import CASES
from goldens import load
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from robustrec.models import mgcn as mgcn_module
from robustrec.models import model_class
from robustrec.models.contract import Batch, Problem, item_graphs
from robustrec.models.graphs import product
from robustrec.training.content import Content
from robustrec.training.strategies import Strategy
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.trainer import run_epoch

WIDTHS = {"image": 5, "text": 3}
BOTH = ("image", "text")
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # the weights of the user-item graph were rounded to float32
SIZES = {
    "n_users": st.integers(1, 9),
    "n_items": st.integers(1, 9),
    "density": st.floats(0, 1),
    "k": st.integers(1, 10),
    "layers": st.integers(1, 3),
    "item_layers": st.integers(1, 2),
    "modalities": st.sampled_from([BOTH, ("image",), ("text",)]),
    "seed": st.integers(0, 1000),
}


def draw_problem(
    n_users: int, n_items: int, density: float, seed: int, modalities: tuple[str, ...] = BOTH
) -> tuple[Problem, dict[str, Tensor]]:
    """Return a problem and non-negative features: with those no row of a cosine graph sums to nothing."""
    generator = torch.Generator().manual_seed(seed)
    edges = (torch.rand(n_users, n_items, generator=generator) < density).nonzero().T.contiguous()
    edges = edges if edges.shape[1] else torch.zeros(2, 1, dtype=torch.int64)
    features = {m: torch.rand(n_items, WIDTHS[m], generator=generator, dtype=torch.float64) for m in modalities}
    return Problem(n_users, n_items, edges, {m: WIDTHS[m] for m in modalities}), features


def build(name: str, problem: Problem, **options: Any) -> Any:
    """Return a model with tables that were tuned a little."""
    kind = model_class(name)
    config = kind.Config(**{"latent_width": 4, **options})
    model = kind(problem, config, torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        for delta in model.deltas.values():
            delta.copy_(torch.linspace(-0.2, 0.2, delta.numel()).view_as(delta))
    return model


def draw_batch(problem: Problem, size: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(problem.n_items, (2, size), generator=generator)
    return Batch(torch.randint(problem.n_users, (size,), generator=generator), items[0], items[1])


def adjacency(problem: Problem) -> Tensor:
    size = problem.n_users + problem.n_items
    matrix = torch.zeros(size, size, dtype=torch.float64)
    matrix[problem.edges[0], problem.n_users + problem.edges[1]] = 1
    return matrix + matrix.T


def mean_of_powers(matrix: Tensor, x: Tensor, layers: int) -> Tensor:
    return torch.stack([torch.linalg.matrix_power(matrix, power) @ x for power in range(layers + 1)]).mean(0)


def nearest_cosines(x: Tensor, k: int) -> Tensor:
    """Return cosines at each row's k largest, zero elsewhere."""
    unit = x / x.norm(dim=1, keepdim=True)
    values, where = (unit @ unit.T).topk(min(k, len(x)), dim=1)
    return x.new_zeros(len(x), len(x)).scatter(1, where, values)


def normalise(matrix: Tensor) -> Tensor:
    """Return D^-1/2 M D^-1/2, rows and columns zero where the sum is not positive."""
    sums = matrix.sum(1)
    scale = torch.where(sums > 0, sums, torch.inf).rsqrt()
    return scale[:, None] * matrix * scale


def projected(model: Any, features: dict[str, Tensor], modality: str) -> Tensor:
    return model.projections[modality](features[modality] + model.deltas[modality])


def bpr_and_norms(users: Tensor, items: Tensor, batch: Batch, weight: float) -> Tensor:
    u, p, n = users[batch.users], items[batch.positives], items[batch.negatives]
    bpr = -functional.logsigmoid((u * p).sum(1) - (u * n).sum(1)).mean()
    return bpr + weight * (u.square().sum() + p.square().sum() + n.square().sum()) / 2


def check(model: Any, features: dict[str, Tensor], batch: Batch, users: Tensor, items: Tensor, loss: Tensor) -> None:
    """Compare vectors, loss and gradients of a model with what the equations give."""
    found = model.represent(features)
    torch.testing.assert_close(found.users, users, **CLOSE)
    torch.testing.assert_close(found.items, items, **CLOSE)
    total = model.loss(features, batch).total
    torch.testing.assert_close(total, loss, **CLOSE)
    parameters = list(model.parameters())
    wanted = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    for gradient, expected in zip(torch.autograd.grad(total, parameters), wanted, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


@settings(max_examples=15)
@given(**SIZES)
def test_lattice_is_its_equations(
    n_users: int,
    n_items: int,
    density: float,
    k: int,
    layers: int,
    item_layers: int,
    modalities: tuple[str, ...],
    seed: int,
) -> None:
    problem, features = draw_problem(n_users, n_items, density, seed, modalities)
    options = {"item_neighbours": k, "layers": layers, "item_layers": item_layers, "frozen_share": 0.6}
    model = build("lattice", problem, **options, reg_weight=0.2, nominal_batch=5)
    shares = torch.softmax(model.weights, 0)
    frozen = sum(w * normalise(nearest_cosines(features[m], k)) for w, m in zip(shares, modalities, strict=True))
    similar = [nearest_cosines(projected(model, features, m), k) for m in modalities]
    mixed = sum(w * graph for w, graph in zip(shares, similar, strict=True))
    # Projected features may point away from each other; near a sum of zero the root is too steep to compare.
    assume(bool((mixed.sum(1).abs() > 1e-2).all()))
    learned = normalise(mixed)
    near = torch.linalg.matrix_power(0.6 * frozen + 0.4 * learned, item_layers) @ model.items
    with_loops = adjacency(problem) + torch.eye(n_users + n_items)
    smooth = mean_of_powers(with_loops / with_loops.sum(1, keepdim=True), torch.cat([model.users, model.items]), layers)
    users, items = smooth[:n_users], smooth[n_users:] + functional.normalize(near)
    batch = draw_batch(problem, 6, seed)
    check(model, features, batch, users, items, bpr_and_norms(users, items, batch, 0.2 / 5))


@settings(max_examples=15)
@given(**SIZES)
def test_mgcn_is_its_equations(
    n_users: int,
    n_items: int,
    density: float,
    k: int,
    layers: int,
    item_layers: int,
    modalities: tuple[str, ...],
    seed: int,
) -> None:
    problem, features = draw_problem(n_users, n_items, density, seed, modalities)
    options = {"item_neighbours": k, "layers": layers, "item_layers": item_layers, "temperature": 0.3}
    model = build("mgcn", problem, **options, contrast_weight=0.7, reg_weight=0.2, nominal_batch=5)
    matrix = adjacency(problem)
    root = matrix.sum(1).clamp_min(1).rsqrt()
    graph = root[:, None] * matrix * root
    content = mean_of_powers(graph, torch.cat([model.users, model.items]), layers)
    views = []
    for m in modalities:
        gated = model.items * torch.sigmoid(model.gates[m](projected(model, features, m)))
        gated = torch.linalg.matrix_power(normalise(nearest_cosines(features[m], k)), item_layers) @ gated
        views.append(torch.cat([graph[:n_users, n_users:] @ gated, gated]))
    if len(views) == 1:
        side = views[0] / 2
    else:
        scores = torch.stack([torch.tanh(model.query(view)) @ model.attention[0] for view in views])
        common = sum(share[:, None] * view for share, view in zip(scores.softmax(0), views, strict=True))
        apart = [model.preferences[m](content).sigmoid() * (view - common) for m, view in zip(BOTH, views, strict=True)]
        side = (sum(apart) + common) / 3
    users, items = (content + side).split([n_users, n_items])
    batch = draw_batch(problem, 6, seed)
    expected = bpr_and_norms(users, items, batch, 0.2 / 5)
    for ids in (batch.users, n_users + batch.positives):
        a, b = (functional.normalize(view[ids]) for view in (side, content))
        expected = expected + 0.7 * functional.cross_entropy(a @ b.T / 0.3, torch.arange(6))
    check(model, features, batch, users, items, expected)


@pytest.mark.parametrize("name", ["lattice", "mgcn"])
def test_frozen_graphs_follow_the_raw_features_alone(name: str) -> None:
    problem, features = draw_problem(6, 9, 0.4, seed=2)
    graphs = item_graphs(build(name, problem, item_neighbours=3), features)
    assert graphs is not None
    for modality, table in features.items():
        found = product(graphs[modality], torch.eye(9, dtype=torch.float64))
        torch.testing.assert_close(found, normalise(nearest_cosines(table, 3)))


@pytest.mark.parametrize("name", ["lattice", "mgcn"])
def test_items_without_features_have_first_and_second_derivatives(name: str) -> None:
    """A row of zeros is near to nothing: its row of the frozen graphs is empty."""
    problem, features = draw_problem(5, 6, 0.5, seed=4)
    model = build(name, problem, item_neighbours=3)
    for table in features.values():
        table[2] = 0
        table.requires_grad_()
    total = model.loss(features, draw_batch(problem, 6)).total + model.represent(features).items.pow(3).sum()
    inputs = [*model.parameters(), *features.values()]
    first = torch.autograd.grad(total, inputs, create_graph=True)
    second = torch.autograd.grad(sum(part.tanh().sum() for part in first), inputs)
    assert all(part.isfinite().all() for part in (*first, *second))


def test_only_the_batchs_rows_are_fused_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where the batch's ids are not made distinct."""
    problem, features = draw_problem(6, 9, 0.4, seed=2)
    model, batch = build("mgcn", problem), draw_batch(problem, 20)
    expected = model.loss(features, batch)
    monkeypatch.setattr(mgcn_module, "distinct", lambda ids, size: (ids, torch.arange(len(ids))))
    found = model.loss(features, batch)
    for name, term in found.terms.items():
        torch.testing.assert_close(term, expected.terms[name])


@pytest.fixture
def lattice() -> tuple[Any, dict[str, Tensor], Batch]:
    problem, features = draw_problem(7, 9, 0.4, seed=5)
    return build("lattice", problem, item_neighbours=3), features, draw_batch(problem, 8)


def test_the_learned_graph_is_trained_in_the_first_step_of_an_epoch_only(
    lattice: tuple[Any, dict[str, Tensor], Batch],
) -> None:
    model, features, batch = lattice
    with torch.no_grad():
        held = model.epoch_state(features, torch.Generator())
    embeddings = {"users", "items"}
    losses = []
    for step, trained in ((0, {name for name, _ in model.named_parameters()}), (1, embeddings), (2, embeddings)):
        model.zero_grad()
        loss = model.loss(features, batch._replace(epoch=held, step=step)).total
        loss.backward()
        assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == trained
        losses.append(loss.item())
    # The same graph at the same parameters, whoever made it.
    assert losses == pytest.approx([model.loss(features, batch).total.item()] * 3, rel=1e-12)


def test_the_held_graph_stays_while_parameters_move_and_scores_do_not_see_it(
    lattice: tuple[Any, dict[str, Tensor], Batch],
) -> None:
    model, features, batch = lattice
    with torch.no_grad():
        held = model.epoch_state(features, torch.Generator())
        before, scores = model.loss(features, batch._replace(epoch=held, step=1)).total, model.represent(features)
        for modality, layer in model.projections.items():
            layer.weight.copy_(layer.weight.flip(0) * torch.linspace(-2, 3, layer.weight.shape[1]))
            model.deltas[modality].neg_()
        model.weights.copy_(torch.tensor([1.0, -1.0]))
        assert torch.equal(before, model.loss(features, batch._replace(epoch=held, step=1)).total)
        assert before != model.loss(features, batch._replace(epoch=held, step=0)).total
        assert not torch.equal(scores.items, model.represent(features).items)


def test_an_epoch_of_training_is_the_published_one() -> None:
    """The loop's own steps, without a mirrored one: then no half-step differs."""
    case = load("LATTICE", CASES["LATTICE"])
    del case.model.loss  # the wrapper that holds the graph of the first pass
    optimizer = torch.optim.Adam(case.model.parameters(), lr=case.summary["lr"], fused=True)
    graphs = item_graphs(case.model, case.features)
    loss = run_epoch(Content(case.model, case.features, graphs), case.batches, Strategy(StrategyConfig(), optimizer), 0)
    assert 4 * loss.item() == pytest.approx(case.summary["total_adam"], rel=1e-6)
    published = case.group("after_adam")
    for name, parameter in case.model.named_parameters():
        torch.testing.assert_close(parameter.detach(), published[name], rtol=0, atol=1e-5)
