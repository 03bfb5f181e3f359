"""Loss functions shared by the recommenders; pure."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from robustrec.models.dense import are_bf16, times_transposed, transposed_times
from robustrec.models.log_partition import total_log_partition

# Logits from which on they are made and dropped in chunks: fewer stay in the cache of a CPU as they are.
MANY_LOGITS = 2**20


def bpr_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the mean of -ln σ(Δ), Δ = positive - negative scores [B], as softplus(-Δ); never overflows.

    Source: Rendle et al., arXiv 1205.2618 (BPR-Opt). The 1e-10 that MMRec adds inside the logarithm changes
    a value by less than 1e-10/σ(Δ) and is left out.
    """
    return functional.softplus(negative - positive).mean()


def embedding_loss(*rows: Tensor) -> Tensor:
    """Return (Σ_j ‖T_j‖_F) / rows(T_m): norms, not squared, of gathered matrices [B, d] over the last B.

    Source: EmbLoss of RecBole and MMRec.
    """
    norms = [torch.linalg.vector_norm(table) for table in rows]
    return torch.stack(norms).sum() / rows[-1].shape[0]


def half_squares(*rows: Tensor) -> Tensor:
    """Return ½ Σ_j ‖T_j‖_F² of gathered matrices [B, d]."""
    return torch.stack([table.square().sum() for table in rows]).sum() / 2


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Return the InfoNCE loss of row a of the queries against all keys, key a being the right one.

    Logits are inner products over the temperature; no row is normalised here and duplicates are not masked.

    Args:
        queries: [B, d].
        keys: [B, d].
        temperature: divides the logits.
    """
    queries = queries / temperature
    if queries.shape[0] * keys.shape[0] >= MANY_LOGITS and not are_bf16():
        own = (queries * keys).sum()
        return (total_log_partition(queries, keys) - own) / queries.shape[0]
    if queries.device.type == "cpu" and not are_bf16():
        return _Contrast.apply(queries, keys)  # type: ignore[no-any-return, no-untyped-call]
    return _cross_entropy(queries, keys)


def _cross_entropy(queries: Tensor, keys: Tensor) -> Tensor:
    logits = times_transposed(queries, keys)
    return functional.cross_entropy(logits, torch.arange(logits.shape[0], device=logits.device))


class _Contrast(torch.autograd.Function):
    """`_cross_entropy` with the same bits, whose derivative makes one table of the logits' size less."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor) -> Tensor:
        shares = torch.log_softmax(times_transposed(queries, keys), dim=1)
        ctx.save_for_backward(queries, keys, shares)
        return functional.nll_loss(shares, torch.arange(len(queries)))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        queries, keys, shares = ctx.saved_tensors
        needed = [each for each, need in zip((queries, keys), ctx.needs_input_grad, strict=True) if need]
        if torch.is_grad_enabled():  # the gradient itself is to be differentiated
            found = iter(torch.autograd.grad(_cross_entropy(queries, keys), needed, gradient, create_graph=True))
            first, second = (next(found) if need else None for need in ctx.needs_input_grad)
            return first, second
        of_loss = torch.zeros_like(shares)
        of_loss.diagonal().copy_((-gradient / len(queries)).expand(len(queries)))
        of_logits = torch._log_softmax_backward_data(of_loss, shares, 1, shares.dtype)
        of_queries = times_transposed(of_logits, keys.T) if ctx.needs_input_grad[0] else None
        return of_queries, transposed_times(of_logits, queries) if ctx.needs_input_grad[1] else None
