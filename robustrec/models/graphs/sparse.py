"""A sparse matrix stored with its transpose, with products that are differentiable to any order in both factors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robustrec.models.known_signature import known_signature
from robustrec.quiet import warnings_are

# Entries handled at once where a product needs both factors' rows gathered: 64 MB at 64 columns of float32.
CHUNK, CHUNK_WIDTH = 2**17, 64


class Pattern(NamedTuple):
    """Sparsity pattern of a matrix [n, m], sorted by row and column; int32, which has the fastest kernels.

    Attributes:
        starts: int32 [n + 1], first entry of each row.
        columns: int32 [nnz].
        shape: (n, m).
    """

    starts: Tensor
    columns: Tensor
    shape: tuple[int, int]

    @property
    def n_entries(self) -> int:
        """Number of entries."""
        return self.columns.shape[0]

    def rows(self) -> Tensor:
        """Return the row of every entry, int64 [nnz]."""
        counts = self.starts.diff()
        ids = torch.arange(self.shape[0], device=counts.device)
        return torch.repeat_interleave(ids, counts, output_size=self.n_entries)


class Sparse(NamedTuple):
    """A matrix and its transpose.

    Attributes:
        pattern: pattern of the matrix.
        values: [nnz] in the order of `pattern`; may require gradients.
        transpose: pattern of the transpose.
        transpose_values: [nnz] the same values in the order of `transpose`.
    """

    pattern: Pattern
    values: Tensor
    transpose: Pattern
    transpose_values: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.pattern.shape


def pattern_of(rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> tuple[Pattern, Tensor]:
    """Return the pattern of distinct positions, and the permutation that sorts their values, int64 [nnz].

    Args:
        rows: int64 [nnz].
        columns: int64 [nnz].
        shape: (n, m).
    """
    order = torch.argsort(rows * shape[1] + columns)
    starts = torch.zeros(shape[0] + 1, dtype=torch.int32, device=rows.device)
    starts[1:] = torch.bincount(rows, minlength=shape[0]).cumsum(0)
    return Pattern(starts, columns[order].to(torch.int32), shape), order


def sparse_of(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Sparse:
    """Return the matrix with values at distinct positions (int64 [nnz] each), differentiable in the values."""
    pattern, order = pattern_of(rows, columns, shape)
    transpose, transpose_order = pattern_of(columns, rows, (shape[1], shape[0]))
    return Sparse(pattern, values[order], transpose, values[transpose_order])


def transposed(matrix: Sparse) -> Sparse:
    """Return the transpose, without copying."""
    return Sparse(matrix.transpose, matrix.transpose_values, matrix.pattern, matrix.values)


def product(matrix: Sparse, x: Tensor) -> Tensor:
    """Return M x [n, d] for x [m, d], differentiable to any order in x and in the values."""
    return _Product.apply(*matrix, x.contiguous())  # type: ignore[no-any-return, no-untyped-call]


def chosen_rows(matrix: Sparse, rows: Tensor) -> Sparse:
    """Return the matrix [B, m] of the given rows, int64 [B], in order; rows may repeat."""
    pattern = matrix.pattern
    first, counts = pattern.starts[rows].long(), pattern.starts.diff()[rows]
    ends = counts.cumsum(0)
    n_entries = int(ends[-1])
    places = torch.arange(n_entries, device=rows.device)
    own = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), counts, output_size=n_entries)
    places += (first - ends + counts)[own]
    return sparse_of(own, pattern.columns[places].long(), matrix.values[places], (len(rows), matrix.shape[1]))


def sampled_products(pattern: Pattern, transpose: Pattern, a: Tensor, b: Tensor, order: Tensor | None = None) -> Tensor:
    """Return a_r · b_c for every position (r, c) of a pattern, [nnz], differentiable to any order in both.

    Args:
        pattern: [n, m].
        transpose: pattern of the transpose.
        a: [n, d].
        b: [m, d].
        order: `turning_order` of the pattern, where it is at hand; else every derivative sorts the entries.
    """
    return _SampledProducts.apply(pattern, transpose, a, b, order)  # type: ignore[no-any-return, no-untyped-call]


def row_sums(pattern: Pattern, values: Tensor) -> Tensor:
    """Return the row sums [n]."""
    return values.new_zeros(pattern.shape[0]).index_add(0, pattern.rows(), values)


def row_softmax(pattern: Pattern, logits: Tensor, floor: float = 0.0) -> Tensor:
    """Return the softmax over the entries of each row [nnz].

    Args:
        pattern: pattern with the rows.
        logits: [nnz].
        floor: added to the sum of exponentials of each row, relative to its largest logit.
    """
    rows = pattern.rows()
    largest = logits.new_zeros(pattern.shape[0]).scatter_reduce(0, rows, logits.detach(), "amax", include_self=False)
    exponentials = (logits - largest[rows]).exp()
    return exponentials / (row_sums(pattern, exponentials) + floor)[rows]


def weighted_sum(weights: Sequence[float], matrices: Sequence[Sparse]) -> Sparse:
    """Return Σ_j w_j M_j of matrices of equal shape; coinciding entries are added in order."""
    shape = matrices[0].shape
    rows = torch.cat([matrix.pattern.rows() for matrix in matrices])
    columns = torch.cat([matrix.pattern.columns.long() for matrix in matrices])
    values = torch.cat([weight * matrix.values for weight, matrix in zip(weights, matrices, strict=True)])
    places, where = torch.unique(rows * shape[1] + columns, return_inverse=True)
    total = values.new_zeros(len(places)).index_add(0, where, values)
    return sparse_of(places // shape[1], places % shape[1], total, shape)


def largest_entries(matrices: Sequence[Sparse]) -> Sparse:
    """Return the matrix with the largest of the entries that matrices of equal shape have at a position.

    A matrix without an entry at a position takes no part there, so that a negative entry stays where no other matrix
    has one. Differentiable in the entries that are the largest; the first of equal ones counts.
    """
    shape = matrices[0].shape
    rows = torch.cat([matrix.pattern.rows() for matrix in matrices])
    columns = torch.cat([matrix.pattern.columns.long() for matrix in matrices])
    values = torch.cat([matrix.values for matrix in matrices])
    places, where = torch.unique(rows * shape[1] + columns, return_inverse=True)
    with torch.no_grad():
        largest = values.new_zeros(len(places)).scatter_reduce(0, where, values, "amax", include_self=False)
        ids = torch.arange(len(values), device=values.device)
        candidates = torch.where(values == largest[where], ids, len(values))
        chosen = torch.full_like(places, len(values)).scatter_reduce(0, where, candidates, "amin")
    return sparse_of(places // shape[1], places % shape[1], values[chosen], shape)


class SparseBuffer(nn.Module):
    """A constant sparse matrix as a module buffer; it is not saved because it is derived from the training edges."""

    def __init__(self, matrix: Sparse) -> None:
        super().__init__()
        self.shape = matrix.shape
        for name, pattern, values in (
            ("rows", matrix.pattern, matrix.values),
            ("columns", matrix.transpose, matrix.transpose_values),
        ):
            self.register_buffer(f"{name}_starts", pattern.starts, persistent=False)
            self.register_buffer(f"{name}_places", pattern.columns, persistent=False)
            self.register_buffer(f"{name}_values", values, persistent=False)

    def matrix(self) -> Sparse:
        """Return the matrix on the device of the module."""
        part = self.get_buffer
        pattern = Pattern(part("rows_starts"), part("rows_places"), self.shape)
        transpose = Pattern(part("columns_starts"), part("columns_places"), (self.shape[1], self.shape[0]))
        return Sparse(pattern, part("rows_values"), transpose, part("columns_values"))


class _Product(torch.autograd.Function):
    """M x, differentiable twice; PyTorch's backward transposes M in every call and has no second derivative."""

    @staticmethod
    @known_signature
    def forward(pattern: Pattern, values: Tensor, transpose: Pattern, transpose_values: Tensor, x: Tensor) -> Tensor:  # noqa: ARG004 - kept for the backward
        csr = _csr(pattern, values)
        if x.device.type != "cpu":
            return csr @ x
        # The same bits, without an output that is filled and copied before it is overwritten.
        out = x.new_empty(pattern.shape[0], x.shape[1])
        return torch.addmm(out, csr, x, beta=0, out=out)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Pattern, Tensor, Pattern, Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.pattern, ctx.transpose = inputs[0], inputs[2]
        ctx.save_for_backward(inputs[1], inputs[3], inputs[4] if inputs[1].requires_grad else None)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, None, None, Tensor | None]:
        values, transpose_values, x = ctx.saved_tensors
        of_values = of_x = None
        if ctx.needs_input_grad[4]:
            of_x = product(Sparse(ctx.transpose, transpose_values, ctx.pattern, values), gradient)
        if ctx.needs_input_grad[1]:
            # The whole derivative in the values is given here, none to `turned_values`: they are the same numbers.
            of_values = sampled_products(ctx.pattern, ctx.transpose, gradient, x)
        return None, of_values, None, None, of_x


