"""What holds for every recommender beyond one call: other names, history, epochs, noise, graphs, training."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tiny_models import (
    EDGES,
    GRAPHS_ONLY,
    MODELS,
    N_ITEMS,
    N_USERS,
    WIDTHS,
    LargestTensor,
    build,
    make_batch,
    make_features,
    make_problem,
)
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.modalities import read_of
from robustrec.models import log_partition, model_class, pseudo_neighbours
from robustrec.models.contract import (
    Batch,
    DerivesItemGraphs,
    DrawsPerEpoch,
    Problem,
    batch_loss,
    item_graphs,
    represent,
)
from robustrec.models.graphs import Neighbours, Sparse, cosine_neighbours, denoised, nearest, sparse
from robustrec.training.config import TrainingConfig
from robustrec.training.content import Content
from robustrec.training.strategies import Strategy
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.trainer import make_optimizer, run_epoch

ORDERS = {N_USERS: torch.randperm(N_USERS, generator=torch.Generator().manual_seed(1)),
          N_ITEMS: torch.randperm(N_ITEMS, generator=torch.Generator().manual_seed(2))}  # fmt: skip
ORDERS[N_USERS + N_ITEMS] = torch.cat([ORDERS[N_USERS], N_USERS + ORDERS[N_ITEMS]])

# Models whose mathematics needs both modalities.
NEEDS_ALL: set[str] = set()
# Widths that do not follow from `latent_width`.
OWN_WIDTHS: dict[str, dict[str, Any]] = {"mmgcn": {"image_width": 4}}
READING = [name for name in MODELS if model_class(name).modalities]
DRAWING = [name for name in MODELS if issubclass(model_class(name), DrawsPerEpoch)]
DERIVING = [name for name in MODELS if issubclass(model_class(name), DerivesItemGraphs)]


@pytest.fixture(params=list(MODELS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def scores(model: Any, features: dict[str, Tensor]) -> Tensor:
    users, items = model.represent(features)
    return users @ items.T


def renamed(table: Tensor, order: Tensor) -> Tensor:
    """What was in row i stands in row order[i]."""
    result = torch.empty_like(table)
    result[order] = table
    return result


def trained(name: str, epochs: int, rate: float | None = None) -> tuple[Any, list[float]]:
    """Return a model after a few epochs of one batch with its noise and its epochs, and the losses without them."""
    model, features, batch = build(name), make_features(), make_batch()
    options = {} if rate is None else {"learning_rate": rate}
    strategy = Strategy(StrategyConfig(name="vanilla"), make_optimizer(model, TrainingConfig(**options)))
    graphs, losses = item_graphs(model, features), []
    for epoch in range(epochs):
        losses.append(batch_loss(model, features, batch, graphs).total.item())
        run_epoch(Content(model, features, graphs), [batch], strategy, epoch, seed=3)
    return model, [*losses, batch_loss(model, features, batch, graphs).total.item()]


def test_renamed_users_and_items_have_renamed_scores(name: str) -> None:
    users, items = ORDERS[N_USERS], ORDERS[N_ITEMS]
    model, features, batch = build(name).double(), make_features(torch.float64), make_batch()
    twin = build(name, problem=make_problem(torch.stack([users[EDGES[0]], items[EDGES[1]]]))).double()
    state = model.state_dict()
    twin.load_state_dict(
        {key: renamed(v, ORDERS[len(v)]) if v.dim() and len(v) in ORDERS else v for key, v in state.items()}
    )
    elsewhere = {m: renamed(table, items) for m, table in features.items()}
    there = Batch(users[batch.users], items[batch.positives], items[batch.negatives])

    found, expected = scores(twin, elsewhere)[users][:, items], scores(model, features)

    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(twin.loss(elsewhere, there).total, model.loss(features, batch).total, rtol=1e-6, atol=0)


def test_scores_do_not_depend_on_what_was_scored_or_trained_before(name: str) -> None:
    fresh, features = build(name), make_features()
    used, _ = trained(name, epochs=3)
    used.represent(make_features(seed=6))
    used.load_state_dict(fresh.state_dict())
    used.loss(make_features(seed=7), make_batch()).total.backward()
    assert torch.equal(scores(used, features), scores(fresh, features))
    assert torch.equal(used.loss(features, make_batch()).total, fresh.loss(features, make_batch()).total)
    assert torch.equal(scores(copy.deepcopy(used), features), scores(fresh, features))


def test_training_lowers_the_loss(name: str) -> None:
    _, losses = trained(name, epochs=12, rate=1e-2)
    assert losses[-1] < losses[0]


def test_modes_do_not_matter(name: str) -> None:
    model, features = build(name), make_features()
    model.train()
    before, loss = scores(model, features), model.loss(features, make_batch()).total
    model.eval()
    assert torch.equal(scores(model, features), before)
    assert torch.equal(model.loss(features, make_batch()).total, loss)


def test_noise_only_with_a_seed(name: str) -> None:
    model, features, batch = build(name), make_features(), make_batch()
    before = torch.get_rng_state()

    def loss(seed: int | None) -> Tensor:
        return model.loss(features, batch._replace(seed=seed)).total

    assert torch.equal(loss(None), loss(None))
    assert torch.equal(loss(1), loss(1))
    assert torch.equal(before, torch.get_rng_state())
    if not torch.equal(loss(1), loss(None)):
        assert not torch.equal(loss(1), loss(2)), "the seed decides"


@pytest.mark.parametrize("name", DRAWING)
def test_an_epochs_state_follows_from_parameters_features_and_generator(name: str) -> None:
    model, features = build(name), make_features()
    kept, before = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    attributes = set(vars(model))

    def loss(seed: int) -> Tensor:
        state = model.epoch_state(features, torch.Generator().manual_seed(seed))
        return model.loss(features, make_batch()._replace(epoch=state)).total

    plain = scores(model, features)
    assert torch.equal(loss(1), loss(1))
    assert loss(1).isfinite()
    loss(1).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert torch.equal(before, torch.get_rng_state())
    assert set(vars(model)) == attributes
    assert all(torch.equal(kept[key], value) for key, value in model.state_dict().items())
    assert torch.equal(scores(model, features), plain), "scores never look at an epoch's state"


@pytest.mark.parametrize("name", DERIVING)
def test_graphs_follow_the_features_and_nothing_else(name: str) -> None:
    model, features = build(name), make_features()
    before = model.item_graphs(features)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    after = model.item_graphs(features)
    assert before.keys() == after.keys()
    for key, graph in before.items():
        assert torch.equal(graph.values, after[key].values)
        assert torch.equal(graph.pattern.columns, after[key].pattern.columns)
        assert torch.equal(graph.pattern.starts, after[key].pattern.starts)


@pytest.mark.parametrize("name", [name for name in DERIVING if name not in GRAPHS_ONLY])
def test_graphs_ask_for_the_neighbours_of_the_tables_they_were_given(name: str) -> None:
    """So that they are found once for tables that do not change; DA-MRS looks at all tables at once."""
    model, features = build(name), make_features()
    asked: list[Tensor] = []

    def neighbours(x: Tensor, k: int) -> Neighbours:
        asked.append(x)
        return cosine_neighbours(x, k)

    model.item_graphs(features, neighbours)
    assert asked
    assert all(any(x is table for table in features.values()) for x in asked)


@pytest.mark.parametrize("name", DERIVING)
def test_frozen_graphs_stay_and_others_follow_the_features(name: str) -> None:
    model, features = build(name), make_features()
    frozen, batch = item_graphs(model, features), make_batch()
    for given, derived in ((frozen, None), (None, frozen)):
        assert torch.equal(represent(model, features, given).items, represent(model, features, derived).items)
        assert torch.equal(
            batch_loss(model, features, batch, given).total, batch_loss(model, features, batch, derived).total
        )
    moved = make_features(seed=8)
    assert not same_scores(represent(model, moved, frozen), represent(model, moved, None))
    # Cosines, and so graphs, do not see how long an item's features are.
    longer = {m: table * torch.linspace(0.5, 3, N_ITEMS)[:, None] for m, table in features.items()}
    assert same_scores(represent(model, longer, frozen), represent(model, longer, None))


def same_scores(one: Any, other: Any) -> bool:
    return torch.allclose(one.users @ one.items.T, other.users @ other.items.T, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", DERIVING)
def test_graphs_are_no_dense_matrices(name: str) -> None:
    model, features = build(name), make_features()
    for graph in model.item_graphs(features).values():
        assert isinstance(graph, Sparse)
        assert graph.shape == (N_ITEMS, N_ITEMS)
    assert all(buffer.dim() == 1 or min(buffer.shape) < N_USERS for buffer in model.buffers())


def test_no_tensor_grows_with_pairs_of_users_or_items(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither I x I, U x U, U x I nor [U, k, d]: every tensor of a step and of an evaluation is far smaller."""
    monkeypatch.setattr(nearest, "CHUNK", 64)
    monkeypatch.setattr(nearest, "GATHERED", 2**12)
    monkeypatch.setattr(sparse, "CHUNK", 2**10)
    monkeypatch.setattr(denoised, "HELD", 2**12)
    monkeypatch.setattr(pseudo_neighbours, "HELD", 2**12)
    monkeypatch.setitem(log_partition.LOGIT_BYTES, "cpu", 2**10)
    n_users, n_items, generator = 700, 600, torch.Generator().manual_seed(0)
    pairs = torch.randperm(n_users * n_items, generator=generator)[:2500]
    problem = Problem(n_users, n_items, torch.stack([pairs // n_items, pairs % n_items]), WIDTHS)
    model = build(name, problem=problem, **OWN_WIDTHS.get(name, {}))
    features = {m: torch.randn(n_items, width, generator=generator) for m, width in WIDTHS.items()}
    batch = Batch(*(ids[:64] for ids in problem.edges), torch.arange(64))
    with LargestTensor() as largest:
        model.loss(features, batch).total.backward()
        model.represent(features)
    # The user graph of 40 neighbours has 28,000 entries; gathered, four numbers wide, it would have 112,000.
    assert largest.shape.numel() <= 64 * n_users, largest.shape


@pytest.mark.parametrize("modality", list(WIDTHS))
def test_one_modality_works_or_is_refused(name: str, modality: str) -> None:
    """Nothing is created that nothing reads."""
    problem = make_problem(widths={modality: WIDTHS[modality]})
    readable = model_class(name).modalities
    if name in NEEDS_ALL:
        with pytest.raises(RobustrecError, match=r"image|text"):
            build(name, problem=problem)
        return
    model = build(name, problem=problem)
    assert model.modalities == read_of(readable, [modality])
    features = {modality: make_features()[modality].requires_grad_()}
    model.loss(features, make_batch()).total.backward()
    assert scores(model, features).shape == (N_USERS, N_ITEMS)
    assert all(parameter.grad is not None for parameter in model.parameters()), "no dead parameter"
    assert (features[modality].grad is not None) == (bool(readable) and name not in GRAPHS_ONLY)


@pytest.mark.parametrize("name", READING)
def test_no_features_at_all_are_an_error_that_names_models_without(name: str) -> None:
    with pytest.raises(RobustrecError, match="lightgcn"):
        build(name, problem=make_problem(widths={}))


def test_features_of_another_shape_are_an_error(name: str) -> None:
    model, features = build(name), make_features()
    for modality in getattr(model, "modalities_in_scores", model.modalities):
        for wrong in (features[modality][:, 1:], features[modality][1:]):
            with pytest.raises(RobustrecError, match=f"{modality} features"):
                model.represent(features | {modality: wrong})
        with pytest.raises(RobustrecError, match=f"{modality} features"):
            model.represent({m: table for m, table in features.items() if m != modality})
