"""GRCN against dense algebra in float64: routing, attention, edge weights, and the published no-op."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from drawn_problems import SIZES, Drawn, both_ways, draw, same_gradients, unit
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from robustrec.models.graphs import transposed


def masked_softmax(logits: Tensor, there: Tensor) -> Tensor:
    """Return the softmax of each row over the places that are there; rows without any are zero."""
    exponentials = (logits - logits.max()).exp() * there
    return exponentials / exponentials.sum(1, keepdim=True).clamp_min(1e-300)


def dense_vectors(model: Any, drawn: Drawn) -> Tensor:
    """Return the vectors of users and items together, by spec 5 on dense matrices."""
    n_users, adjacency = drawn.problem.n_users, both_ways(drawn.ratings)
    contents, weights = [], []
    for place, modality in enumerate(model.modalities):
        layer = model.projections[modality]
        f = unit(functional.leaky_relu(drawn.features[modality] @ layer.weight.T + layer.bias))
        p = unit(model.preferences[modality])
        for _ in range(0 if model.config.mmrec_compat else model.config.routings):
            p = unit(p + masked_softmax(p @ f.T, drawn.ratings) @ f)
        x = torch.cat([p, f])
        attention = masked_softmax(x @ x.T, adjacency)  # row: who receives, column: who sends
        contents.append(x + attention @ x)
        weights.append(attention * model.confidences[:, place])
    weight = torch.stack(weights).amax(0).clamp_min(0) * adjacency
    total = signal = unit(model.ids)
    for _ in range(model.config.layers):
        signal = weight @ signal
        total = total + signal
    assert weight[:n_users, :n_users].sum() == 0
    return torch.cat([total, *contents], dim=1)


@settings(max_examples=25, deadline=None)
@given(compat=st.booleans(), routings=st.integers(0, 3), layers=st.integers(0, 3), **SIZES)
@pytest.mark.parametrize("modalities", [("image", "text"), ("image",), ("text",)])
def test_grcn_is_its_equations(
    modalities: tuple[str, ...],
    compat: bool,
    routings: int,
    layers: int,
    n_users: int,
    n_items: int,
    density: float,
    seed: int,
) -> None:
    drawn = draw(n_users, n_items, density, seed, modalities)
    model = drawn.build("grcn", seed, routings=routings, layers=layers, mmrec_compat=compat)
    found = model.represent(drawn.features)
    torch.testing.assert_close(torch.cat(found), dense_vectors(model, drawn), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("modalities", [("image", "text"), ("text",)])
def test_the_loss_is_that_of_the_whole_tables(modalities: tuple[str, ...]) -> None:
    drawn = draw(8, 7, 0.4, seed=1, modalities=modalities)
    model = drawn.build("grcn", reg_weight=0.3)
    users, items = model.represent(drawn.features)
    u, p, n = drawn.batch[:3]
    difference = (users[u] * (items[p] - items[n])).sum(1)
    twice, pairs = u.repeat_interleave(2), torch.stack([p, n], 1).reshape(-1) + drawn.problem.n_users
    squares = (model.ids[twice] ** 2 + model.ids[pairs] ** 2).mean()
    squares = squares + sum((model.preferences[m][twice] ** 2).mean() for m in modalities)
    if "image" in modalities:
        squares = squares + (model.preferences["image"] ** 2).mean()
    expected = -torch.sigmoid(difference).log().mean() + 0.3 * squares
    same_gradients(model, model.loss(drawn.features, drawn.batch).total, expected)


def test_routing_moves_users_towards_what_they_took() -> None:
    """After many rounds a user of one item stands where the item stands; as published it never moves."""
    drawn = draw(1, 1, 1.0, seed=2)
    found = {}
    for compat in (False, True):
        for routings in (0, 12):
            model = drawn.build("grcn", routings=routings, layers=0, mmrec_compat=compat)
            users, items = model.represent(drawn.features)
            # Both have received the other once: x + y, so they are equal where x = y.
            found[compat, routings] = (users[:, 4:] / 2, items[:, 4:] / 2)
    assert torch.equal(found[True, 0][0], found[True, 12][0])
    user, item = found[False, 12]
    for modality_user, modality_item in zip(user.split(4, 1), item.split(4, 1), strict=True):
        torch.testing.assert_close(modality_user.norm(), torch.ones((), dtype=torch.float64), rtol=1e-4, atol=0)
        torch.testing.assert_close(modality_user, modality_item, rtol=1e-4, atol=1e-4)
    assert (found[False, 0][0].split(4, 1)[0].norm() - 1).abs() > 1e-2


def test_edges_without_confidence_are_pruned() -> None:
    drawn = draw(8, 7, 0.5, seed=3)
    model = drawn.build("grcn")
    with torch.no_grad():
        model.confidences.copy_(-model.confidences.abs())
    users, items = model.represent(drawn.features)
    torch.testing.assert_close(torch.cat([users, items])[:, :4], unit(model.ids), rtol=1e-12, atol=0)
    # One confident user: its items hear of it, and through them nobody, as items have no confidence.
    with torch.no_grad():
        model.confidences[0] = 1.0
    heard, told = model.represent(drawn.features)
    torch.testing.assert_close(heard[:, :4], users[:, :4], rtol=1e-12, atol=0)
    moved = (told[:, :4] - items[:, :4]).abs().sum(1) > 1e-6
    assert torch.equal(moved, drawn.ratings[0] > 0)


def test_values_turn_with_their_edges() -> None:
    drawn = draw(6, 5, 0.5, seed=4)
    edges = drawn.build("grcn").edges
    values = torch.arange(1.0, drawn.ratings.sum() + 1)
    to_users = edges.towards_users(values)
    back = edges.towards_items(to_users.transpose_values)
    assert torch.equal(back.transpose_values, values)
    assert torch.equal(transposed(back).pattern.columns, to_users.pattern.columns)
    users = torch.arange(6.0)
    assert torch.equal(edges.transpose_column_values(users), drawn.ratings.T.nonzero()[:, 1].float())


def test_equal_logits_give_equal_shares_to_both_ends() -> None:
    drawn = draw(6, 5, 0.5, seed=5)
    edges = drawn.build("grcn").edges
    logits = torch.zeros(int(drawn.ratings.sum()), dtype=torch.float64)
    u, i = drawn.ratings.nonzero().T
    torch.testing.assert_close(edges.softmax_of_users(logits), 1 / drawn.ratings.sum(1)[u])
    i_turned = drawn.ratings.T.nonzero()[:, 0]
    torch.testing.assert_close(edges.softmax_of_items(logits), 1 / drawn.ratings.sum(0)[i_turned])
    assert len(i) == len(i_turned)
