"""Network `hf-image`: image encoders of transformers, such as DINOv2, ViT, ResNet and ConvNeXt.

Output: `pooled`, the vector that the model itself calls its pooled output: the [CLS] token after the last norm
(DINOv2, DINOv3, ViT), the mean over space (Swin, ResNet, ConvNeXt, MobileNetV2) or the attention pooling of SigLIP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from robustrec.encoders import families, preprocessing
from robustrec.encoders.chosen import network_weights
from robustrec.encoders.networks import NetworkInput, TokenizedTexts, base_identity, placement_of
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.preprocessing import PictureRule, picture_rule
from robustrec.encoders.text_modules import check_weights
from robustrec.encoders.weights import load_model
from robustrec.errors import RobustrecError
from robustrec.files import digest_sources


class HfImage:
    """The network `hf-image` and its aliases; see `robustrec.encoders.networks.Network`.

    Args:
        options: weights, fit, normalise, device and others.
        cache: folder of cached digests.
        first: first network of the encoder.
        name: "hf-image" or an alias.

    Raises:
        RobustrecError: the weights are not found or not supported.
    """

    reads = ("picture",)
    facts: tuple[str, ...] = ()

    def __init__(
        self, options: EncoderOptions, cache: Path, *, first: str | None = None, name: str = families.IMAGE
    ) -> None:
        self.name = name
        self.options = options
        self.weights, self.used = network_weights(name, options, cache, first=first or name)
        check_weights(name, self.weights, options)
        self.source = self.weights.name
        self.family = families.image_family(self.weights.folder)
        self.picture_rule = picture_rule(self.weights.folder, fit=options.fit)
        self.placement = placement_of(options)
        self.batch_size = self.placement.batch_size
        self.identity: Mapping[str, Any] = {
            **base_identity(__file__, self.placement),
            **picture_identity(self.picture_rule),
            "weights": self.used[0].digest,
            "modules": digest_sources(Path(str(families.__file__))),
            "normalise": options.normalise is True,
        }

    @cached_property
    def model(self) -> Any:
        """Return the model, loaded at the first use."""
        import transformers

        arguments = {"add_pooling_layer": False} if self.family.pooler else {}
        model: Any = load_model(getattr(transformers, self.family.kind), self.weights, **arguments)
        if self.family.tower:
            model = getattr(model, self.family.tower)
        check_input(self.picture_rule, model.config, self.weights.folder, fixed=self.family.fixed)
        return model.to(self.placement.device, self.placement.dtype)

    def tokens(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return empty texts, since texts are not read."""
        return no_tokens(texts)

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return the picture as the network sees it."""
        return (self.picture_rule.prepare(image),)

    @torch.inference_mode()
    def vectors(self, parts: Sequence[NetworkInput]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the output `pooled`, float32 [n, D]."""
        pictures = [part.pictures[0] for part in parts]
        states = self.model(
            pixel_values=self.picture_rule.normalised(pictures, self.placement.device, self.placement.dtype)
        )
        found = states.last_hidden_state[:, 0] if self.family.pooler else states.pooler_output
        vectors = found.flatten(1).float()  # convolutional networks return [n, D, 1, 1]
        return {"pooled": normalize(vectors, dim=1) if self.options.normalise else vectors}, {}

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return no notes."""
        del facts
        return []


def no_tokens(texts: Sequence[str]) -> TokenizedTexts:
    """Return texts without token ids, for a network that reads no texts."""
    return TokenizedTexts(list(texts), [[] for _ in texts], [False] * len(texts), [0] * len(texts))


def picture_identity(rule: PictureRule) -> dict[str, Any]:
    """Return the inputs of the vectors of pictures besides the weights: the rule and the code that applies it."""
    return {"pictures": rule.identity, "preprocessing": digest_sources(Path(str(preprocessing.__file__)))}


def check_input(rule: PictureRule, config: Any, folder: Path, *, fixed: bool) -> None:
    """Check that the input size of pictures is one that the model reads completely.

    Args:
        rule: how pictures are prepared.
        config: configuration of the image encoder.
        folder: its folder, for messages.
        fixed: whether the size must be the `image_size` of the configuration.

    Raises:
        RobustrecError: it is another size, or no multiple of the patch size: the rest of the pixels would be ignored.
    """
    side = getattr(config, "image_size", None)
    sides = tuple(side) if isinstance(side, list | tuple) else (side, side)
    patch = getattr(config, "patch_size", 1)
    step = patch if isinstance(patch, int) else 1
    if (fixed and sides != rule.input) or any(each % step for each in rule.input):
        wanted = f"{sides[0]} x {sides[1]} pixels" if fixed else f"sides that are multiples of {step} pixels"
        raise RobustrecError(
            f"pictures are prepared with {rule.input[0]} x {rule.input[1]} pixels, but the model needs {wanted}",
            where=str(folder / "preprocessor_config.json"),
            fix="use the preprocessor_config.json of these weights, or correct its size and crop_size",
        )
