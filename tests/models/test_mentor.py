"""MENTOR: terms, item graph and noise against published numbers, vectors and loss against dense algebra in float64."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
import torch
from drawn_problems import SIZES, both_ways, draw, same_gradients, unit
from golden_mentor import CASES, NAMES, with_the_constant
from goldens import load
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from robustrec.models import log_partition, mentor
from robustrec.models.contract import Batch, item_graphs
from robustrec.models.graphs import cosine_neighbours, product
from robustrec.models.mentor import moments, perturbed, whole_contrast

# Ours -> the published name of a weighted term of the loss.
TERMS = {
    "bpr": "bpr",
    "regularisation": "reg_weight",
    "alignment": "align_weight",
    "graph": "mask_weight_g",
    "mask": "mask_weight_f",
}


def test_terms_and_item_graph_are_the_published_ones() -> None:
    case = load("MENTOR", CASES["MENTOR"])
    terms = case.model.loss(case.features, case.batches[0]).terms
    published = {ours: float(case.numbers[f"term/{name}"]) for ours, name in TERMS.items()}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(published, rel=1e-5)
    graphs = item_graphs(case.model, case.features)
    assert graphs is not None
    dense = torch.from_numpy(case.numbers["item_graph_dense"])
    torch.testing.assert_close(product(graphs["items"], torch.eye(9)), dense, rtol=0, atol=1e-7)


def test_noise_is_that_of_the_published_views(monkeypatch: pytest.MonkeyPatch) -> None:
    case = load("MENTOR", CASES["MENTOR"])
    numbers = case.numbers

    def drawn(x: Tensor, generator: Any) -> Tensor:
        side, layer = generator
        tables = [numbers[f"noisy/xi_{letter}_n{view}_{int(layer) + 1}"] for view in (1, 2) for letter in "vt"]
        beside = torch.cat([torch.from_numpy(table) for table in tables], dim=1)
        part = beside[:11] if side == "users" else beside[11:]
        assert part.shape == x.shape
        return part

    monkeypatch.setattr(mentor, "_drawn", drawn)
    monkeypatch.setattr(Batch, "noise", lambda _, name: name.removeprefix("views ").split())
    del case.model.loss
    kept = (torch.from_numpy(numbers["noisy/mask_users"]), torch.from_numpy(numbers["noisy/mask_items"]))
    with_the_constant(case.model, numbers, kept)
    loss = case.model.loss(case.features, case.batches[0]._replace(seed=1)).total
    assert loss.item() == pytest.approx(float(numbers["noisy/loss"]), rel=1e-6)
    assert loss.item() != pytest.approx(case.summary["loss"], rel=1e-6)
    loss.backward()
    published = case.group("noisy/grad")
    assert set(published) == {"user_weights", NAMES["P_v_n1"], NAMES["P_t_n2"]}
    for name, gradient in published.items():
        atol = 1e-5 * float(gradient.abs().max())
        torch.testing.assert_close(case.model.get_parameter(name).grad, gradient, rtol=0, atol=atol)


@settings(max_examples=15)
@given(
    **SIZES,
    item_layers=st.integers(0, 2),
    modalities=st.sampled_from([("image", "text"), ("image",), ("text",)]),
)
def test_mentor_is_its_equations(
    n_users: int, n_items: int, density: float, seed: int, item_layers: int, modalities: tuple[str, ...]
) -> None:
    drawn = draw(n_users, n_items, density, seed, modalities)
    options = {"item_layers": item_layers, "item_neighbours": 3, "temperature": 0.3}
    model = drawn.build("mentor", seed, **options, reg_weight=0.2, align_weight=0.7, graph_weight=0.4)
    matrix = both_ways(drawn.ratings)
    root = matrix.sum(1).clamp_min(1).rsqrt()
    adjacency = (root[:, None] * matrix * root).float().double()
    shares = (0.1, 0.9) if len(modalities) > 1 else (1.0,)
    item_graph = torch.zeros(n_items, n_items, dtype=torch.float64)
    for share, m in zip(shares, modalities, strict=True):
        near = cosine_neighbours(drawn.features[m], 3).items
        item_graph += torch.zeros_like(item_graph).scatter(1, near, share / (near.shape[1] + 1e-7))

    def channel(encoders: Any, name: str, raw: Tensor) -> Tensor:
        hidden = functional.leaky_relu(encoders.first[name](raw), 0.01)
        x = unit(torch.cat([encoders.preferences[name], encoders.second[name](hidden)]))
        r = x + adjacency @ x + adjacency @ adjacency @ x
        near = r[n_users:] + torch.linalg.matrix_power(item_graph, item_layers) @ r[n_users:]
        return torch.cat([r[:n_users], near])

    def beside(channels: list[Tensor], weighted: bool) -> Tensor:
        one, other = channels if len(channels) == 2 else channels * 2
        if weighted and model.user_weights is not None:
            ones = torch.ones(n_items, 1, dtype=torch.float64)
            one = one * torch.cat([model.user_weights[:, 0], ones])
            other = other * torch.cat([model.user_weights[:, 1], ones])
        return torch.cat([one, other], dim=1)

    own = [channel(model.encoders, m, drawn.features[m]) for m in modalities]
    tables = [beside(own, weighted=True)]
    tables += [beside([each], weighted=False) for each in (channel(model.guide, "ids", model.guide_items), *own)]
    users, items = tables[0].split([n_users, n_items])
    found = model.represent(drawn.features)
    torch.testing.assert_close(found.users, users)
    torch.testing.assert_close(found.items, items)
    u, p, n = users[drawn.batch.users], items[drawn.batch.positives], items[drawn.batch.negatives]
    expected = functional.softplus((u * n).sum(1) - (u * p).sum(1)).mean() / torch.tensor(2.0).double().log()
    squares = [model.encoders.preferences[m][drawn.batch.users].square().mean() for m in modalities]
    squares += [] if model.user_weights is None else [model.user_weights.square().mean()]
    expected = expected + 0.2 * sum(squares)
    for one, other in combinations(tables, 2):
        expected = expected + 0.7 * ((one.var() - other.var()).abs() + (one.mean() - other.mean()).abs())
    views = [beside([channel(view, m, drawn.features[m]) for m in modalities], weighted=True) for view in model.views]
    for part in (slice(0, n_users), slice(n_users, None)):
        a, b = (unit(view[part]) for view in views)
        expected = expected + 0.4 * functional.cross_entropy(a @ b.T / 0.3, torch.arange(len(a)))
    same_gradients(model, model.loss(drawn.features, drawn.batch).total, expected)


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_moments_are_those_of_repeated_tables(copies: int) -> None:
    users, items = torch.randn(5, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64) + 1
    whole = torch.cat([users, items]).repeat(1, copies)
    torch.testing.assert_close(moments(users, items, copies), torch.stack([whole.var(), whole.mean()]))


def test_the_contrast_of_all_rows_is_the_dense_one_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients, with as few rows at once as a product takes; no larger table is made."""
    monkeypatch.setitem(log_partition.LOGIT_BYTES, "cpu", 1)
    monkeypatch.setattr(mentor, "ROWS", 3)
    a, b = (torch.randn(10, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    found = whole_contrast(a, b, 0.2)
    expected = functional.cross_entropy(unit(a) @ unit(b).T / 0.2, torch.arange(10))
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(torch.autograd.grad(found, (a, b)), torch.autograd.grad(expected, (a, b)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_noise_has_its_length_and_the_signs_of_what_it_is_added_to() -> None:
    drawn = draw(6, 7, 0.5, seed=1)
    model = drawn.build("mentor", noise=0.3)
    graph = model.encoders.graph.bipartite()
    generator = torch.Generator().manual_seed(2)
    users, items = (torch.randn(n, 16, generator=generator, dtype=torch.float64) for n in (6, 7))
    plain = graph.to_users(items)
    found = mentor._noisy(plain, drawn.batch._replace(seed=4), model.config, "users 0")
    noise = (found - plain).view(6, 4, 4)
    touched = plain.abs().sum(1) > 0
    torch.testing.assert_close(noise.norm(dim=2)[touched], torch.full((int(touched.sum()), 4), 0.3).double())
    assert torch.equal(noise.flatten(1).sign(), plain.sign())
    assert torch.equal(mentor._noisy(plain, drawn.batch, model.config, "users 0"), plain)
    same = [perturbed(graph, users, items, drawn.batch._replace(seed=s), model.config)[0] for s in (1, 1, 2)]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])


def test_views_train_nothing_that_is_served_but_the_modality_weights() -> None:
    drawn = draw(6, 7, 0.5, seed=1)
    with_views, without = drawn.build("mentor", graph_weight=0.5), drawn.build("mentor", graph_weight=0.0)
    assert not [name for name, _ in without.named_parameters() if name.startswith("views")]
    without.load_state_dict({k: v for k, v in with_views.state_dict().items() if not k.startswith("views")})
    gradients = []
    for model in (with_views, without):
        loss = model.loss(drawn.features, drawn.batch)
        loss.total.backward()
        assert ("graph" in loss.terms) == (model is with_views)
        gradients.append({name: each.grad for name, each in model.named_parameters()})
    different = {name for name, each in gradients[1].items() if not torch.allclose(each, gradients[0][name])}
    assert different == {"user_weights"}


def test_items_without_features_have_numbers_and_derivatives() -> None:
    drawn = draw(5, 6, 0.5, seed=4)
    model = drawn.build("mentor", item_neighbours=3)
    for table in drawn.features.values():
        table[2] = 0
        table.requires_grad_()
    total = model.loss(drawn.features, drawn.batch._replace(seed=2)).total
    total = total + model.represent(drawn.features).items.pow(3).sum()
    inputs = [*model.parameters(), *drawn.features.values()]
    first = torch.autograd.grad(total, inputs, create_graph=True)
    second = torch.autograd.grad(sum(part.tanh().sum() for part in first), inputs)
    assert all(part.isfinite().all() for part in (total, *first, *second))
