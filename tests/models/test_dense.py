"""Products by oneDNN against the usual ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robustrec.models import dense, rows
from robustrec.models.dense import apply_linear, times_transposed


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "LARGE", 1)


@given(
    n=st.integers(1, 40),
    d=st.integers(1, 40),
    m=st.integers(1, 40),
    transpose=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_two_products_differ_by_rounding(n: int, d: int, m: int, transpose: bool, seed: int) -> None:
    if not dense._has_onednn():
        pytest.skip("this PyTorch has no oneDNN")
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(n, d, generator=generator), torch.randn(m, d, generator=generator)
    if transpose:  # as the backward hands them on
        a, b = a.T.contiguous().T, b.T.contiguous().T
    exact = a.double() @ b.double().T
    torch.testing.assert_close(dense._onednn(a, b).double(), exact, rtol=1e-4, atol=1e-5)


def test_large_tables_take_it_and_agree() -> None:
    a, b = torch.randn(300, 400), torch.randn(200, 400)
    assert a.shape[0] * a.shape[1] * b.shape[0] >= dense.LARGE
    torch.testing.assert_close(times_transposed(a, b).double(), a.double() @ b.double().T, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("everything_is_large")
def test_first_and_second_derivatives() -> None:
    shapes = ((6, 5), (4, 5))
    inputs = [torch.randn(s).requires_grad_() for s in shapes]
    exact = [x.detach().double().requires_grad_() for x in inputs]
    found = []
    for a, b in (inputs, exact):
        value = (times_transposed(a, b) if a.dtype == torch.float32 else a @ b.T).pow(3).sum()
        first = torch.autograd.grad(value, (a, b), create_graph=True)
        second = torch.autograd.grad(sum(part.pow(2).sum() for part in first), (a, b))
        found.append((*first, *second))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("everything_is_large")
def test_float64_and_mixed_types_take_the_usual_product() -> None:
    a, b = torch.randn(3, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    assert torch.equal(times_transposed(a, b), a @ b.T)
    with pytest.raises(RuntimeError):
        times_transposed(a, b.float())


@pytest.mark.parametrize("fault", [RuntimeError, AttributeError, "wrong"])
def test_without_it_or_where_it_is_wrong_the_usual_product_serves(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(a: Tensor, b: Tensor) -> Tensor:
        if fault == "wrong":
            return a @ b.T + 1
        raise fault("no such operation")

    monkeypatch.setattr(dense, "LARGE", 1)
    monkeypatch.setattr(dense, "_onednn", broken)
    dense._has_onednn.cache_clear()
    try:
        a, b = torch.randn(3, 4), torch.randn(2, 4)
        assert torch.equal(times_transposed(a, b), a @ b.T)
    finally:
        dense._has_onednn.cache_clear()


@pytest.mark.usefixtures("everything_is_large")
@pytest.mark.parametrize("chosen", [None, [5, 1, 3], [0, 0, 6]])
def test_layers_and_tuned_tables_by_it(chosen: list[int] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "CHUNK", 2)
    layer = nn.Linear(5, 3)
    raw, delta = torch.randn(7, 5), torch.randn(7, 5).requires_grad_()
    torch.testing.assert_close(apply_linear(layer, raw), layer(raw))
    at = None if chosen is None else torch.tensor(chosen)
    inputs = (delta, layer.weight, layer.bias)
    found = rows.project_tuned(raw, delta, layer, at)
    expected = layer(raw + delta) if at is None else layer((raw + delta)[at])
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found.pow(2).sum(), inputs), torch.autograd.grad(expected.pow(2).sum(), inputs), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [3, 64, 192, 384, 448])
@pytest.mark.parametrize("count", [1, 31, 32, 128])
def test_many_products_with_one_table_round_as_single_ones(width: int, count: int) -> None:
    """Whichever library multiplies, and in whatever parts: rankings do not depend on it."""
    generator = torch.Generator().manual_seed(width)
    a, b = torch.randn(128, width, generator=generator), torch.randn(7056, width, generator=generator)
    out = torch.empty(count, len(b))
    assert torch.equal(dense.multiplier(b)(a[:count], out, 128), times_transposed(a[:count], b, rows=128))


@pytest.mark.parametrize(("n", "m", "d"), [(512, 512, 64), (700, 650, 40), (300, 300, 20), (40, 60, 500)])
def test_the_product_of_a_transposed_gradient_has_the_bits_of_the_usual_one(n: int, m: int, d: int) -> None:
    """Which factor oneDNN copies must not change a training."""
    gradient, a = torch.randn(n, m), torch.randn(n, d)
    found = dense.transposed_times(gradient, a)
    assert torch.equal(found, times_transposed(gradient.T, a.T))
    assert found.is_contiguous()  # sums over rows and over columns are rounded differently
