"""Network `blip2`: the mean of the 32 query vectors of BLIP-2 for picture and text (Li et al., arXiv 2301.12597).

Output: `fused`. The parts of `Blip2ForImageTextRetrieval` (transformers) are called as for image-text matching; the
Q-Former stays in float32, as in transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from robustrec.encoders.chosen import network_weights
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
from robustrec.encoders.weights import (
    load_model,
    load_tokenizer,
)
from robustrec.errors import RobustrecError


class LoadedBlip2(NamedTuple):
    """A loaded BLIP-2: model, tokenizer, how pictures are prepared, and maximum number of token ids of a text."""

    model: Any
    tokenizer: Any
    shape: PictureRule
    longest: int


class Blip2:
    """The network `blip2`, the first stage of BLIP-2; see `robustrec.encoders.networks.Network`.

    Args:
        options: weights, device and others.
        cache: folder of cached digests.
        first: first network of the encoder.
    """

    name = "blip2"
    reads = ("text", "picture")
    facts: tuple[str, ...] = ()

    def __init__(self, options: EncoderOptions, cache: Path, *, first: str = "blip2") -> None:
        self.options = options
        self.weights, self.used = network_weights("blip2", options, cache, first=first)
        self.source = self.weights.name
        self.placement = placement_of(options)
        self.batch_size = self.placement.batch_size
        self.identity: Mapping[str, Any] = {
            **base_identity(__file__, self.placement),
            "weights": self.used[0].digest,
            "max_words": options.max_words,
            "fit": options.fit,
        }

    @cached_property
    def loaded(self) -> LoadedBlip2:
        """Return the model with its tokenizer and settings, loaded at the first use.

        Raises:
            RobustrecError: the weights cannot be loaded, or are of a BLIP-2 without text input.
        """
        from transformers import Blip2ForImageTextRetrieval

        model: Any = load_model(Blip2ForImageTextRetrieval, self.weights)
        config = model.config.qformer_config
        if not config.use_qformer_text_input:
            raise RobustrecError(
                "this BLIP-2 has no text input (use_qformer_text_input is false); it is made for a language model",
                where=str(self.weights.folder / "config.json"),
                fix="use a checkpoint for image-text matching, such as --weights Salesforce/blip2-itm-vit-g",
            )
        tokenizer = load_tokenizer(self.weights, config.vocab_size)
        model.to(self.placement.device)
        model.vision_model.to(self.placement.dtype)
        return LoadedBlip2(model, tokenizer, self.picture_rule, int(config.max_position_embeddings))

    @cached_property
    def picture_rule(self) -> PictureRule:
        """Return how pictures are prepared, without loading the model."""
        return blip_pictures(self.weights.folder, self.options.fit)

    def tokens(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return texts cleaned, truncated to a number of words and tokenized."""
        return cleaned_tokens(
            texts, self.options.max_words, partial(tokenise, self.loaded.tokenizer, longest=self.loaded.longest)
        )

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return the picture in the input format of the image encoder."""
        return (self.loaded.shape.prepare(image),)

    @torch.inference_mode()
    def picture_states(self, pictures: Sequence[tuple[Tensor, ...]]) -> Tensor:
        """Return the image tokens [n, P, D] of prepared pictures, float32."""
        model, _, shape, _ = self.loaded
        pixels = shape.normalised([each[0] for each in pictures], self.placement.device, self.placement.dtype)
        tokens: Tensor = model.vision_model(pixel_values=pixels).last_hidden_state.float()
        return tokens

    @torch.inference_mode()
    def vectors(self, parts: Sequence[NetworkInput]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the output `fused`, float32 [n, D]; an empty text has no words."""
        model, tokenizer, _, _ = self.loaded
        states = [part.state for part in parts if part.state is not None]
        whole = len(states) == len(parts)
        image = torch.stack(states) if whole else self.picture_states([part.pictures for part in parts])
        empty = [tokenizer.cls_token_id, tokenizer.sep_token_id]
        batch = padded([part.ids or empty for part in parts], tokenizer.pad_token_id, self.placement.device)
        queries = model.query_tokens.expand(len(parts), -1, -1)
        n_queries = queries.shape[1]
        hidden = model.qformer(
            query_embeds=model.embeddings(input_ids=batch.ids, query_embeds=queries),
            query_length=n_queries,
            attention_mask=torch.cat([batch.mask.new_ones(len(parts), n_queries), batch.mask], dim=1),
            encoder_hidden_states=image,
        ).last_hidden_state
        return {"fused": hidden[:, :n_queries].mean(dim=1)}, {}

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return no notes."""
        del facts
        return []
