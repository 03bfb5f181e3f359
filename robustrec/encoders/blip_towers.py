"""The picture and text towers of BLIP (Li et al., ICML 2022, arXiv 2201.12086) for evaluation, from their parameters.

Equal to those of transformers up to rounding (`tests/encoders/test_network_parity.py`), with three savings: fused
attention, no copy of the states that transformers records, and a last text layer that is computed at position 0 only,
which is all that is read of it. Parameters have the names of `BlipForImageTextRetrieval`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention

Activation = Callable[[Tensor], Tensor]


class TowerShape(NamedTuple):
    """What the parameters of a tower do not say."""

    layers: int
    heads: int
    epsilon: float
    activation: Activation


@dataclass(frozen=True)
class Towers:
    """The two towers of a BLIP with a matching head.

    Attributes:
        parameters: name -> tensor, on one device in one precision.
        vision: shape of the picture tower.
        text: shape of the text tower.
        places: [1, 1 + patches, D] position embeddings of the picture tower at its input size.
    """

    parameters: Mapping[str, Tensor]
    vision: TowerShape
    text: TowerShape
    places: Tensor

    def image_tokens(self, pixels: Tensor) -> Tensor:
        """Return the image tokens [n, P, D] of normalised pixels [n, 3, S, S]; the first is [CLS]."""
        layers, heads, epsilon, activation = self.vision
        name = "vision_model.embeddings."
        weight = self.parameters[f"{name}patch_embedding.weight"]
        bias = self.parameters[f"{name}patch_embedding.bias"]
        patches = functional.conv2d(pixels, weight, bias, stride=weight.shape[-2:]).flatten(2).transpose(1, 2)
        first = self.parameters[f"{name}class_embedding"].expand(len(patches), 1, -1)
        states = torch.cat([first, patches], dim=1) + self.places
        n, tokens, width = states.shape
        for layer in range(layers):
            name = f"vision_model.encoder.layers.{layer}."
            inner = self._normalised(states, f"{name}layer_norm1", epsilon)
            qkv = self._linear(inner, f"{name}self_attn.qkv").view(n, tokens, 3, heads, width // heads)
            query, key, value = qkv.permute(2, 0, 3, 1, 4)
            attended = scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(n, tokens, width)
            states = self._linear(attended, f"{name}self_attn.projection") + states
            inner = self._normalised(states, f"{name}layer_norm2", epsilon)
            states = self._linear(activation(self._linear(inner, f"{name}mlp.fc1")), f"{name}mlp.fc2") + states
        return self._normalised(states, "vision_model.post_layernorm", epsilon)

    def fused(self, ids: Tensor, mask: Tensor | None, image: Tensor) -> Tensor:
        """Return the last hidden state [n, D] at position 0 of texts, with cross-attention to all image tokens.

        Args:
            ids: int64 [n, T] token ids.
            mask: int64 [n, T], 0 for padding; None without padding.
            image: [n, P, D] image tokens.
        """
        layers, _, epsilon, activation = self.text
        name = "text_encoder.embeddings."
        words = functional.embedding(ids, self.parameters[f"{name}word_embeddings.weight"])
        places = self.parameters[f"{name}position_embeddings.weight"][: ids.shape[1]]
        states = self._normalised(words + places, f"{name}LayerNorm", epsilon)
        own = None if mask is None else mask.bool()[:, None, None, :]
        for layer in range(layers):
            name = f"text_encoder.encoder.layer.{layer}."
            asked = states[:, :1] if layer == layers - 1 else states
            attended = self._attended(f"{name}attention.", asked, states, own)
            attended = self._attended(f"{name}crossattention.", attended, image, None)
            inner = activation(self._linear(attended, f"{name}intermediate.dense"))
            inner = self._linear(inner, f"{name}output.dense") + attended
            states = self._normalised(inner, f"{name}output.LayerNorm", epsilon)
        return states[:, 0]

    def match(self, fused: Tensor) -> Tensor:
        """Return the logits [n, 2] of the matching head; the second is that text and picture match."""
        return self._linear(fused, "itm_head")

    def _attended(self, name: str, asked: Tensor, source: Tensor, mask: Tensor | None) -> Tensor:
        """Return `asked` [n, T, D] after attention to `source` [n, S, D], with its residual and layer norm."""
        heads = self.text.heads
        query, key, value = (
            self._linear(states, f"{name}self.{part}").view(*states.shape[:2], heads, -1).transpose(1, 2)
            for part, states in (("query", asked), ("key", source), ("value", source))
        )
        attended = scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        out = self._linear(attended, f"{name}output.dense") + asked
        return self._normalised(out, f"{name}output.LayerNorm", self.text.epsilon)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"])

    def _normalised(self, x: Tensor, name: str, epsilon: float) -> Tensor:
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        return functional.layer_norm(x, weight.shape, weight, bias, epsilon)


def towers_of(parameters: Mapping[str, Tensor], config: Mapping[str, Any], side: int) -> Towers:
    """Return the towers of a model.

    Args:
        parameters: its parameters, in their precision on their device.
        config: the content of its config.json.
        side: side of the pictures in pixels.
    """
    shapes = [
        TowerShape(
            int(part["num_hidden_layers"]),
            int(part["num_attention_heads"]),
            float(part["layer_norm_eps"]),
            _activation(str(part["hidden_act"])),
        )
        for part in (config["vision_config"], config["text_config"])
    ]
    patch = int(config["vision_config"]["patch_size"])
    places = _places(parameters["vision_model.embeddings.position_embedding"], side // patch)
    return Towers(parameters, shapes[0], shapes[1], places)


def _activation(name: str) -> Activation:
    if name == "gelu":
        return functional.gelu
    from transformers.activations import ACT2FN

    found: Activation = ACT2FN[name]
    return found


def _places(table: Tensor, patches: int) -> Tensor:
    """Return position embeddings [1, 1 + patches², D] from those of another grid, bicubic, as transformers does."""
    grid = round((table.shape[1] - 1) ** 0.5)
    if grid == patches:
        return table
    square = table[:, 1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    resized = functional.interpolate(square, size=(patches, patches), mode="bicubic", align_corners=False)
    return torch.cat([table[:, :1], resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
