"""Network `blip`: the image-grounded text encoder of BLIP (Li et al., ICML 2022, arXiv 2201.12086).

Outputs: `fused`, the last hidden state at position 0 of the text encoder with cross-attention to the picture, and
`image`, the [CLS] vector of the picture. The parts of `BlipForImageTextRetrieval` (transformers) are called separately,
because its forward pass also computes the matching head and keeps the mask of the picture on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from robustrec.encoders.attention import use_fused_attention
from robustrec.encoders.capfilt import CaptionFilter
from robustrec.encoders.chosen import network_weights, tiny_names, tiny_options
from robustrec.encoders.networks import (
    NetworkInput,
    TokenizedTexts,
    base_identity,
    blip_pictures,
    padded,
    placement_of,
    tokenise,
    tokenise_cleaned,
)
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.preprocessing import PictureRule
from robustrec.encoders.weights import SHIPPED_BLIP, load_model, load_tokenizer

ENC = "[ENC]"


class LoadedBlip(NamedTuple):
    """A loaded BLIP.

    Attributes:
        model: `BlipForImageTextRetrieval` with fused attention, on its device.
        tokenizer: its tokenizer.
        shape: how pictures are prepared.
        first_token: id of the first token of a text.
        longest: maximum number of token ids of a text.
        resized: whether the image size differs from that of the weights.
    """

    model: Any
    tokenizer: Any
    shape: PictureRule
    first_token: int
    longest: int
    resized: bool


class Blip:
    """The network `blip`; see `robustrec.encoders.networks.Network`.

    Args:
        options: weights, denoising, device and the rest.
        cache: folder of cached digests.
        first: first network of the encoder.
    """

    name: str = "blip"
    reads = ("text", "picture")

    def __init__(self, options: EncoderOptions, cache: Path, *, first: str = "blip") -> None:
        self.options = options
        self.weights, self.used = network_weights("blip", options, cache, first=first, name=self.name)
        self.source = self.weights.name
        self.placement = placement_of(options)
        self.batch_size = self.placement.batch_size
        self.filter = (
            CaptionFilter(options, self.placement, cache, first=first) if options.denoise == "capfilt" else None
        )
        self.facts: tuple[str, ...] = () if self.filter is None else self.filter.facts
        self.identity: Mapping[str, Any] = {
            **base_identity(__file__, self.placement),
            "weights": self.used[0].digest,
            "enc_token": options.enc_token,
            "max_words": options.max_words,
            "side": options.side,
            "fit": options.fit,
            "capfilt": None if self.filter is None else self.filter.identity,
        }

    @cached_property
    def loaded(self) -> LoadedBlip:
        """Return the model with its tokenizer and settings, loaded at the first use."""
        from transformers import BlipForImageTextRetrieval

        model: Any = load_model(BlipForImageTextRetrieval, self.weights)
        use_fused_attention(model)
        config = model.config
        tokenizer = load_tokenizer(self.weights, config.text_config.vocab_size)
        return LoadedBlip(
            model=model.to(self.placement.device, self.placement.dtype),
            tokenizer=tokenizer,
            shape=self.picture_rule,
            first_token=enc_token_id(tokenizer, config) if self.options.enc_token else tokenizer.cls_token_id,
            longest=int(config.text_config.max_position_embeddings),
            resized=self.picture_rule.input[0] != config.vision_config.image_size,
        )

    @cached_property
    def picture_rule(self) -> PictureRule:
        """Return how pictures are prepared, without loading the model."""
        return blip_pictures(self.weights.folder, self.options.fit, self.options.side)

    def tokens(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return texts cleaned, truncated to a number of words and tokenized."""
        return tokenise_cleaned(self.loaded.tokenizer, texts, self.options.max_words, self.loaded.longest)

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return the input of the encoder, and that of the captioner if its format differs."""
        own = self.loaded.shape.prepare(image)
        if self.filter is None or self.filter.shape == self.loaded.shape:
            return (own,)
        return (own, self.filter.shape.prepare(image))

    @torch.inference_mode()
    def vectors(self, parts: Sequence[NetworkInput]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the outputs `fused` and `image`, float32 [n, D]; an empty text has no words."""
        image = self.encode_pictures([part.pictures[0] for part in parts])
        ids: Sequence[Sequence[int]] = [part.ids for part in parts]
        facts: dict[str, list[int]] = {}
        if self.filter is not None:
            ids, facts = self.filter.replace(self, parts, image)
        return {"fused": self.encode_texts(ids, image)[:, 0].float(), "image": image[:, 0].float()}, facts

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return the counts of the caption filter, if it is used."""
        return [] if self.filter is None else self.filter.notes(facts)

    def encode_pictures(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return the image tokens [n, P, D] of prepared pictures; the first is [CLS]."""
        pixels = self.loaded.shape.normalised(pictures, self.placement.device, self.placement.dtype)
        seen = self.loaded.model.vision_model(pixel_values=pixels, interpolate_pos_encoding=self.loaded.resized)
        tokens: Tensor = seen.last_hidden_state
        return tokens

    def encode_texts(self, ids: Sequence[Sequence[int]], image: Tensor) -> Tensor:
        """Return the hidden states [n, T, D] of texts (token ids) with cross-attention to image tokens [n, P, D]."""
        tokenizer = self.loaded.tokenizer
        empty = [tokenizer.cls_token_id, tokenizer.sep_token_id]
        batch = padded([row or empty for row in ids], tokenizer.pad_token_id, self.placement.device)
        batch.ids[:, 0] = self.loaded.first_token
        # No mask: all image tokens are used.
        states = self.loaded.model.text_encoder(
            input_ids=batch.ids, attention_mask=batch.mask, encoder_hidden_states=image
        )
        hidden: Tensor = states.last_hidden_state
        return hidden

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of cleaned texts, truncated to the maximum length."""
        return tokenise(self.loaded.tokenizer, texts, self.loaded.longest).ids

    def match_probability(self, ids: Sequence[Sequence[int]], image: Tensor) -> Tensor:
        """Return the probability of the matching head that each text matches its picture, float32 [n]."""
        logits = self.loaded.model.itm_head(self.encode_texts(ids, image)[:, 0])
        return torch.softmax(logits.float(), dim=1)[:, 1]


class TinyBlip(Blip):
    """The shipped tiny BLIP, trained on the synthetic shops only.

    Args:
        options: options; weights are allowed for the captioner only.
        cache: folder of cached digests.
        first: first network of the encoder.

    Raises:
        RobustrecError: weights are given for it, or it is not part of this installation.
    """

    name = SHIPPED_BLIP

    def __init__(self, options: EncoderOptions, cache: Path, *, first: str = SHIPPED_BLIP) -> None:
        super().__init__(tiny_options(options, first), cache, first="blip")
        self.source = SHIPPED_BLIP
        self.used = tiny_names(self.used)


def enc_token_id(tokenizer: Any, config: Any) -> int:
    """Return the id of [ENC] in the tokenizer, else the last id of the vocabulary, as in the BLIP checkpoints."""
    known = tokenizer.get_vocab()
    return int(known.get(ENC, config.text_config.vocab_size - 1))