class _SampledProducts(torch.autograd.Function):
    """Inner products of selected pairs of rows, without a gathered [nnz, d] table."""

    @staticmethod
    @known_signature
    def forward(pattern: Pattern, transpose: Pattern, a: Tensor, b: Tensor, order: Tensor | None) -> Tensor:  # noqa: ARG004 - kept for the backward
        return _sampled(pattern, a, b) if _samples(a.device.type) else _gathered(pattern, a, b)

    @staticmethod
    def setup_context(
        ctx: Any,
        inputs: tuple[Pattern, Pattern, Tensor, Tensor, Tensor | None],
        output: Tensor,  # noqa: ARG004
    ) -> None:
        ctx.pattern, ctx.transpose, ctx.order = inputs[0], inputs[1], inputs[4]
        ctx.save_for_backward(*inputs[2:4])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor | None, Tensor | None, None]:
        a, b = ctx.saved_tensors
        order = turning_order(ctx.pattern) if ctx.order is None else ctx.order
        matrix = Sparse(ctx.pattern, gradient, ctx.transpose, gradient[order])
        of_a = product(matrix, b) if ctx.needs_input_grad[2] else None
        of_b = product(transposed(matrix), a) if ctx.needs_input_grad[3] else None
        return None, None, of_a, of_b, None


