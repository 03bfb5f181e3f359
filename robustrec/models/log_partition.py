"""Σ_j exp(q_b · k_j) over a whole catalogue, or the sum of its logarithms, without the table of all logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Bytes of logits held at once: on a CPU few enough to stay in its cache between the passes over them.
LOGIT_BYTES = {"cpu": 2 * 2**20, "cuda": 256 * 2**20}


def total_log_partition(queries: Tensor, keys: Tensor, least_rows: int = 1) -> Tensor:
    """Return Σ_b log Σ_j exp(q_b · k_j), a scalar, twice differentiable.

    The logits [B, n] are made and dropped in chunks of rows, and the gradients made with them, so that the backward
    pass needs none of them again. A second derivative holds them whole.

    Args:
        queries: [B, h].
        keys: [n, h].
        least_rows: rows of a chunk at least, whatever it takes.
    """
    return _TotalLogPartition.apply(queries, keys, least_rows)  # type: ignore[no-any-return, no-untyped-call]


def partition(queries: Tensor, keys: Tensor, without: Tensor, shift: float) -> Tensor:
    """Return Σ_j exp(q_b · k_j - shift) of each row over the keys that it does not leave out [B], twice differentiable.

    The logits [B, n] are made and dropped in chunks of rows, and made again in the backward pass. A second derivative
    holds them whole.

    Args:
        queries: [B, h].
        keys: [n, h].
        without: int64 [B, c], distinct keys that each row leaves out.
        shift: at least the largest logit there can be, so that no exponential overflows.
    """
    return _Partition.apply(queries, keys, without, shift)  # type: ignore[no-any-return, no-untyped-call]


class _Partition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, without: Tensor, shift: float) -> Tensor:
        ctx.save_for_backward(queries, keys, without)
        ctx.shift = shift
        step = _rows_at_once(keys)
        parts = zip(queries.split(step), without.split(step), strict=True)  # type: ignore[no-untyped-call]
        return torch.cat([_weights(part, keys, left_out, shift).sum(1) for part, left_out in parts])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        queries, keys, without = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient itself is to be differentiated
            weights = gradient[:, None] * (queries @ keys.T - ctx.shift).exp().scatter(1, without, 0.0)
            return weights @ keys, weights.T @ queries, None, None
        of_queries, of_keys = [], torch.zeros_like(keys)
        step = _rows_at_once(keys)
        for part, left_out, factor in zip(*(each.split(step) for each in (queries, without, gradient)), strict=True):
            weights = _weights(part, keys, left_out, ctx.shift).mul_(factor[:, None])
            of_queries.append(weights @ keys)
            of_keys.addmm_(weights.T, part)
        return torch.cat(of_queries), of_keys, None, None


def _weights(queries: Tensor, keys: Tensor, without: Tensor, shift: float) -> Tensor:
    return (queries @ keys.T).sub_(shift).exp_().scatter_(1, without, 0.0)


def _rows_at_once(keys: Tensor) -> int:
    held = LOGIT_BYTES.get(keys.device.type, LOGIT_BYTES["cuda"])
    return max(1, held // (keys.element_size() * keys.shape[0]))


class _TotalLogPartition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, least_rows: int) -> Tensor:
        step = max(least_rows, _rows_at_once(keys))
        total = queries.new_zeros(())
        wanted = any(ctx.needs_input_grad)
        transpose = keys.T.contiguous()
        of_queries, of_keys = torch.empty_like(queries), torch.zeros_like(transpose)
        logits = queries.new_empty(min(step, queries.shape[0]), keys.shape[0])
        for start in range(0, queries.shape[0], step):
            part = queries[start : start + step]
            shares = torch.mm(part, transpose, out=logits[: len(part)])
            largest = shares.amax(dim=1, keepdim=True)
            shares.sub_(largest).exp_()
            sums = shares.sum(dim=1, keepdim=True)
            total += (largest + sums.log()).sum()
            if wanted:
                torch.mm(shares, keys, out=of_queries[start : start + step]).div_(sums)
                of_keys.addmm_((part / sums).T, shares)
        of_keys = of_keys.T
        ctx.save_for_backward(queries, keys, of_queries, of_keys)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        queries, keys, of_queries, of_keys = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient itself is to be differentiated
            shares = (queries @ keys.T).softmax(dim=1)
            of_queries, of_keys = shares @ keys, shares.T @ queries
        return gradient * of_queries, gradient * of_keys, None
