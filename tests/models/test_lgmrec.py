"""LGMRec against dense algebra in float64, and its noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from drawn_problems import SIZES, Drawn, both_ways, draw, same_gradients, unit
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustrec.models.lgmrec import LGMRecConfig, memberships
from robustrec.seeds import torch_generator

TAU = 0.2


def dense_parts(model: Any, drawn: Drawn) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the vectors of users and items together, and what each modality's hyperedges give them, by spec 5."""
    ratings, config = drawn.ratings, model.config
    adjacency = both_ways(ratings)
    root = torch.diag((adjacency.sum(1) + 1e-7).rsqrt())
    smooth = root @ adjacency @ root
    signal = torch.cat([model.users, model.items])
    ids = signal / (config.ui_layers + 1)
    for _ in range(config.ui_layers):
        signal = smooth @ signal
        ids = ids + signal / (config.ui_layers + 1)
    total, received = ids, {}
    for modality in model.modalities:
        x = drawn.features[modality]
        f = x @ model.projections[modality]
        g = torch.cat([(ratings @ f) / (ratings.sum(1, keepdim=True) + 1e-7), f])
        for _ in range(config.mm_layers):
            g = smooth @ g
        total = total + unit(g)
        logits = x @ model.hyperedges[modality]
        of_items, of_users = (logits / TAU).softmax(1), (ratings @ logits / TAU).softmax(1)
        at_items = ids[len(ratings) :]
        for _ in range(config.hyper_layers):
            held = of_items.T @ at_items
            at_items = of_items @ held
        received[modality] = torch.cat([of_users @ held, at_items])
    return total + config.alpha * unit(torch.stack(list(received.values())).sum(0)), received


@settings(max_examples=25, deadline=None)
@given(
    ui_layers=st.integers(0, 3),
    mm_layers=st.integers(0, 3),
    hyper_layers=st.integers(1, 3),
    hyperedges=st.integers(1, 6),
    **SIZES,
)
@pytest.mark.parametrize("modalities", [("image", "text"), ("image",), ("text",)])
def test_lgmrec_is_its_equations(
    modalities: tuple[str, ...], n_users: int, n_items: int, density: float, seed: int, **options: int
) -> None:
    drawn = draw(n_users, n_items, density, seed, modalities)
    model = drawn.build("lgmrec", seed, **options)
    found = model.represent(drawn.features)
    # The graph's weights were rounded to float32.
    torch.testing.assert_close(torch.cat(found), dense_parts(model, drawn)[0], rtol=1e-5, atol=1e-6)


def test_the_loss_is_that_of_the_whole_tables() -> None:
    drawn = draw(8, 7, 0.4, seed=1)
    model = drawn.build("lgmrec", cl_weight=0.3, reg_weight=0.2, hyperedges=3)
    users, items = model.represent(drawn.features)
    u, p, n = drawn.batch[:3]
    rows = users[u], items[p], items[n]
    expected = -torch.sigmoid((rows[0] * (rows[1] - rows[2])).sum(1)).log().mean()
    expected = expected + 0.2 * sum(table.norm() for table in rows) / 4
    given_by = {m: table.split([8, 7]) for m, table in dense_parts(model, drawn)[1].items()}
    for side, ids in enumerate((u, p)):
        image, text = unit(given_by["image"][side]), unit(given_by["text"][side])
        positive = ((image[ids] * text[ids]).sum(1) / TAU).exp()
        everyone = (image[ids] @ text.T / TAU).exp().sum(1)
        expected = expected - 0.3 * (positive / everyone).log().sum()
    loss = model.loss(drawn.features, drawn.batch)
    torch.testing.assert_close(loss.total, expected, rtol=1e-5, atol=1e-6)


def test_the_batchs_rows_give_the_gradients_of_the_whole_tables() -> None:
    drawn = draw(8, 7, 0.4, seed=2)
    model = drawn.build("lgmrec", cl_weight=0.0, reg_weight=0.0)
    users, items = model.represent(drawn.features)
    u, p, n = drawn.batch[:3]
    expected = -torch.sigmoid((users[u] * (items[p] - items[n])).sum(1)).log().mean()
    same_gradients(model, model.loss(drawn.features, drawn.batch).total, expected)


@pytest.mark.parametrize("modality", ["image", "text"])
def test_one_modality_has_no_contrast(modality: str) -> None:
    drawn = draw(8, 7, 0.4, seed=3, modalities=(modality,))
    assert set(drawn.build("lgmrec").loss(drawn.features, drawn.batch).terms) == {"bpr", "regularisation"}


def test_noise_is_in_training_steps_only() -> None:
    drawn = draw(8, 7, 0.4, seed=4)
    model = drawn.build("lgmrec")
    model.train()
    scored = [model.represent(drawn.features).users for _ in range(2)]
    assert torch.equal(*scored)

    def loss(seed: int | None) -> float:
        return model.loss(drawn.features, drawn.batch._replace(seed=seed)).total.item()

    assert loss(None) == loss(None)
    assert loss(1) == loss(1)
    assert len({loss(None), loss(1), loss(2)}) == 3


def test_cold_memberships_are_draws_from_the_softmax() -> None:
    """The Gumbel trick: near temperature 0 a row is one-hot, with the probabilities of softmax(logits)."""
    logits = torch.tensor([0.0, 1.0, -0.5, 0.3]).expand(20_000, 4)
    config = LGMRecConfig(temperature=1e-4, keep_rate=1.0)
    drawn = memberships(logits, config, torch_generator(0, "test"))
    expected = logits[0].softmax(0)
    deviation = (expected * (1 - expected) / len(logits)).sqrt()
    assert ((drawn.mean(0) - expected).abs() < 4 * deviation).all()


@pytest.mark.parametrize("keep", [0.2, 0.5])
def test_dropout_keeps_the_share_and_the_mean(keep: float) -> None:
    logits = torch.zeros(20_000, 4)
    config = LGMRecConfig(keep_rate=keep)
    kept = memberships(logits, config, torch_generator(1, "test"))
    whole = memberships(logits, config.model_copy(update={"keep_rate": 1.0}), torch_generator(1, "test"))
    assert (kept > 0).float().mean().item() == pytest.approx(keep, abs=0.01)
    torch.testing.assert_close(kept[kept > 0], (whole / keep)[kept > 0])
    assert kept.sum(1).mean().item() == pytest.approx(1, abs=0.02)


def test_users_whose_memberships_all_drop_are_harmless() -> None:
    """With one hyperedge half of all users lose all they have in one step of two."""
    drawn = draw(9, 8, 0.4, seed=5)
    model = drawn.build("lgmrec", hyperedges=1, cl_weight=1.0).float()
    features = {m: table.float() for m, table in drawn.features.items()}
    for seed in range(5):
        loss = model.loss(features, drawn.batch._replace(seed=seed)).total
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        assert loss.isfinite()
        assert all(gradient.isfinite().all() and gradient.abs().max() < 1e3 for gradient in gradients)
