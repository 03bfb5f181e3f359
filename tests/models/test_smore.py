"""SMORE: item graphs and dropout against published numbers, vectors and loss against dense algebra in float64."""

from __future__ import annotations

import pytest
import torch
from drawn_problems import SIZES, both_ways, draw, same_gradients, unit
from golden_item_graph import CASES
from goldens import load, tiny_data
from hypothesis import given, settings
from hypothesis import strategies as st
from test_item_graph_models import mean_of_powers, nearest_cosines, normalise, projected
from torch import Tensor
from torch.nn import functional

from robustrec.errors import RobustrecError
from robustrec.models import smore
from robustrec.models.contract import Batch, item_graphs
from robustrec.models.graphs import product
from robustrec.models.smore import FUSED, SMORE, DroppedGates, _complex


@pytest.mark.parametrize(("name", "ours"), [("v", "image"), ("t", "text"), ("fusion", FUSED)])
def test_item_graphs_are_the_published_ones(name: str, ours: str) -> None:
    case = load("SMORE", CASES["SMORE"])
    graphs = item_graphs(case.model, case.features)
    assert graphs is not None
    published = torch.from_numpy(case.numbers[f"item_graph_{name}"])
    assert (published < 0).any() == (name != "v")
    torch.testing.assert_close(product(graphs[ours], torch.eye(9)), published, rtol=0, atol=1e-6)


def test_dropout_is_that_of_the_published_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    case = load("SMORE", CASES["SMORE"])
    masks = {
        name: torch.from_numpy(case.numbers[f"noisy/mask_{letter}"])
        for name, letter in (("image", "v"), ("text", "t"), (FUSED, "f"))
    }

    def kept(self: DroppedGates, gates: Tensor, generator: object) -> Tensor:
        (name,) = [each for each in masks if generator == (self.side, each)]
        users, items = masks[name].split([11, 9])
        return (users if self.side == "users" else items)[self.rows]

    monkeypatch.setattr(DroppedGates, "_kept", kept)
    monkeypatch.setattr(Batch, "noise", lambda _, name: tuple(name.removeprefix("dropout ").split(" ", 1)))
    model = SMORE(
        problem=tiny_data()[0],
        config=case.model.config.model_copy(update={"dropout": float(case.numbers["noisy/rate"])}),
        generator=torch.Generator(),
    )
    model.load_state_dict(case.model.state_dict())
    loss = model.loss(case.features, case.batches[0]._replace(seed=1)).total
    assert loss.item() == pytest.approx(float(case.numbers["noisy/loss"]), rel=1e-6)
    assert loss.item() != pytest.approx(float(case.numbers["loss"]), rel=1e-6)
    loss.backward()
    published = case.group("noisy/grad")
    assert set(published) == {"users", "items", "fused_filter"}
    for name, gradient in published.items():
        atol = 1e-5 * float(gradient.abs().max())
        torch.testing.assert_close(model.get_parameter(name).grad, gradient, rtol=0, atol=atol)


