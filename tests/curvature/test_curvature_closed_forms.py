"""Closed forms: quadratics, logistic regression, affine margins, multiple eigenvalues, restarts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_curvature import TRIPLES, dense, generator, space_for, tiny_loss

from robustrec.curvature.krylov import krylov
from robustrec.curvature.lanczos import extremes
from robustrec.curvature.operators import Operator
from robustrec.curvature.products import Products, parameter_products
from robustrec.curvature.spaces import blocks_of, space_of
from robustrec.curvature.traces import WHOLE, density, traces


def _quadratic(matrix: torch.Tensor) -> Products:
    x = torch.zeros(len(matrix), dtype=matrix.dtype, requires_grad=True)
    return Products((x @ matrix @ x) / 2 + x.sum(), {"x": x})


def _symmetric(values: np.ndarray, seed: int = 0) -> torch.Tensor:
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return torch.from_numpy(turn @ np.diag(values) @ turn.T)


def test_both_ends_of_an_indefinite_spectrum() -> None:
    products = _quadratic(torch.diag(torch.tensor([1.0, 2.0, -5.0], dtype=torch.float64)))
    ends = extremes(products, generator())
    assert [each.value for each in ends.largest] == pytest.approx([2.0, 1.0, -5.0])
    assert ends.smallest.value == pytest.approx(-5.0)
    assert ends.by_magnitude.value == pytest.approx(-5.0)
    assert ends.products == 3
    torch.testing.assert_close(products.gradient, torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("values", [[3.0, 3.0, 3.0, 1.0], [0.0, 0.0, 0.0], [2.0, 2.0, -2.0, -2.0, 0.0], [7.0]])
def test_eigenvalues_that_occur_several_times(values: list[float]) -> None:
    products = _quadratic(_symmetric(np.array(values)))
    ends = extremes(products, generator())
    assert [each.value for each in ends.largest] == pytest.approx(sorted(values, reverse=True)[:5], abs=1e-9)
    assert ends.smallest.value == pytest.approx(min(values), abs=1e-9)


@given(st.integers(0, 1000), st.integers(2, 60), st.integers(2, 30))
def test_residuals_are_those_of_the_pairs_and_bound_the_error(seed: int, size: int, steps: int) -> None:
    values = np.random.default_rng(seed).normal(size=size)
    matrix = _symmetric(values, seed)
    found = extremes(Operator(space_for(size), lambda v: matrix @ v), generator(seed), count=3, steps=steps)
    for each in (*found.largest, found.smallest):
        true = float((matrix @ each.vector - each.value * each.vector).norm())
        assert each.residual == pytest.approx(true, abs=1e-9)
        assert np.abs(values - each.value).min() <= each.residual + 1e-9
        assert float(each.vector.norm()) == pytest.approx(1.0)


def test_a_known_spectrum_in_float32() -> None:
    values = np.concatenate([[10.0, 8.0, 7.0, 6.0, 5.0, -9.0], np.linspace(-1, 1, 300)])
    matrix = _symmetric(values).float()
    found = extremes(Operator(space_for(len(values), torch.float32), lambda v: matrix @ v), generator(), steps=40)
    assert [each.value for each in found.largest] == pytest.approx([10.0, 8.0, 7.0, 6.0, 5.0], rel=1e-5)
    assert found.smallest.value == pytest.approx(-9.0, rel=1e-5)
    assert found.restarts == 0


def test_restarts_find_the_same_ends_in_little_memory() -> None:
    values = np.concatenate([[10.0, 8.0, 7.0, 6.0, 5.0, -9.0], np.linspace(-1, 1, 300)])
    matrix = _symmetric(values)
    space = space_for(len(values))
    found = extremes(Operator(space, lambda v: matrix @ v), generator(), steps=80, memory=14 * 8 * space.size)
    assert found.restarts > 1
    assert found.products == 80
    assert [each.value for each in found.largest] == pytest.approx([10.0, 8.0, 7.0, 6.0, 5.0], rel=1e-6)
    assert found.smallest.value == pytest.approx(-9.0, rel=1e-6)
    for each in (*found.largest, found.smallest):
        true = float((matrix @ each.vector - each.value * each.vector).norm())
        assert each.residual == pytest.approx(true, abs=1e-9)


def test_the_basis_stays_orthonormal() -> None:
    matrix = _symmetric(np.concatenate([[1e4], np.linspace(0, 1, 200)])).float()
    start = torch.randn(201, generator=generator())
    basis = krylov(Operator(space_of({"x": start}), lambda v: matrix @ v), start, 60, generator(), capacity=60).basis
    torch.testing.assert_close(basis @ basis.T, torch.eye(60), rtol=0, atol=1e-5)


def test_logistic_regression() -> None:
    source = generator(1)
    x = torch.randn(50, 4, dtype=torch.float64, generator=source)
    weights = torch.randn(4, dtype=torch.float64, generator=source).requires_grad_()
    value = torch.nn.functional.softplus(-(x @ weights)).mean()
    chance = torch.sigmoid(x @ weights.detach())
    expected = x.T @ torch.diag(chance * (1 - chance)) @ x / 50
    torch.testing.assert_close(dense(Products(value, {"w": weights}), 4), expected)


def test_bpr_has_the_diagonal_of_affine_margins() -> None:
    """Margins are affine in every single entry of BPR's tables: H_jj = mean σ'(m) (∂m/∂θ_j)²."""
    loss = tiny_loss("bpr")
    products = parameter_products(loss)
    leaves = {name: each.clone().requires_grad_() for name, each in loss.parameters.items()}
    margins = loss.margins(leaves)
    rows = [torch.autograd.grad(m, list(leaves.values()), retain_graph=True) for m in margins]
    jacobian = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
    chance = torch.sigmoid(margins.detach())
    expected = ((chance * (1 - chance))[:, None] * jacobian**2).mean(dim=0)
    torch.testing.assert_close(dense(products, products.space.size).diagonal(), expected, rtol=1e-10, atol=1e-14)
    blocks = blocks_of(products.space, *loss.pairs.pattern.shape)
    assert set(blocks) == {"users", "items"}
    found = traces(products, blocks, probes=500, generator=generator(2))
    assert found[WHOLE].value == pytest.approx(float(expected.sum()), abs=4.5 * found[WHOLE].error)


@pytest.mark.parametrize("memory", [float("inf"), 0.0])
def test_quadrature_of_a_known_spectrum(memory: float) -> None:
    values = np.repeat([0.0, 1.0, 4.0], [70, 20, 10])
    matrix = _symmetric(values)
    found = density(
        Operator(space_for(100), lambda v: matrix @ v), probes=20, steps=30, generator=generator(), memory=memory
    )
    assert found.weights.sum() == pytest.approx(20)
    for node, share in ((0.0, 0.7), (1.0, 0.2), (4.0, 0.1)):
        near = np.abs(found.nodes - node) < 1e-6
        assert (found.weights * near).sum() / 20 == pytest.approx(share, abs=0.05)
    assert found.mean().value == pytest.approx(0.6, abs=4.5 * found.mean().error)
    grid, heights = found.on_grid(points=400)
    assert np.trapezoid(heights, grid) == pytest.approx(1.0, abs=1e-6)
    assert np.trapezoid(heights * grid, grid) == pytest.approx(found.mean().value, abs=0.02)


def test_there_are_as_many_margins_as_triples() -> None:
    assert tiny_loss("bpr").margins().shape == TRIPLES.users.shape
