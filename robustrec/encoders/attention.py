"""Fused attention of PyTorch for the picture tower of the BLIP classes of transformers.

The modules use the projections of the original and return equal values up to rounding. They are for evaluation only,
without dropout and attention maps.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class VisionAttention(nn.Module):
    """Self-attention over picture tokens, in place of `BlipAttention`."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.qkv: nn.Linear = original.qkv
        self.projection: nn.Linear = original.projection
        self.heads: int = original.num_heads

    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor, None]:
        """Return the output tokens [B, T, D] and no attention map."""
        B, T, D = hidden_states.shape
        qkv = self.qkv(hidden_states).view(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        out: Tensor = self.projection(attended.transpose(1, 2).reshape(B, T, D))
        return out, None


def use_fused_attention(model: nn.Module) -> None:
    """Replace the attention of the picture tower of a BLIP model that is used for evaluation only."""
    from transformers.models.blip.modeling_blip import BlipAttention

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BlipAttention):
                setattr(parent, name, VisionAttention(child))
