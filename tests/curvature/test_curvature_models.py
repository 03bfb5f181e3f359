"""Hessians of every model against dense ones written down by hand, in float64 and in float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_curvature import MODELS, dense, dense_by_hand, generator, tiny_loss

from robustrec.curvature.lanczos import extremes
from robustrec.curvature.loss import checked_value
from robustrec.curvature.perturbations import average_case, average_curvature, worst_case
from robustrec.curvature.products import check_symmetry, parameter_gradient, parameter_products
from robustrec.curvature.spaces import blocks_of, latent_scales
from robustrec.curvature.traces import WHOLE, density, traces


@pytest.fixture(params=list(MODELS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_dense_hessian_and_its_eigenvalues(name: str) -> None:
    loss = tiny_loss(name)
    products = parameter_products(loss)
    expected = dense_by_hand(loss.subject)
    found = dense(products, products.space.size)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)

    values = np.linalg.eigvalsh(expected.numpy())
    ends = extremes(products, generator(3), steps=products.space.size)
    assert [each.value for each in ends.largest] == pytest.approx(values[::-1][:5], abs=1e-8)
    assert ends.smallest.value == pytest.approx(values[0], abs=1e-8)
    assert abs(ends.by_magnitude.value) == pytest.approx(np.abs(values).max(), abs=1e-8)
    for each in (*ends.largest, ends.smallest):
        assert float((products(each.vector) - each.value * each.vector).norm()) < 1e-8


def test_the_dense_hessian_of_standardised_margins() -> None:
    loss = tiny_loss("slmrec", standardised=True)
    products = parameter_products(loss)
    found = dense(products, products.space.size)
    torch.testing.assert_close(found, dense_by_hand(loss.subject, standardised=True), rtol=1e-9, atol=1e-11)


def test_products_are_symmetric_and_repeat_to_the_bit(name: str) -> None:
    products = parameter_products(tiny_loss(name))
    u, v = products.space.normal(generator(1)), products.space.normal(generator(2))
    assert float(u @ products(v)) == pytest.approx(float(v @ products(u)), rel=1e-10, abs=1e-14)
    assert torch.equal(products(v), products(v))
    check_symmetry(parameter_products(tiny_loss(name, dtype=torch.float32)), generator(3))


def test_float32_agrees_with_float64(name: str) -> None:
    fine, rough = (parameter_products(tiny_loss(name, dtype=dtype)) for dtype in (torch.float64, torch.float32))
    v = fine.space.normal(generator(2))
    assert rough.space.dtype == torch.float32
    torch.testing.assert_close(rough(v.float()).double(), fine(v), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(rough.gradient.double(), fine.gradient, rtol=1e-3, atol=1e-5)


def test_traces_of_blocks_are_those_of_the_dense_hessian(name: str) -> None:
    loss = tiny_loss(name)
    products = parameter_products(loss)
    space = products.space
    blocks = blocks_of(space, *loss.pairs.pattern.shape)
    diagonal = space.unpack(dense(products, space.size).diagonal())
    found = traces(products, blocks, probes=25, generator=generator(4))
    sums = {block: sum(float(diagonal[each].sum()) for each in members) for block, members in blocks.items()}
    sums[WHOLE] = sum(sums.values())
    for block, expected in sums.items():
        value, error, draws = found[block]
        assert draws == 25
        assert abs(value - expected) <= 4.5 * error + 1e-12, block
    assert found[WHOLE].value == pytest.approx(sum(found[block].value for block in blocks), rel=1e-9, abs=1e-12)


def test_quadrature_integrates_to_one_and_has_the_mean_of_the_trace(name: str) -> None:
    products = parameter_products(tiny_loss(name))
    found = density(products, probes=8, steps=12, generator=generator(5))
    assert found.weights.sum(axis=1) == pytest.approx(np.ones(8), rel=1e-10)
    grid, heights = found.on_grid()
    assert np.trapezoid(heights, grid) == pytest.approx(1.0, abs=1e-6)
    # The first moment of every quadrature is exact: zᵀHz / N, of which the trace over N is the mean.
    signs = products.space.signs(generator(5))
    first = float(signs @ products(signs)) / products.space.size
    assert (found.nodes[0] * found.weights[0]).sum() == pytest.approx(first, rel=1e-9, abs=1e-12)
    assert found.mean().draws == 8


def test_the_average_case_is_its_curvature_at_small_radius(name: str) -> None:
    loss = tiny_loss(name)
    products = parameter_products(loss)
    scales = latent_scales(loss.parameters, *loss.pairs.pattern.shape)
    options = {"radius": 1e-4}
    measured = average_case(loss, scales, products.space, pairs=6, generator=generator(6), **options)
    expected = average_curvature(products, scales, probes=6, generator=generator(6), **options)
    assert measured.value == pytest.approx(expected.value, rel=0.05, abs=1e-12)


def test_weight_noise_costs_half_the_trace(name: str) -> None:
    loss, sigma = tiny_loss(name), 2e-3
    products = parameter_products(loss)
    ones = {each: torch.ones_like(value) for each, value in loss.parameters.items()}
    measured = average_case(loss, ones, products.space, radius=sigma, pairs=20, generator=generator(7))
    exact = sigma**2 / 2 * float(dense(products, products.space.size).trace())
    assert abs(measured.value - exact) <= 4.5 * measured.error + 0.04 * abs(exact)


@pytest.mark.parametrize("adaptive", [False, True])
def test_ascent_goes_up_and_never_past_the_radius(name: str, adaptive: bool) -> None:
    loss, radius = tiny_loss(name), 1e-3
    base, gradient = parameter_gradient(loss)
    assert base == pytest.approx(checked_value(loss))
    found = worst_case(loss, radius=radius, steps=3, adaptive=adaptive)
    sizes = {each: value.abs() if adaptive else 1.0 for each, value in loss.parameters.items()}
    slope = sum(float((sizes[each] * row).square().sum()) for each, row in gradient.items()) ** 0.5
    assert found[0] == pytest.approx(radius * slope, rel=0.1), "to first order"
    assert list(found) == sorted(found)
