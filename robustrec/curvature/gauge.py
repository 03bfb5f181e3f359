"""Another basis for two tables whose product alone counts: the balanced gauge of users and items."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """Return U A and I A⁻ᵀ with equal, diagonal second moments UᵀU = IᵀI; all products u·i stay.

    A change of basis A that keeps every score moves λ₁, and row-adaptive measures too; brought here first, factors that
    score alike measure alike. It commutes with propagation over graphs, not with non-linear layers.

    Args:
        users: [U, d].
        items: [I, d].
    """
    left, right = (torch.linalg.qr(each.double()) for each in (users, items))
    # U Iᵀ = Q_U (R_U R_Iᵀ) Q_Iᵀ: its singular vectors follow from the small middle.
    first, sizes, second = torch.linalg.svd(left.R @ right.R.T)
    roots = sizes.clamp_min(0).sqrt()
    return ((left.Q @ first * roots).to(users), (right.Q @ second.T * roots).to(items))
