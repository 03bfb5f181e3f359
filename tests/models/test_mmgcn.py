"""MMGCN against dense algebra in float64, and what its compatibility switch does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from drawn_problems import SIZES, Drawn, both_ways, draw, same_gradients, unit
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from robustrec.training.config import TrainingConfig
from robustrec.training.trainer import make_optimizer


def dense_vectors(model: Any, drawn: Drawn) -> Tensor:
    """Return the vectors of users and items together, by spec 5 on a dense matrix."""
    adjacency = both_ways(drawn.ratings)
    mean = adjacency / adjacency.sum(1, keepdim=True).clamp_min(1)
    total = torch.zeros_like(model.ids)
    for modality, channel in model.channels.items():
        start = drawn.features[modality]
        if modality == "image":
            start = start @ channel.projection.weight.T + channel.projection.bias
        x = unit(torch.cat([channel.preferences, start]))
        for layer in channel.layers:
            h = functional.leaky_relu(mean @ (x @ layer.neighbours))
            own = functional.leaky_relu(x @ layer.own.weight.T + layer.own.bias) + model.ids
            x = functional.leaky_relu(torch.cat([h, own], 1) @ layer.merge.weight.T + layer.merge.bias)
        total = total + x
    return total / len(model.modalities)


@settings(max_examples=25, deadline=None)
@given(layers=st.integers(1, 4), **SIZES)
@pytest.mark.parametrize("modalities", [("image", "text"), ("image",), ("text",)])
def test_mmgcn_is_its_equations(
    modalities: tuple[str, ...], layers: int, n_users: int, n_items: int, density: float, seed: int
) -> None:
    drawn = draw(n_users, n_items, density, seed, modalities)
    model = drawn.build("mmgcn", seed, layers=layers, image_width=6)
    found = model.represent(drawn.features)
    # The graph's weights were rounded to float32.
    torch.testing.assert_close(torch.cat(found), dense_vectors(model, drawn), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("modalities", [("image", "text"), ("text",)])
def test_the_loss_of_the_batchs_rows_is_that_of_the_whole_tables(modalities: tuple[str, ...], layers: int) -> None:
    drawn = draw(8, 7, 0.4, seed=1, modalities=modalities)
    model = drawn.build("mmgcn", layers=layers, image_width=6, reg_weight=0.3)
    users, items = model.represent(drawn.features)
    u, p, n = drawn.batch[:3]
    difference = (users[u] * (items[p] - items[n])).sum(1)
    # As published: each triple gives two rows, its user beside its positive and beside its negative.
    twice, pairs = u.repeat_interleave(2), torch.stack([p, n], 1).reshape(-1) + drawn.problem.n_users
    squares = (model.ids[twice] ** 2 + model.ids[pairs] ** 2).mean()
    if "image" in modalities:
        squares = squares + (model.channels["image"].preferences ** 2).mean()
    expected = -torch.sigmoid(difference).log().mean() + 0.3 * squares
    same_gradients(model, model.loss(drawn.features, drawn.batch).total, expected)


def test_ids_and_preferences_train_unless_it_is_to_be_as_published() -> None:
    drawn = draw(8, 7, 0.4, seed=2)
    names = {"ids", "channels.image.preferences", "channels.text.preferences"}
    for compat in (False, True):
        model = drawn.build("mmgcn", image_width=6, mmrec_compat=compat)
        before = {name: model.state_dict()[name].clone() for name in names}
        optimizer = make_optimizer(model, TrainingConfig(learning_rate=0.1))
        model.loss(drawn.features, drawn.batch).total.backward()
        optimizer.step()
        after = model.state_dict()
        assert all(torch.equal(before[name], after[name]) == compat for name in names)
        assert names.isdisjoint(dict(model.named_parameters())) == compat


def test_published_constants_travel_with_the_state() -> None:
    """They were drawn and follow from nothing else."""
    drawn = draw(8, 7, 0.4, seed=3)
    model, twin = (drawn.build("mmgcn", seed, image_width=6, mmrec_compat=True) for seed in (1, 2))
    assert model.state_dict().keys() == drawn.build("mmgcn", image_width=6).state_dict().keys()
    twin.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(twin.represent(drawn.features).users, model.represent(drawn.features).users)


def test_a_user_without_items_receives_nothing() -> None:
    """It keeps to its own preferences: other users' do not reach it."""
    drawn = draw(3, 4, 0.0, seed=4)
    model = drawn.build("mmgcn", image_width=6)
    before = model.represent(drawn.features).users
    with torch.no_grad():
        model.channels["text"].preferences[:2] += 1
    after = model.represent(drawn.features).users
    assert torch.equal(before[2], after[2])
    assert not torch.equal(before[0], after[0])
