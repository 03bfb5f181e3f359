"""Sparse matrices with differentiable values against dense algebra."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustrec.models.graphs import (
    Sparse,
    SparseBuffer,
    chosen_rows,
    normalised,
    pattern_of,
    product,
    row_softmax,
    row_sums,
    sampled_products,
    sparse,
    sparse_of,
    symmetrically_normalised,
    transposed,
    weighted_sum,
)

SIZES = {
    "n": st.integers(1, 7),
    "m": st.integers(1, 6),
    "density": st.floats(0.0, 1.0),
    "seed": st.integers(0, 10_000),
}


def draw(n: int, m: int, density: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows, columns and values of a random matrix, in no order; it may be empty."""
    generator = torch.Generator().manual_seed(seed)
    places = (torch.rand(n, m, generator=generator) < density).nonzero()
    places = places[torch.randperm(len(places), generator=generator)]
    return places[:, 0], places[:, 1], torch.randn(len(places), dtype=torch.float64, generator=generator)


def dense_of(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.zeros(shape, dtype=values.dtype).index_put((rows, columns), values, accumulate=True)


def dense(matrix: Sparse) -> Tensor:
    return dense_of(matrix.pattern.rows(), matrix.pattern.columns.long(), matrix.values, matrix.shape)


@settings(max_examples=60, deadline=None)
@given(**SIZES)
def test_a_matrix_holds_its_entries_in_both_directions(n: int, m: int, density: float, seed: int) -> None:
    rows, columns, values = draw(n, m, density, seed)
    matrix, expected = sparse_of(rows, columns, values, (n, m)), dense_of(rows, columns, values, (n, m))
    transpose = transposed(matrix)
    assert torch.equal(dense(matrix), expected)
    assert torch.equal(dense(transpose), expected.T)
    assert (matrix.shape, transpose.shape) == ((n, m), (m, n))
    assert transposed(transpose).pattern.columns is matrix.pattern.columns
    for pattern in (matrix.pattern, matrix.transpose):
        keys = pattern.rows() * pattern.shape[1] + pattern.columns
        assert bool((keys.diff() > 0).all()), "sorted by row and column"
        assert pattern.starts.dtype == pattern.columns.dtype == torch.int32
        assert pattern.starts[-1] == pattern.n_entries
    x = torch.randn(m, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(product(matrix, x), expected @ x)
    back = torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(product(transpose, back), expected.T @ back)


@settings(max_examples=40, deadline=None)
@given(**SIZES)
def test_row_sums_and_softmax(n: int, m: int, density: float, seed: int) -> None:
    rows, columns, values = draw(n, m, density, seed)
    matrix, expected = sparse_of(rows, columns, 50 * values, (n, m)), dense_of(rows, columns, 50 * values, (n, m))
    there = dense_of(rows, columns, torch.ones_like(values), (n, m)) > 0
    torch.testing.assert_close(row_sums(matrix.pattern, matrix.values), expected.sum(1))
    for floor in (0.0, 1e-3):
        found = dense(matrix._replace(values=row_softmax(matrix.pattern, matrix.values, floor)))
        logits = expected.masked_fill(~there, -torch.inf)
        weights = torch.where(there, (logits - logits.amax(1, keepdim=True)).exp(), 0)
        total = weights.sum(1, keepdim=True) + floor
        torch.testing.assert_close(found, torch.where(there, weights / total, 0))


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 3), **SIZES)
def test_weighted_sums(count: int, n: int, m: int, density: float, seed: int) -> None:
    parts = [draw(n, m, density, seed + place) for place in range(count)]
    weights = [0.3, -2.0, 1.5][:count]
    total = weighted_sum(weights, [sparse_of(*part, (n, m)) for part in parts])
    expected = sum(w * dense_of(*part, (n, m)) for w, part in zip(weights, parts, strict=True))
    torch.testing.assert_close(dense(total), expected)
    torch.testing.assert_close(dense(transposed(total)), expected.T)
    union = sum(dense_of(r, c, torch.ones_like(v), (n, m)) for r, c, v in parts) > 0
    assert total.pattern.n_entries == int(union.sum()), "one entry a place"


