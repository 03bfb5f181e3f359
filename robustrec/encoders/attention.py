"""Fused attention of PyTorch for the BLIP classes of transformers.

The modules use the projections of the original and return equal values up to rounding. They are for evaluation only,
without dropout, attention maps and cache.
"""

from __future__ import annotations

from typing import Any

import torch
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


class TextAttention(nn.Module):
    """Self-attention over text, or cross-attention from text to a picture, in place of `BlipTextSelfAttention`."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.query: nn.Linear = original.query
        self.key: nn.Linear = original.key
        self.value: nn.Linear = original.value
        self.heads: int = original.num_attention_heads

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        **_: Any,
    ) -> tuple[Tensor, None]:
        """Return the output tokens [B, T, D] and no attention map; masks are added to the attention scores."""
        crossing = encoder_hidden_states is not None
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        mask = encoder_attention_mask if crossing else attention_mask
        query, key, value = (
            self._split(layer(states))
            for layer, states in ((self.query, hidden_states), (self.key, source), (self.value, source))
        )
        if mask is not None and mask.dtype != torch.bool:
            mask = mask.to(device=query.device, dtype=query.dtype)
        attended = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return attended.transpose(1, 2).flatten(2), None

    def _split(self, states: Tensor) -> Tensor:
        B, T, D = states.shape
        return states.view(B, T, self.heads, D // self.heads).transpose(1, 2)


def use_fused_attention(model: nn.Module) -> None:
    """Replace the attention of a BLIP model that is used for evaluation only, not for generation."""
    from transformers.models.blip.modeling_blip import BlipAttention
    from transformers.models.blip.modeling_blip_text import BlipTextSelfAttention

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BlipAttention):
                setattr(parent, name, VisionAttention(child))
            elif isinstance(child, BlipTextSelfAttention):
                setattr(parent, name, TextAttention(child))
