"""The contrast of each item with the items that its graphs find most alike, of DA-MRS."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from robustrec.models.log_partition import partition

TEMPERATURE = 0.2
FLOOR = 1e-9
# Similarities held at once: 16 MB in float32 for each graph, on a device other than the CPU 256 MB.
HELD, DEVICE_HELD = 2**22, 2**26


def discrimination(units: Sequence[Tensor], rows: Tensor, shares: Tensor, n: int) -> Tensor:
    """Return the loss of discriminating pseudo-neighbours, its mean over the graphs, a scalar.

    π_m of item i is the softmax of the cosines of h_m,i with h_m,j over all items j, and ε_ij = exp(cos / 0.2).
    A_i are the n items with the largest Σ_a≠m π_a + M π_m over the M other graphs a, and B_i the n items
    with the largest π_m outside A_i. The loss of an item is -ln(Σ_A ε / Σ ε + 1e-9) - ln(Σ_B ε / (Σ ε - Σ_A ε) + 1e-9).
    The sets have no gradient. Logits of rows × items are made and dropped in chunks.

    Source: Xv et al., KDD 2024, arXiv 2406.12501, and its published code.

    Args:
        units: h_m of each graph with rows of length 1 [I, d].
        rows: int64 [r] items.
        shares: [r], of the rows in the mean.
        n: size of A and of B; 2n ≤ I.
    """
    losses = []
    for unit, (first, second) in zip(units, _chosen(units, rows, n), strict=True):
        own = functional.embedding(rows, unit) / TEMPERATURE
        others = partition(own, unit, first, 1 / TEMPERATURE)
        in_first, in_second = (
            ((own[:, None] * functional.embedding(places, unit)).sum(2) - 1 / TEMPERATURE).exp().sum(1)
            for places in (first, second)
        )
        lost = -(in_first / (in_first + others) + FLOOR).log() - (in_second / others + FLOOR).log()
        losses.append((shares * lost).sum())
    return torch.stack(losses).mean()


@torch.no_grad()
def _chosen(units: Sequence[Tensor], rows: Tensor, n: int) -> list[tuple[Tensor, Tensor]]:
    """Return A and B, int64 [r, n], for each graph."""
    found: list[tuple[list[Tensor], list[Tensor]]] = [([], []) for _ in units]
    held = HELD if rows.device.type == "cpu" else DEVICE_HELD
    for part in rows.split(max(1, held // units[0].shape[0])):  # type: ignore[no-untyped-call]
        likely = [(functional.embedding(part, unit) @ unit.T).softmax(1) for unit in units]
        total = torch.stack(likely).sum(0)
        for own, (first, second) in zip(likely, found, strict=True):
            places = total.add(own, alpha=len(units) - 2).topk(n, dim=1).indices
            first.append(places)
            second.append(own.scatter(1, places, -1.0).topk(n, dim=1).indices)
    return [(torch.cat(first), torch.cat(second)) for first, second in found]
