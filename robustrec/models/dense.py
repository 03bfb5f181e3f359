"""Products of large dense matrices, with oneDNN on CPUs that support it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustrec.models.known_signature import known_signature

# Multiplications below which the usual product is as fast.
LARGE = 2**24
# Widths up to which, and rows from which MKL and oneDNN round alike (tests/models/test_dense.py).
_SAME_ROUNDING, _ENOUGH_ROWS = 384, 32
_BF16 = ContextVar("bf16 inputs", default=False)


@contextmanager
def bf16_inputs(rounded: bool = True) -> Iterator[None]:
    """Round the inputs of float32 products to bf16 in a block of this thread, and in the gradients of what it computes.

    Sums and results stay float32. A CPU has no such product: it multiplies the rounded inputs in float32, with the same
    results except for the order of summation, since a product of two bf16 numbers is exact in float32.

    Args:
        rounded: False for float32 inputs in the block.
    """
    token = _BF16.set(rounded)
    try:
        yield
    finally:
        _BF16.reset(token)


def are_bf16() -> bool:
    """Return whether inputs of products are rounded to bf16 here."""
    return _BF16.get()


def times_transposed(a: Tensor, b: Tensor, *, out: Tensor | None = None, rows: int | None = None) -> Tensor:
    """Return a bᵀ [n, m] for a [n, d] and b [m, d], differentiable to any order.

    In float32 on a CPU, PyTorch uses MKL, which is up to two times slower than oneDNN on some processors. The two
    results differ by float32 rounding, because the order of summation differs.

    Args:
        a: rows.
        b: rows to multiply with.
        out: [n, m], which may hold the result, without gradients; oneDNN returns a new tensor all the same.
        rows: rows of the product of which `a` is a part, n by default: parts are rounded as the whole is.
    """
    if _BF16.get() and a.dtype == b.dtype == torch.float32 and out is None:
        return _TimesTransposedInBf16.apply(a, b)  # type: ignore[no-any-return, no-untyped-call]
    if not _is_large(a, b, (rows or a.shape[0]) * a.shape[1] * b.shape[0]):
        return a @ b.T if out is None else torch.mm(a, b.T, out=out)
    return _TimesTransposed.apply(a, b)  # type: ignore[no-any-return, no-untyped-call]


def _is_large(a: Tensor, b: Tensor, size: int) -> bool:
    """Return whether oneDNN multiplies two tables with a number of multiplications."""
    return size >= LARGE and a.device.type == "cpu" and a.dtype == b.dtype == torch.float32 and _has_onednn()


def transposed_times(gradient: Tensor, a: Tensor) -> Tensor:
    """Return gradientᵀ a [m, d] for a gradient [n, m] and a [n, d], as `times_transposed` rounds it.

    oneDNN rounds a product and its transpose alike, but copies a left factor that is not contiguous: the narrower of
    the two is put there.
    """
    large = _is_large(gradient, a, gradient.numel() * a.shape[1])
    if large and gradient.is_contiguous() and a.shape[1] < gradient.shape[1]:
        # Contiguous: what follows rounds rows and columns differently.
        return times_transposed(a.T, gradient.T).T.contiguous()
    return times_transposed(gradient.T, a.T)


def multiplier(b: Tensor) -> Callable[[Tensor, Tensor, int], Tensor]:
    """Return (a [n, d], out [n, m], rows) -> a bᵀ for many products with the same b, as `times_transposed` rounds them.

    MKL has kernels of its own for Intel processors, and is faster there than oneDNN when b is transposed once and the
    result has a place. With AVX-512 and up to a width of 384, both round products of enough rows alike.
    """
    if b.device.type != "cpu" or b.dtype != torch.float32 or b.shape[1] > _SAME_ROUNDING or not _is_intel():
        return lambda a, out, rows: times_transposed(a, b, out=out, rows=rows)
    transposed = b.T.contiguous()

    def multiply(a: Tensor, out: Tensor, rows: int) -> Tensor:
        if len(a) < _ENOUGH_ROWS:
            return times_transposed(a, b, out=out, rows=rows)
        return torch.mm(a, transposed, out=out)

    return multiply


def apply_linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """Return the output of a linear layer for a large table x [n, D]."""
    return times_transposed(x, layer.weight) + layer.bias


class _TimesTransposed(torch.autograd.Function):
    @staticmethod
    @known_signature
    def forward(a: Tensor, b: Tensor) -> Tensor:
        return _onednn(a, b)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        of_a = times_transposed(gradient, b.T) if ctx.needs_input_grad[0] else None
        of_b = transposed_times(gradient, a) if ctx.needs_input_grad[1] else None
        return of_a, of_b


class _TimesTransposedInBf16(torch.autograd.Function):
    # Its gradients are computed in a thread that does not know the block, and are such products too.
    @staticmethod
    @known_signature
    def forward(a: Tensor, b: Tensor) -> Tensor:
        a, b = a.to(torch.bfloat16), b.to(torch.bfloat16)
        if a.device.type == "cuda":
            return torch.mm(a, b.T, out_dtype=torch.float32)
        return a.float() @ b.float().T

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        with bf16_inputs():
            of_a = times_transposed(gradient, b.T) if ctx.needs_input_grad[0] else None
            of_b = times_transposed(gradient.T, a.T) if ctx.needs_input_grad[1] else None
        return of_a, of_b


def _onednn(a: Tensor, b: Tensor) -> Tensor:
    # What torch.compile makes of a linear layer on a CPU; there is no other way to oneDNN from plain tensors. Parts of
    # wider tables it multiplies hundreds of times as slowly.
    a, b = (x if x.is_contiguous() or x.T.is_contiguous() else x.contiguous() for x in (a, b))
    return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")  # type: ignore[no-any-return]


@cache
def _is_intel() -> bool:
    """Return whether the processor is by Intel and has AVX-512; with AVX2, MKL rounds in another way."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "GenuineIntel" in platform.processor()


@cache
def _has_onednn() -> bool:
    """Return whether oneDNN is available and gives correct results."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    a, b = torch.linspace(-1, 1, 35).view(5, 7), torch.linspace(2, -1, 21).view(3, 7)
    try:
        return torch.allclose(_onednn(a, b), a @ b.T, rtol=1e-4, atol=1e-5)
    except (RuntimeError, AttributeError, TypeError):
        return False
