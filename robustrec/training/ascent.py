"""Variants of the SAM ascent step: where the gradient is taken, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from robustrec.training.strategy_config import StrategyConfig

_SMALLEST = 1e-30


@torch.no_grad()
def ascent(
    config: StrategyConfig, parameters: Sequence[Tensor], gradients: Sequence[Tensor]
) -> tuple[list[Tensor], Tensor]:
    """Return directions and a factor whose product is the ascent step from θ.

    SAM: ρ g/(‖g‖+δ). ASAM, with T = |θ| + η of each entry: ρ T² g/(‖T g‖+δ), which does not change when factors are
    rescaled against each other (Kwon et al., ICML 2021, arXiv 2102.11600, equation 9).

    Args:
        config: step rule and its settings.
        parameters: θ.
        gradients: g, one for each parameter.
    """
    if config.parts.step != "asam":
        return list(gradients), config.rho / (get_total_norm(gradients) + config.delta)
    sizes = [parameter.detach().abs().add_(config.asam_eta) for parameter in parameters]
    scaled = torch._foreach_mul(list(gradients), sizes)
    factor = config.asam_rho / (get_total_norm(scaled) + config.delta)
    return list(torch._foreach_mul(scaled, sizes)), factor


@torch.no_grad()
def close_gap(before: Sequence[Tensor], gradients: Sequence[Tensor], alpha: float) -> None:
    """Change gradients g_p at θ + ε in place to g_p - α g⊥, with g⊥ the part of g(θ) orthogonal to g_p.

    The step lowers the loss at θ + ε, and to first order also the gap between it and the loss at θ.
    Source: GSAM, Zhuang et al., ICLR 2022, arXiv 2203.08065, algorithm 1, with a constant ρ.
    """
    across = _orthogonal(before, gradients)
    torch._foreach_add_(list(gradients), across, alpha=-alpha)


@torch.no_grad()
def sideways(before: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
    """Return the part of the gradients at θ + ε that is orthogonal to the gradients g(θ), for `look`."""
    return _orthogonal(gradients, before)


@torch.no_grad()
def look(gradients: Sequence[Tensor], across: Sequence[Tensor], alpha: float, delta: float) -> None:
    """Change gradients g in place to g + α ‖g‖ g_v/(‖g_v‖+δ), with g_v the last result of `sideways`.

    Source: LookSAM, Liu et al., CVPR 2022, arXiv 2203.02714, algorithm 1.
    """
    factor = alpha * get_total_norm(gradients) / (get_total_norm(across) + delta)
    torch._foreach_add_(list(gradients), torch._foreach_mul(list(across), factor))


def _orthogonal(vectors: Sequence[Tensor], to: Sequence[Tensor]) -> list[Tensor]:
    """Return the part of a vector that is orthogonal to another, both in several tensors."""
    inner = torch.stack([(a * b).sum() for a, b in zip(vectors, to, strict=True)]).sum()
    share = inner / get_total_norm(to).square().clamp_min(_SMALLEST)
    return list(torch._foreach_sub(list(vectors), torch._foreach_mul(list(to), share)))