@settings(max_examples=40, deadline=None)
@given(asked=st.lists(st.integers(0, 6), min_size=1, max_size=9), **SIZES)
def test_chosen_rows_in_any_order_and_again(asked: list[int], n: int, m: int, density: float, seed: int) -> None:
    rows, columns, values = draw(n, m, density, seed)
    ids = torch.tensor(asked) % n
    part = chosen_rows(sparse_of(rows, columns, values, (n, m)), ids)
    expected = dense_of(rows, columns, values, (n, m))[ids]
    assert torch.equal(dense(part), expected)
    assert torch.equal(dense(transposed(part)), expected.T)
    x = torch.randn(m, 2, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(
        torch.autograd.grad(product(part, x).square().sum(), x),
        torch.autograd.grad((expected @ x).square().sum(), x),
    )


def attention(a: Tensor, b: Tensor, x: Tensor, patterns: Any, of: Any) -> Tensor:
    """An attention as GRCN has it, sparse or dense: everything here that has a derivative, in one function."""
    return of(a, b, x, patterns)


def sparse_attention(a: Tensor, b: Tensor, x: Tensor, patterns: Any) -> Tensor:
    pattern, transpose, order = patterns
    weights = row_softmax(pattern, sampled_products(pattern, transpose, a, b), 1e-16)
    return product(Sparse(pattern, weights, transpose, weights[order]), x)


def dense_attention(a: Tensor, b: Tensor, x: Tensor, patterns: Any) -> Tensor:
    pattern, _, _ = patterns
    rows, columns = pattern.rows(), pattern.columns.long()
    there = torch.zeros(pattern.shape).index_put((rows, columns), torch.ones(len(rows))) > 0
    logits = (a @ b.T).masked_fill(~there, -torch.inf)
    largest = logits.amax(1, keepdim=True).detach().clamp_min(-1e300)
    weights = torch.where(there, (torch.where(there, logits, 0.0) - largest).exp(), 0.0)
    return weights / (weights.sum(1, keepdim=True) + 1e-16) @ x


def attention_case(n: int = 5, m: int = 4, density: float = 0.5, seed: int = 3) -> tuple[Any, tuple[Tensor, ...]]:
    rows, columns, _ = draw(n, m, density, seed)
    pattern, _ = pattern_of(rows, columns, (n, m))
    transpose, order = pattern_of(columns.new_tensor(pattern.columns.tolist()), pattern.rows(), (m, n))
    generator = torch.Generator().manual_seed(seed)
    shapes = ((n, 3), (m, 3), (m, 2))
    inputs = (torch.randn(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes)
    return (pattern, transpose, order), tuple(inputs)


@pytest.mark.parametrize("chunk", [1, 3, 2**17])
def test_first_and_second_derivatives_are_those_of_dense_algebra(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "CHUNK", chunk)
    patterns, inputs = attention_case()

    def curved(of: Any) -> Tensor:
        return of(*inputs, patterns).pow(3).sum()

    directions = [torch.randn_like(x) for x in inputs]
    found = []
    for of in (sparse_attention, dense_attention):
        first = torch.autograd.grad(curved(of), inputs, create_graph=True)
        along = sum((one * way).sum() for one, way in zip(first, directions, strict=True))
        found.append((*first, *torch.autograd.grad(along, inputs)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(lambda *x: sparse_attention(*x, patterns), inputs)
    assert torch.autograd.gradgradcheck(lambda *x: sparse_attention(*x, patterns), inputs)


def test_third_derivatives_too() -> None:
    patterns, inputs = attention_case(3, 3, 0.7)

    def second(x: Tensor) -> Tensor:
        value = sparse_attention(inputs[0].detach(), x, inputs[2].detach(), patterns).pow(3).sum()
        first = torch.autograd.grad(value, x, create_graph=True)[0]
        return torch.autograd.grad(first.pow(2).sum(), x, create_graph=True)[0]

    assert torch.autograd.gradcheck(second, (inputs[1].detach().requires_grad_(),))


def test_values_get_their_gradient_though_they_stand_twice() -> None:
    """The transpose's copy of the values gets none: the whole derivative is given to the first."""
    rows, columns, values = draw(4, 5, 0.6, seed=1)
    values.requires_grad_()
    x = torch.randn(5, 2, dtype=torch.float64)
    found = torch.autograd.grad(product(sparse_of(rows, columns, values, (4, 5)), x).pow(2).sum(), values)
    expected = torch.autograd.grad((dense_of(rows, columns, values, (4, 5)) @ x).pow(2).sum(), values)
    torch.testing.assert_close(found, expected)
    y = torch.randn(4, 2, dtype=torch.float64)
    found = torch.autograd.grad(product(transposed(sparse_of(rows, columns, values, (4, 5))), y).pow(2).sum(), values)
    expected = torch.autograd.grad((dense_of(rows, columns, values, (4, 5)).T @ y).pow(2).sum(), values)
    torch.testing.assert_close(found, expected)


def test_symmetric_normalisation_with_its_derivative_and_empty_rows() -> None:
    rows, columns, values = draw(5, 5, 0.5, seed=4)
    kept = (rows != 2) & (columns != 2)  # row and column 2 are empty
    rows, columns, values = rows[kept], columns[kept], values[kept].abs().add(0.1).requires_grad_()
    found = dense(symmetrically_normalised(sparse_of(rows, columns, values, (5, 5))))
    whole = dense_of(rows, columns, values, (5, 5))
    sums = whole.sum(1)
    scale = torch.where(sums > 0, torch.where(sums > 0, sums, 1).rsqrt(), 0)
    expected = scale[:, None] * whole * scale
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.pow(3).sum(), values), torch.autograd.grad(expected.pow(3).sum(), values)
    )


def test_products_that_are_not_contiguous_or_empty() -> None:
    rows, columns, values = draw(4, 5, 0.6, seed=2)
    matrix = sparse_of(rows, columns, values, (4, 5))
    x = torch.randn(3, 5, dtype=torch.float64)
    torch.testing.assert_close(product(matrix, x.T), dense(matrix) @ x.T)
    none = torch.zeros(0, dtype=torch.int64)
    empty = sparse_of(none, none, none.double(), (4, 5))
    assert product(empty, x.T).abs().sum() == 0
    assert row_softmax(empty.pattern, empty.values).shape == (0,)
    assert normalised(none, none, (2, 3), offset=0.0).to_users(torch.ones(3, 1)).abs().sum() == 0


def test_a_buffer_moves_and_is_not_saved() -> None:
    rows, columns, values = draw(4, 5, 0.6, seed=5)
    buffer = SparseBuffer(sparse_of(rows, columns, values.float(), (4, 5)))
    assert buffer.state_dict() == {}
    moved = buffer.double().matrix()
    assert moved.values.dtype == torch.float64
    assert moved.pattern.columns.dtype == torch.int32
    torch.testing.assert_close(dense(moved).float(), dense_of(rows, columns, values.float(), (4, 5)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_ways_to_sampled_products_agree(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    keys = torch.unique(torch.randint(50 * 40, (300,), generator=generator))
    pattern, _ = sparse.pattern_of(keys // 40, keys % 40, (50, 40))
    a, b = torch.randn(50, 16, dtype=dtype, generator=generator), torch.randn(40, 16, dtype=dtype, generator=generator)
    gathered = sparse._gathered(pattern, a, b)
    torch.testing.assert_close(gathered, (a @ b.T)[keys // 40, keys % 40])
    if sparse._samples("cpu"):
        torch.testing.assert_close(sparse._sampled(pattern, a, b), gathered)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_entries", [0, 3])
def test_a_product_reads_nothing_of_the_memory_that_it_writes_to(
    n_entries: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, columns = torch.tensor([0, 2, 2])[:n_entries], torch.tensor([1, 0, 1])[:n_entries]
    matrix = sparse_of(rows, columns, torch.tensor([2.0, 3.0, 5.0], dtype=dtype)[:n_entries], (4, 2))
    x = torch.tensor([[1.0, 2.0], [4.0, 8.0]], dtype=dtype)
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda self, *shape: torch.full(shape, math.nan, dtype=self.dtype))
    expected = torch.zeros(4, 2, dtype=dtype)
    if n_entries:
        expected[0], expected[2] = 2 * x[1], 3 * x[0] + 5 * x[1]
    assert torch.equal(product(matrix, x), expected)
