"""Loss functions shared by the recommenders; pure."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from robustrec.models.dense import are_bf16, times_transposed
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
    logits = times_transposed(queries, keys)
    return functional.cross_entropy(logits, torch.arange(logits.shape[0], device=logits.device))