def _sampled(pattern: Pattern, a: Tensor, b: Tensor) -> Tensor:
    places = a.new_zeros(pattern.n_entries)
    empty = _csr(pattern, places)
    return torch.sparse.sampled_addmm(empty, a, b.T, beta=0).values()  # type: ignore[no-any-return]


def _gathered(pattern: Pattern, a: Tensor, b: Tensor) -> Tensor:
    rows, columns = pattern.rows(), pattern.columns
    values = a.new_empty(pattern.n_entries)
    step = max(1, CHUNK * CHUNK_WIDTH // max(1, a.shape[1]))
    for start in range(0, pattern.n_entries, step):
        part = slice(start, start + step)
        torch.sum(a.index_select(0, rows[part]) * b.index_select(0, columns[part]), dim=1, out=values[part])
    return values


def _csr(pattern: Pattern, values: Tensor) -> Tensor:
    _take_beta_notice()
    return torch.sparse_csr_tensor(pattern.starts, pattern.columns, values, pattern.shape, check_invariants=False)


@cache
def _take_beta_notice() -> None:
    """Have PyTorch give its warning that CSR tensors are in beta, once per process, while warnings are ignored."""
    with warnings_are("ignore"):
        torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1))


@cache
def _samples(device: str) -> bool:
    """Return whether this PyTorch build supports the sampled product on a device type."""
    rows = torch.tensor([0, 1, 1], device=device)
    pattern, _ = pattern_of(rows, torch.tensor([2, 0, 1], device=device), (2, 3))
    a, b = torch.ones(2, 2, device=device), torch.arange(6.0, device=device).view(3, 2)
    try:
        return torch.equal(_sampled(pattern, a, b), _gathered(pattern, a, b))
    except RuntimeError:
        return False


def turning_order(pattern: Pattern) -> Tensor:
    """Return the positions of the entries of the transpose in the pattern, int64 [nnz]."""
    return torch.argsort(pattern.columns, stable=True)  # the rows are in order already
