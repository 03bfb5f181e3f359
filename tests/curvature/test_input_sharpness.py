"""Sharpness in the item features, of every model whose scores follow them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from tiny_curvature import READING, WIDTHS, dense, features, generator, tiny_loss

from robustrec.curvature.inputs import (
    input_eigenvalue,
    input_products,
    input_traces,
    inputs_of,
    noisy_pairs,
    slopes,
    worst_items,
)
from robustrec.curvature.loss import AuditLoss
from robustrec.curvature.traces import WHOLE, estimate

# Scores follow features by no derivative: through nobody's, or only through which items are neighbours.
WITHOUT_DERIVATIVE = {"bm3", "freedom", "da-mrs"}
SMOOTH = {"vbpr", "slmrec"}
ALL = tuple(WIDTHS)


@pytest.fixture(params=READING)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def _moved(loss: AuditLoss, leaves: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    spread = inputs_of(loss.tables).spread
    return {m: each + spread[m] * leaves[m] for m, each in loss.tables.items()}


def _row(value: torch.Tensor, leaves: dict[str, torch.Tensor], *, graph: bool = False) -> torch.Tensor:
    rows = torch.autograd.grad(
        value, list(leaves.values()), create_graph=graph, retain_graph=True, materialize_grads=True
    )
    return torch.cat([row.reshape(-1) for row in rows])


def _dense_in_features(loss: AuditLoss) -> torch.Tensor:
    """The Hessian in Z, written down anew."""
    leaves = {m: torch.zeros_like(each).requires_grad_() for m, each in loss.tables.items()}
    gradient = _row(loss.value(tables=_moved(loss, leaves)), leaves, graph=True)
    return torch.stack([_row(entry, leaves) for entry in gradient])


def test_models_without_a_derivative_in_the_features_have_products_of_zeros(name: str) -> None:
    loss = tiny_loss(name)
    products = input_products(loss, inputs_of(loss.tables), ALL)
    v = products.space.normal(generator(1))
    assert bool(products(v).any()) == (name not in WITHOUT_DERIVATIVE)
    assert products.influential == (name not in WITHOUT_DERIVATIVE)


def test_the_dense_hessian_in_the_features(name: str) -> None:
    loss = tiny_loss(name)
    if name in WITHOUT_DERIVATIVE:
        pytest.skip("its scores have no derivative in the features")
    products = input_products(loss, inputs_of(loss.tables), ALL)
    expected = _dense_in_features(loss)
    torch.testing.assert_close(dense(products, products.space.size), expected, rtol=1e-9, atol=1e-11)
    ends = input_eigenvalue(products, steps=products.space.size, generator=generator(2))
    values = np.linalg.eigvalsh(expected.numpy())
    assert ends.largest[0].value == pytest.approx(values[-1], abs=1e-8)
    assert ends.smallest.value == pytest.approx(values[0], abs=1e-8)


def test_traces_by_modality_and_by_item(name: str) -> None:
    loss = tiny_loss(name)
    inputs = inputs_of(loss.tables)
    products = input_products(loss, inputs, ALL)
    diagonal = products.space.unpack(dense(products, products.space.size).diagonal() / 2)
    found = input_traces(products, inputs, probes=25, generator=generator(3))
    for modality, expected in diagonal.items():
        value, error, _ = found.modalities[modality]
        assert abs(value - float(expected.sum())) <= 6 * error + 1e-12
        assert found.items[modality].sum() == pytest.approx(value, rel=1e-9, abs=1e-15)
    whole = sum(float(each.sum()) for each in diagonal.values())
    assert abs(found.modalities[WHOLE].value - whole) <= 6 * found.modalities[WHOLE].error + 1e-12
    worst = worst_items(products, inputs, found, 3, probes=10, generator=generator(4))
    for modality, rated in worst.items():
        assert len(rated) == 3
        for item, (value, error, _) in rated:
            assert abs(value - float(diagonal[modality][item].sum())) <= 6 * error + 1e-12


@pytest.mark.parametrize("sigma", [0.01, 0.1])
def test_the_expansion_predicts_the_measured_loss(name: str, sigma: float) -> None:
    """½σ²·tr ∇²_X L against E[L(X + σz)] - L: two audits against each other."""
    if name in WITHOUT_DERIVATIVE or (sigma > 0.01 and name not in SMOOTH):
        pytest.skip("no derivative in the features, or kinks that few units do not average out")
    loss = tiny_loss(name)
    inputs = inputs_of(loss.tables)
    expected = sigma**2 * float(dense(input_products(loss, inputs, ALL), 60).trace()) / 2
    base = float(loss.value())
    pairs = noisy_pairs(loss, inputs, ALL, sigma, pairs=25, seed=0, rebuilt=False)
    measured = estimate([(loss.of(up) + loss.of(down)) / 2 - base for up, down in pairs])
    slack = 0.05 if name in SMOOTH else 0.3
    assert abs(measured.value - expected) <= 4.5 * measured.error + slack * abs(expected)


def test_linearised_flips_are_those_of_the_normal_distribution(name: str) -> None:
    loss, sigma = tiny_loss(name), 0.5
    inputs = inputs_of(loss.tables)
    leaves = {m: torch.zeros_like(each).requires_grad_() for m, each in loss.tables.items()}
    margins = loss.margins(tables=_moved(loss, leaves))
    lengths = [float(_row(margin, leaves).norm()) if margin.requires_grad else 0.0 for margin in margins]
    found = margins.detach().numpy()
    with np.errstate(divide="ignore"):
        expected = ndtr(-found / (sigma * np.array(lengths))).mean()
    flips = slopes(loss, inputs, ALL, draws=30, seed=1).flips(sigma)
    assert abs(flips.value - expected) <= 4.5 * flips.error + 1e-6


def test_an_item_without_a_picture_stays_finite(name: str) -> None:
    tables = features()
    tables["image"][4] = 0.0
    tables["text"][7] = 0.0
    for dtype in (torch.float32, torch.float64):
        loss = tiny_loss(name, tables=tables, dtype=dtype)
        inputs = inputs_of(loss.tables)
        products = input_products(loss, inputs, ALL)
        found = input_traces(products, inputs, probes=4, generator=generator(5))
        assert products.space.shapes["image"] == (11, 3)
        assert all(np.isfinite(each).all() for each in found.items.values())
        assert abs(found.modalities[WHOLE].value) < 1e3
        assert found.items["image"][4] == 0.0
        assert np.isfinite(slopes(loss, inputs, ALL, draws=2, seed=0).flips(0.1).value)


def test_noise_leaves_missing_modalities_alone_and_rebuilds_graphs_on_demand() -> None:
    tables = features()
    tables["image"][4] = 0.0
    loss = tiny_loss("dragon", tables=tables)
    inputs = inputs_of(loss.tables)
    moved = inputs.moved(inputs.normal(ALL, 0, "x"))
    assert not moved["image"][4].any()
    assert (moved["image"][5] != loss.tables["image"][5]).all()
    ((frozen, _),) = noisy_pairs(loss, inputs, ALL, 3.0, pairs=1, seed=0, rebuilt=False)
    ((rebuilt, _),) = noisy_pairs(loss, inputs, ALL, 3.0, pairs=1, seed=0, rebuilt=True)
    assert not torch.equal(frozen.items, rebuilt.items)


def test_spread_is_that_of_the_columns_of_items_that_have_the_modality() -> None:
    table = torch.cat(
        [torch.zeros(3, 2), torch.randn(500, 2, generator=generator()) * torch.tensor([3.0, 4.0]) + 100.0]
    )
    inputs = inputs_of({"image": table})
    assert inputs.spread["image"] == pytest.approx((12.5) ** 0.5, rel=0.1)
    assert inputs.live["image"].tolist() == list(range(3, 503))
