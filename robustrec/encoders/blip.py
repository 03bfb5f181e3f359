"""Network `blip`: the image-grounded text encoder of BLIP (Li et al., ICML 2022, arXiv 2201.12086).

Outputs: `fused`, the last hidden state at position 0 of the text encoder with cross-attention to the picture, and
`image`, the [CLS] vector of the picture. The forward pass is in `blip_towers`. Your weights are read by transformers,
with its checks; the shipped ones are not, because importing transformers takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from robustrec.encoders import blip_towers
from robustrec.encoders.blip_towers import Towers, towers_of
from robustrec.encoders.capfilt import CaptionFilter
from robustrec.encoders.chosen import network_weights, tiny_names, tiny_options
from robustrec.encoders.networks import (
    NetworkInput,
    TokenizedTexts,
    base_identity,
    blip_pictures,
    cleaned_tokens,
    padded,
    placement_of,
    tokenise,
)
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.preprocessing import PictureRule
from robustrec.encoders.tokenizing import read_tokenizer, tokenised
from robustrec.encoders.weights import SHIPPED_BLIP, load_model, load_tokenizer
from robustrec.files import digest_sources
from robustrec.untrusted import read_json_object

ENC = "[ENC]"


class LoadedBlip(NamedTuple):
    """A loaded BLIP.

    Attributes:
        towers: its parameters on their device.
        tokenise: cleaned texts -> token ids, truncated to the maximum length.
        empty: token ids of an empty text.
        pad: id of the padding token.
        first_token: id of the first token of a text.
    """

    towers: Towers
    tokenise: Callable[[Sequence[str]], TokenizedTexts]
    empty: Sequence[int]
    pad: int
    first_token: int


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
            "towers": digest_sources(Path(str(blip_towers.__file__))),
            "weights": self.used[0].digest,
            "enc_token": options.enc_token,
            "max_words": options.max_words,
            "side": options.side,
            "fit": options.fit,
            "capfilt": None if self.filter is None else self.filter.identity,
        }

    @cached_property
    def loaded(self) -> LoadedBlip:
        """Return the model with its tokenizer, loaded at the first use."""
        from transformers import BlipForImageTextRetrieval

        model: Any = load_model(BlipForImageTextRetrieval, self.weights)
        config = model.config.to_dict()
        tokenizer = load_tokenizer(self.weights, config["text_config"]["vocab_size"])
        return LoadedBlip(
            self._towers(model.state_dict(), config),
            partial(tokenise, tokenizer, longest=_longest(config)),
            [tokenizer.cls_token_id, tokenizer.sep_token_id],
            tokenizer.pad_token_id,
            self._first_token(tokenizer.get_vocab(), tokenizer.cls_token_id, config),
        )

    def _towers(self, parameters: Mapping[str, Tensor], config: Mapping[str, Any]) -> Towers:
        placed = {
            name: table.to(self.placement.device, self.placement.dtype if table.is_floating_point() else None)
            for name, table in parameters.items()
        }
        return towers_of(placed, config, self.picture_rule.input[0])

    def _first_token(self, known: Mapping[str, int], cls: int, config: Mapping[str, Any]) -> int:
        """Return the id of [ENC], else the last id of the vocabulary, as in the BLIP checkpoints; or that of [CLS]."""
        return int(known.get(ENC, config["text_config"]["vocab_size"] - 1)) if self.options.enc_token else cls

    @cached_property
    def picture_rule(self) -> PictureRule:
        """Return how pictures are prepared, without loading the model."""
        return blip_pictures(self.weights.folder, self.options.fit, self.options.side)

    def tokens(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return texts cleaned, truncated to a number of words and tokenized."""
        return cleaned_tokens(texts, self.options.max_words, self.loaded.tokenise)

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return the input of the encoder, and that of the captioner if its format differs."""
        own = self.picture_rule.prepare(image)
        if self.filter is None or self.filter.shape == self.picture_rule:
            return (own,)
        return (own, self.filter.shape.prepare(image))

    @torch.inference_mode()
    def vectors(self, parts: Sequence[NetworkInput]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the outputs `fused` and `image`, float32 [n, D]; an empty text has no words."""
        states = [part.state for part in parts if part.state is not None]
        whole = len(states) == len(parts)
        image = torch.stack(states) if whole else self.encode_pictures([part.pictures[0] for part in parts])
        ids: Sequence[Sequence[int]] = [part.ids for part in parts]
        facts: dict[str, list[int]] = {}
        if self.filter is not None:
            ids, facts = self.filter.replace(self, parts, image)
        return {"fused": self.encode_texts(ids, image).float(), "image": image[:, 0].float()}, facts

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return the counts of the caption filter, if it is used."""
        return [] if self.filter is None else self.filter.notes(facts)

    @torch.inference_mode()
    def picture_states(self, pictures: Sequence[tuple[Tensor, ...]]) -> Tensor:
        """Return the image tokens [n, P, D] of prepared pictures."""
        return self.encode_pictures([each[0] for each in pictures])

    def encode_pictures(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return the image tokens [n, P, D] of prepared pictures; the first is [CLS]."""
        pixels = self.picture_rule.normalised(pictures, self.placement.device, self.placement.dtype)
        return self.loaded.towers.image_tokens(pixels)

    def encode_texts(self, ids: Sequence[Sequence[int]], image: Tensor) -> Tensor:
        """Return the fused vectors [n, D] of texts (token ids) with image tokens [n, P, D]."""
        rows = [row or self.loaded.empty for row in ids]
        batch = padded(rows, self.loaded.pad, self.placement.device)
        batch.ids[:, 0] = self.loaded.first_token
        mask = None if len(set(map(len, rows))) == 1 else batch.mask
        return self.loaded.towers.fused(batch.ids, mask, image)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of cleaned texts, truncated to the maximum length."""
        return self.loaded.tokenise(texts).ids

    def match_probability(self, ids: Sequence[Sequence[int]], image: Tensor) -> Tensor:
        """Return the probability of the matching head that each text matches its picture, float32 [n]."""
        logits = self.loaded.towers.match(self.encode_texts(ids, image))
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

    @cached_property
    def loaded(self) -> LoadedBlip:
        """Return the shipped model with its tokenizer, loaded at the first use, without transformers."""
        from safetensors.torch import load_file

        folder = self.weights.folder
        config = read_json_object(folder / "config.json")
        tokenizer = read_tokenizer(self.weights, config["text_config"]["vocab_size"])
        return LoadedBlip(
            self._towers(load_file(folder / "model.safetensors"), config),
            partial(tokenised, tokenizer, longest=_longest(config)),
            tokenizer.empty,
            tokenizer.pad,
            self._first_token(tokenizer.backend.get_vocab(), tokenizer.empty[0], config),
        )


def _longest(config: Mapping[str, Any]) -> int:
    """Return the maximum number of token ids of a text."""
    return int(config["text_config"]["max_position_embeddings"])
