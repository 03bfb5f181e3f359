"""Rows of tables: those a batch needs, those of fine-tuned features projected, and rows of length 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Rows whose sum is held at once: 1 MB at 4096 columns of float32, which stays in the processor's cache.
CHUNK = 64


def project_tuned(raw: Tensor, delta: Tensor, layer: nn.Linear, rows: Tensor | None = None) -> Tensor:
    """Return (raw + delta) Wᵀ + b for chosen items [n, d], or for all [I, d].

    Only the gradient of a table is ever as large as the table: the sum of the two is made a few rows at a time.

    Args:
        raw: features [I, D].
        delta: what training added to them [I, D].
        layer: W [d, D] and b [d].
        rows: int64 [n] items; None for all.
    """
    if rows is not None:
        return functional.linear(
            raw.index_select(0, rows) + functional.embedding(rows, delta), layer.weight, layer.bias
        )
    return _SumTimes.apply(raw, delta, layer.weight) + layer.bias  # type: ignore[no-any-return, no-untyped-call]


def unit_rows(x: Tensor, floor: float = 1e-12) -> Tensor:
    """Return the rows of x [n, d] divided by the larger of their length and the floor.

    Unlike `functional.normalize` it has second derivatives at rows of zeros too.
    """
    return x * x.square().sum(1, keepdim=True).clamp_min(floor**2).rsqrt()


def distinct(ids: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return rows [n] that hold all the ids [B], and where each id stands among them [B].

    On a CPU every row occurs once. Elsewhere the number of distinct ids would have to travel to the host, so that rows
    may occur twice, or are all there are.

    Args:
        ids: int64 [B].
        size: one more than the largest id there can be.
    """
    if ids.device.type == "cpu":
        rows, places = torch.unique(ids, return_inverse=True)
        return rows, places
    if len(ids) < size:
        return ids, torch.arange(len(ids), device=ids.device)
    return torch.arange(size, device=ids.device), ids


class _SumTimes(torch.autograd.Function):
    """(X + Δ) Wᵀ, [I, d]."""

    @staticmethod
    def forward(raw: Tensor, delta: Tensor, weight: Tensor) -> Tensor:
        out = raw.new_empty(raw.shape[0], weight.shape[0])
        for start in range(0, raw.shape[0], CHUNK):
            part = slice(start, start + CHUNK)
            torch.mm(raw[part] + delta[part], weight.T, out=out[part])
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        raw, delta, weight = ctx.saved_tensors
        of_raw = gradient @ weight if ctx.needs_input_grad[0] else None
        of_delta = gradient @ weight if ctx.needs_input_grad[1] else None
        of_weight = _TimesSum.apply(gradient, raw, delta) if ctx.needs_input_grad[2] else None  # type: ignore[no-untyped-call]
        return of_raw, of_delta, of_weight


class _TimesSum(torch.autograd.Function):
    """Gᵀ (X + Δ), [d, D]: what the other's derivative in W is."""

    @staticmethod
    def forward(left: Tensor, raw: Tensor, delta: Tensor) -> Tensor:
        out = raw.new_zeros(left.shape[1], raw.shape[1])
        for start in range(0, raw.shape[0], CHUNK):
            part = slice(start, start + CHUNK)
            out.addmm_(left[part].T, raw[part] + delta[part])
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        left, raw, delta = ctx.saved_tensors
        of_left = _SumTimes.apply(raw, delta, gradient) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        of_raw = left @ gradient if ctx.needs_input_grad[1] else None
        of_delta = left @ gradient if ctx.needs_input_grad[2] else None
        return of_left, of_raw, of_delta
