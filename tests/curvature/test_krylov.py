"""Lanczos' recurrence: no eigenvalue twice, residuals that bound, and counts of products, inner products and waits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from tiny_curvature import generator, space_for, tiny_loss
from torch.utils._python_dispatch import TorchDispatchMode

from robustrec.curvature import krylov as process
from robustrec.curvature.inputs import input_products, input_traces, inputs_of
from robustrec.curvature.krylov import krylov
from robustrec.curvature.lanczos import extremes, tridiagonal
from robustrec.curvature.operators import Operator
from robustrec.curvature.perturbations import average_curvature
from robustrec.curvature.products import parameter_products
from robustrec.curvature.spaces import latent_scales
from robustrec.curvature.sums import coordinates, inner, norm
from robustrec.curvature.traces import traces
from robustrec.errors import RobustrecError

DTYPES = (torch.float32, torch.float64)
INTERVALS = (1, 8)
BULK = np.linspace(-1, 1, 300)
SPECTRA = {
    "one far above": np.concatenate([[1e4], BULK]),
    "clusters": np.concatenate([[3.0, 3.0 - 1e-6, 3.0 - 2e-6, 2.5, 2.5 + 1e-7], BULK]),
    "equal ones": np.concatenate([[3.0, 3.0, 3.0, 2.0, 2.0], BULK]),
    "negative": np.concatenate([[-50.0, -40.0, 1.5, 1.4, 1.3], BULK]),
    "no gaps": np.linspace(0, 1, 305),
    "of low rank": np.concatenate([[5.0, 4.0, -3.0], np.zeros(300)]),
}


def _matrix(values: np.ndarray, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return torch.from_numpy(turn @ np.diag(values) @ turn.T).to(dtype)


def _operator(matrix: torch.Tensor) -> Operator:
    return Operator(space_for(len(matrix), matrix.dtype), lambda v: matrix @ v)


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", list(SPECTRA))
@pytest.mark.parametrize("memory", [math.inf, 0.0])
def test_residuals_are_bounds_and_eigenvalues_lie_within_them(
    name: str, dtype: torch.dtype, interval: int, memory: float
) -> None:
    matrix = _matrix(SPECTRA[name], dtype)
    found = extremes(_operator(matrix), generator(1), steps=60, memory=memory, interval=interval)
    exact = torch.linalg.eigvalsh(matrix.double()).numpy()
    slack = 20 * torch.finfo(torch.float64).eps * np.abs(exact).max()  # of the test's own arithmetic
    for each in (*found.largest, found.smallest):
        vector = each.vector.double() / each.vector.double().norm()
        true = float((matrix.double() @ vector - each.value * vector).norm())
        assert true <= each.residual + slack
        assert np.abs(exact - each.value).min() <= each.residual + slack
        idle = (10 * torch.finfo(dtype).eps ** 0.75 + process.LIMITS[dtype] * found.restarts) * np.abs(exact).max()
        assert each.residual <= 1.5 * true + idle, "a bound, and not an idle one"


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", [math.inf, 0.0])
def test_no_eigenvalue_is_found_more_often_than_it_occurs(dtype: torch.dtype, interval: int, memory: float) -> None:
    """Long after the planted ones have converged, where a recurrence alone finds them again and again."""
    planted = [1e4, 100.0, 50.0, -200.0]
    matrix = _matrix(np.concatenate([planted, BULK]), dtype)
    found = extremes(_operator(matrix), generator(1), steps=200, memory=memory, interval=interval)
    slack = 1e-3 if dtype == torch.float32 else 1e-8
    expected = [1e4, 100.0, 50.0, *BULK[:-3:-1]]
    assert [each.value for each in found.largest] == pytest.approx(expected, abs=20 * slack)
    assert found.smallest.value == pytest.approx(-200.0, abs=slack)


def test_the_ghosts_are_there_without_reorthogonalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process._Monitor, "due", lambda *_: False)
    matrix = _matrix(SPECTRA["one far above"], torch.float32)
    found = extremes(_operator(matrix), generator(1), steps=100)
    assert [each.value for each in found.largest[:2]] == pytest.approx([1e4, 1e4], rel=1e-3)


@pytest.mark.parametrize("name", list(SPECTRA))
def test_products_that_are_rougher_than_their_precision_cost_no_orthogonality(name: str) -> None:
    """The estimate takes products to be exact to rounding; that these are not, the measurement sees."""
    matrix = _matrix(SPECTRA[name], torch.float64)
    rough = matrix.float()
    operator = Operator(space_for(len(matrix)), lambda v: (rough @ v.float()).double())
    start = operator.space.normal(generator(2))
    basis = krylov(operator, start, 80, generator(3), capacity=80).basis
    gram = basis @ basis.T - torch.eye(len(basis), dtype=torch.float64)
    assert float(gram.abs().max()) < 1e-6


@pytest.mark.parametrize("steps", [40, 71])
def test_few_vectors_are_held_against_earlier_ones(steps: int) -> None:
    """Two passes over all of them took steps · (steps + 1) inner products."""
    values = np.concatenate([[1.3, 1.25, 1.15, 1.12, 1.118], np.linspace(0, 1, 3000) ** 2])
    diagonal = torch.from_numpy(values).float()
    operator = Operator(space_for(len(values), torch.float32), lambda v: diagonal * v)
    found = extremes(operator, generator(), steps=steps)
    assert operator.count == found.products == steps
    assert found.overlaps <= 0.2 * steps * (steps + 1)
    assert found.restarts == 0
    whole = extremes(operator, generator(), steps=steps, interval=8)
    assert whole.overlaps == steps * (steps + 1) // 2
    assert [each.value for each in found.largest] == pytest.approx([each.value for each in whole.largest], rel=1e-6)
    if steps == 71:
        assert [each.value for each in found.largest] == pytest.approx(values[:5], rel=1e-5)


def test_a_step_is_one_pass_back_and_the_gradient_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **more: taken.append(1) or grad(*args, **more))
    products = parameter_products(tiny_loss("slmrec"))
    extremes(products, generator(), steps=12)
    traces(products, {}, probes=5, generator=generator())
    assert products.count == 17
    assert len(taken) == 18


def test_the_entries_of_the_pairs_are_sorted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = tiny_loss("bpr")
    with _operations() as seen:
        products = parameter_products(loss)
        products(products.space.normal(generator()))
    assert not [name for name in seen if "sort" in name]


@contextmanager
def _operations() -> Iterator[list[str]]:
    """Note the name of every operation; one that makes a host wait for a device is `_local_scalar_dense`."""
    seen: list[str] = []

    class Noting(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    with Noting():
        yield seen


def _waits(seen: list[str]) -> int:
    return sum("_local_scalar_dense" in name or "is_nonzero" in name or "nonzero" in name for name in seen)


def test_the_host_looks_once_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    advance = process._Span.advance

    def noted(span: Any, count: int) -> torch.Tensor:
        with _operations() as seen:
            steps = advance(span, count)
        counts.append((count, _waits(seen)))
        return steps

    monkeypatch.setattr(process._Span, "advance", noted)
    operator = _operator(_matrix(SPECTRA["no gaps"], torch.float32))
    found = extremes(operator, generator(), steps=30, interval=8)
    assert counts == [(8, 0), (8, 0), (8, 0), (6, 0)]
    assert found.products == operator.count == 30


@pytest.mark.parametrize("probes", [2, 9])
def test_probes_do_not_wait_for_one_another(probes: int) -> None:
    loss = tiny_loss("vbpr")
    inputs, products = inputs_of(loss.tables), parameter_products(loss)
    of_inputs = input_products(loss, inputs, ("image", "text"))
    scales = latent_scales(loss.parameters, *loss.pairs.pattern.shape)
    for measure in (
        lambda: traces(products, {}, probes=probes, generator=generator()),
        lambda: input_traces(of_inputs, inputs, probes=probes, generator=generator()),
        lambda: average_curvature(products, scales, radius=0.1, probes=probes, generator=generator()),
    ):
        with _operations() as seen:
            measure()
        assert _waits(seen) <= 1


@pytest.mark.parametrize("interval", INTERVALS)
def test_a_span_that_closes_goes_on_from_a_fresh_direction(interval: int) -> None:
    for dtype in DTYPES:
        operator = _operator(_matrix(SPECTRA["of low rank"], dtype))
        found = extremes(operator, generator(), steps=40, interval=interval)
        values = [each.value for each in found.largest]
        assert values == pytest.approx([5.0, 4.0, 0.0, 0.0, 0.0], abs=1e-5)
        assert found.smallest.value == pytest.approx(-3.0, abs=1e-5)
        assert found.products == operator.count == 40


@pytest.mark.parametrize("interval", INTERVALS)
def test_a_product_that_is_the_vector_itself_or_kept_by_the_operator_is_not_changed(interval: int) -> None:
    found = extremes(Operator(space_for(30), lambda v: v), generator(), count=3, steps=10, interval=interval)
    assert [each.value for each in found.largest] == pytest.approx([1.0] * 3)
    kept = torch.zeros(30, dtype=torch.float64)
    extremes(Operator(space_for(30), lambda _: kept), generator(), steps=5, interval=interval)
    assert not kept.any()


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_product_that_is_not_finite_is_an_error(bad: float, interval: int) -> None:
    calls = []

    def multiply(v: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return v * torch.linspace(0, 1, 30, dtype=v.dtype) if len(calls) < 5 else v * 0 + bad

    for measure in (
        lambda: extremes(Operator(space_for(30), multiply), generator(), steps=20, interval=interval),
        lambda: tridiagonal(Operator(space_for(30), multiply), torch.ones(30).double(), 20, generator(), memory=0.0),
    ):
        calls.clear()
        with pytest.raises(RobustrecError, match="not finite"):
            measure()


@pytest.mark.parametrize("size", [1, 100, 4096, 3 * 2**15 + 11])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_blocks_are_those_of_float64(size: int, dtype: torch.dtype) -> None:
    rows = torch.rand(3, size, generator=generator(size), dtype=dtype)
    exact = rows.double() @ rows[1].double()
    torch.testing.assert_close(coordinates(rows, rows[1]), exact, rtol=2e-7, atol=0)
    torch.testing.assert_close(inner(rows[0], rows[1]), exact[0], rtol=2e-7, atol=0)
    torch.testing.assert_close(norm(rows[1]), exact[1].sqrt(), rtol=2e-7, atol=0)
    assert inner(rows[0], rows[1]).dtype == coordinates(rows, rows[1]).dtype == torch.float64