def dft(width: int) -> Tensor:
    """Return the matrix [width, bins] of the orthonormal transform of real rows."""
    bins = torch.arange(width // 2 + 1, dtype=torch.float64)
    angles = torch.arange(width)[:, None] * bins * (-2 * torch.pi / width)
    return torch.polar(torch.full_like(angles, width**-0.5), angles)


def inverse(spectrum: Tensor, width: int) -> Tensor:
    """Return the real rows [n, width] of spectra [n, bins], by the sum over all bins and their conjugates."""
    bins = torch.arange(width // 2 + 1, dtype=torch.float64)
    back = torch.conj(dft(width)).T
    weight = torch.where((bins == 0) | (2 * bins == width), 1.0, 2.0)
    real = (bins == 0) | (2 * bins == width)
    return ((torch.where(real, spectrum.real + 0j, spectrum) * weight) @ back).real


@settings(max_examples=20)
@given(
    **SIZES,
    width=st.integers(1, 6),
    layers=st.integers(1, 3),
    item_layers=st.integers(0, 2),
    modalities=st.sampled_from([("image", "text"), ("image",), ("text",)]),
)
def test_smore_is_its_equations(
    n_users: int,
    n_items: int,
    density: float,
    seed: int,
    width: int,
    layers: int,
    item_layers: int,
    modalities: tuple[str, ...],
) -> None:
    drawn = draw(n_users, n_items, density, seed, modalities)
    features = {m: table.abs() for m, table in drawn.features.items()}
    options = {"latent_width": width, "layers": layers, "item_layers": item_layers, "temperature": 0.3}
    options |= {"image_neighbours": 3, "text_neighbours": 2, "nominal_batch": 5}
    model = drawn.build("smore", seed, **options, contrast_weight=0.7, reg_weight=0.2)
    matrix = both_ways(drawn.ratings)
    root = matrix.sum(1).clamp_min(1).rsqrt()
    # As the model holds it: rounded to float32.
    block = (root[:, None] * matrix * root).float().double()
    content = mean_of_powers(block, torch.cat([model.users, model.items]), layers)
    near = {m: nearest_cosines(features[m], {"image": 3, "text": 2}[m]) for m in modalities}
    graphs = {m: normalise(each) for m, each in near.items()}
    spectra = {m: projected(model, features, m).to(torch.complex128) @ dft(width) for m in modalities}
    filters, gates = dict(model.filters), dict(model.gates)
    if len(modalities) > 1:
        there = torch.stack([torch.where(near[m] != 0, graphs[m], -torch.inf) for m in modalities]).amax(0)
        graphs[FUSED] = torch.where(there == -torch.inf, 0.0, there)
        spectra[FUSED] = spectra["image"] * spectra["text"]
        filters[FUSED], gates[FUSED] = model.fused_filter, model.fused_gate
    views = {}
    for m, spectrum in spectra.items():
        signal = inverse(spectrum * torch.view_as_complex(filters[m]), width)
        y = torch.linalg.matrix_power(graphs[m], item_layers) @ (model.items * gates[m](signal).sigmoid())
        views[m] = torch.cat([block[:n_users, n_users:] @ y, y])
    parts = [model.preferences[m](content).sigmoid() * views[m] for m in modalities]
    if len(modalities) > 1:
        for place, m in enumerate(modalities):
            query = torch.tanh(model.queries[m](views[FUSED])) @ model.attention[m].T
            parts[place] = parts[place] * query.softmax(1)
        parts.append(model.fused_preference(content).sigmoid() * views[FUSED])
    side = sum(parts) / (len(modalities) + 1)
    users, items = (content + side).split([n_users, n_items])
    found = model.represent(features)
    torch.testing.assert_close(found.users, users)
    torch.testing.assert_close(found.items, items)
    u, p, n = users[drawn.batch.users], items[drawn.batch.positives], items[drawn.batch.negatives]
    expected = functional.softplus((u * n).sum(1) - (u * p).sum(1)).mean()
    expected = expected + 0.2 / 2 / 5 * sum(each.square().sum() for each in (u, p, n))
    for ids in (drawn.batch.users, n_users + drawn.batch.positives):
        a, b = (unit(view[ids]) for view in (side, content))
        expected = expected + 0.7 * functional.cross_entropy(a @ b.T / 0.3, torch.arange(4))
    same_gradients(model, model.loss(features, drawn.batch).total, expected)


def test_the_filters_have_no_phase_where_a_real_signal_has_none() -> None:
    case = load("SMORE", CASES["SMORE"])
    case.model.loss(case.features, case.batches[0]).total.backward()
    before = case.model.represent(case.features).items
    for weight in (*case.model.filters.values(), case.model.fused_filter):
        assert torch.equal(weight.grad[0, [0, 32], 1], torch.zeros(2))
        assert (weight.grad[0, 1:32, 1] != 0).all()
        with torch.no_grad():
            weight[0, [0, 32], 1] = 9.0
        # Not every library's inverse transform leaves out what is there.
        assert torch.equal(_complex(weight, 64).imag[0, [0, 32]], torch.zeros(2))
        assert torch.equal(_complex(weight[:, :32], 63).imag[0, 1:], weight[0, 1:32, 1])
    assert torch.equal(case.model.represent(case.features).items, before)


def test_items_without_features_have_numbers_and_first_and_second_derivatives() -> None:
    drawn = draw(5, 6, 0.5, seed=4)
    model = drawn.build("smore", image_neighbours=3, text_neighbours=3)
    for table in drawn.features.values():
        table[2] = 0
        table.requires_grad_()
    total = model.loss(drawn.features, drawn.batch).total + model.represent(drawn.features).items.pow(3).sum()
    inputs = [*model.parameters(), *drawn.features.values()]
    first = torch.autograd.grad(total, inputs, create_graph=True)
    second = torch.autograd.grad(sum(part.tanh().sum() for part in first), inputs)
    assert all(part.isfinite().all() for part in (total, *first, *second))


def test_a_row_has_one_mask_however_often_it_is_in_the_batch() -> None:
    """On a GPU rows may repeat; there the masks of all rows are drawn."""
    rows = torch.tensor([3, 1, 3, 0, 1])
    repeated = rows.as_subclass(_Elsewhere)
    batch = Batch(rows, rows, rows, seed=7)
    gates = torch.ones(5, 64)
    found = DroppedGates(0.25, batch, "users", repeated, 4)(gates, "image")
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[4])
    assert not torch.equal(found[0], found[1])
    assert found.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert 0.65 < float((found != 0).float().mean()) < 0.85
    other = DroppedGates(0.25, batch, "users", repeated, 4)(gates, "text")
    assert not torch.equal(found, other), "views have masks of their own"
    items = DroppedGates(0.25, batch, "items", repeated, 4)(gates, "image")
    assert not torch.equal(found, items), "so have users and items"
    assert torch.equal(DroppedGates(0.25, batch._replace(seed=None), "users", rows, 4)(gates, "image"), gates)
    assert torch.equal(DroppedGates(0.0, batch, "users", rows, 4)(gates, "image"), gates)


class _Elsewhere(Tensor):
    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda")


def test_only_the_batchs_rows_are_fused_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw(6, 9, 0.4, seed=2)
    model = drawn.build("smore")
    batch = Batch(torch.tensor([0, 1, 1]), torch.tensor([2, 2, 5]), torch.tensor([8, 2, 5]))
    expected = model.loss(drawn.features, batch)
    monkeypatch.setattr(smore, "distinct", lambda ids, size: (ids, torch.arange(len(ids))))
    for name, term in model.loss(drawn.features, batch).terms.items():
        torch.testing.assert_close(term, expected.terms[name])


def test_each_modality_has_its_number_of_neighbours_and_none_is_ignored() -> None:
    config = SMORE.Config(image_neighbours=2, text_neighbours=3, item_neighbours=4)
    assert [config.neighbours_of(m) for m in ("image", "text", "audio")] == [2, 3, 4]
    config.check_modalities("smore", ("image", "audio"))
    with pytest.raises(RobustrecError, match="the model reads image and text") as caught:
        draw(3, 4, 0.5, seed=1).build("smore", item_neighbours=4)
    assert "--set smore.image_neighbours=4 --set smore.text_neighbours=4" in caught.value.fix
