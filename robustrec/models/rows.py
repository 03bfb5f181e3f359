"""Rows of tables: those a batch needs, those of fine-tuned features projected, and rows of length 1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from robustrec.models.dense import are_bf16, bf16_inputs, times_transposed
from robustrec.models.known_signature import known_signature

# Rows whose sum is held at once: 4 MB at 4096 columns of float32, which are used again for the next.
CHUNK = 256


def project_tuned(raw: Tensor, delta: Tensor, layer: nn.Linear, rows: Tensor | None = None) -> Tensor:
    """Return (raw + delta) Wᵀ + b for chosen items [n, d], or for all [I, d].

    Only the gradient of a table is ever as large as the table: the sum of the two is made a few rows at a time, and
    kept for the backward pass for chosen items only.

    Args:
        raw: features [I, D].
        delta: what training added to them [I, D].
        layer: W [d, D] and b [d].
        rows: int64 [n] items; None for all.
    """
    projected, _ = _SumTimes.apply(raw, delta, layer.weight, rows)  # type: ignore[no-untyped-call]
    return projected + layer.bias  # type: ignore[no-any-return]


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
    """(X + Δ) Wᵀ, [n, d], of chosen rows of X and Δ or of all; and the chosen rows of X + Δ, none of all."""

    @staticmethod
    @known_signature
    def forward(raw: Tensor, delta: Tensor, weight: Tensor, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        sums = raw.new_empty(0 if rows is None else len(rows), raw.shape[1])
        projected = []
        for place, part in enumerate(_sums(raw, delta, rows)):
            if rows is not None:
                sums[place * CHUNK : (place + 1) * CHUNK] = part
            projected.append(times_transposed(part, weight))
        return torch.cat(projected), sums

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor | None], output: tuple[Tensor, Tensor]
    ) -> None:
        ctx.save_for_backward(*inputs, output[1])
        ctx.mark_non_differentiable(output[1])
        ctx.bf16 = are_bf16()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        raw, delta, weight, rows, sums = ctx.saved_tensors
        with bf16_inputs(ctx.bf16):
            of_raw, of_delta = _of_tables(gradient, weight, rows, raw.shape[0], ctx.needs_input_grad[:2])
            of_weight = None
            if ctx.needs_input_grad[2] and (rows is None or torch.is_grad_enabled()):
                of_weight = _TimesSum.apply(gradient, raw, delta, rows)  # type: ignore[no-untyped-call]
            elif ctx.needs_input_grad[2]:
                of_weight = _times(gradient, sums.split(CHUNK))
        return of_raw, of_delta, of_weight, None


class _TimesSum(torch.autograd.Function):
    """Gᵀ (X + Δ), [d, D]: what the other's derivative in W is."""

    @staticmethod
    @known_signature
    def forward(left: Tensor, raw: Tensor, delta: Tensor, rows: Tensor | None) -> Tensor:
        return _times(left, _sums(raw, delta, rows))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor | None], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)
        ctx.bf16 = are_bf16()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        left, raw, delta, rows = ctx.saved_tensors
        with bf16_inputs(ctx.bf16):
            of_left = None
            if ctx.needs_input_grad[0]:
                of_left, _ = _SumTimes.apply(raw, delta, gradient, rows)  # type: ignore[no-untyped-call]
            of_raw, of_delta = _of_tables(left, gradient, rows, raw.shape[0], ctx.needs_input_grad[1:3])
        return of_left, of_raw, of_delta, None


def _times(left: Tensor, parts: Iterable[Tensor]) -> Tensor:
    """Return Gᵀ X [d, D] for G [n, d] and X in parts of rows."""
    out = None
    for piece, part in zip(left.split(CHUNK), parts, strict=True):  # type: ignore[no-untyped-call]
        product = times_transposed(piece.T, part.T)
        out = product if out is None else out.add_(product)
    assert out is not None
    return out


def _sums(raw: Tensor, delta: Tensor, rows: Tensor | None) -> Iterator[Tensor]:
    """Yield the sum of both tables' rows, a few at a time."""
    for start in range(0, raw.shape[0] if rows is None else len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        if rows is None:
            yield raw[part] + delta[part]
        else:
            yield raw.index_select(0, rows[part]).add_(delta.index_select(0, rows[part]))


def _of_tables(
    gradient: Tensor, weight: Tensor, rows: Tensor | None, n_items: int, needed: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the derivatives in both tables [I, D], where needed: G W at the rows that were chosen."""
    if rows is not None and any(needed):
        # Spread while it is narrow: then the wide table is written once.
        gradient = gradient.new_zeros(n_items, gradient.shape[1]).index_add(0, rows, gradient)
    of_raw, of_delta = (times_transposed(gradient, weight.T) if need else None for need in needed)
    return of_raw, of_delta
