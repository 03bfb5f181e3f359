"""Network `minilm`: sentence vectors of all-MiniLM-L6-v2 (mean of the token vectors, norm 1).

Output: `sentence`, 384 wide. The text is read as it is, at most 256 tokens of it, as the model's own settings say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from robustrec.encoders.cleaning import sound
from robustrec.encoders.networks import Part, Texts, base_identity, padded, place_of, tokenise
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.weights import (
    UsedWeights,
    digest_weights,
    load_model,
    load_tokenizer,
    locate,
    require_transformers,
    used_weights,
)
from robustrec.untrusted import read_json_object

_LONGEST = 256


class Loaded(NamedTuple):
    """A sentence encoder in memory: the model on its device, its tokenizer, and the most token ids of a text."""

    model: Any
    tokenizer: Any
    longest: int


class MiniLM:
    """A sentence encoder over rows; see `robustrec.encoders.networks.Network`.

    Args:
        options: weights, device and the rest.
        cache: folder of remembered digests.
        first: the encoder's first network.
    """

    name = "minilm"
    reads = ("text",)
    facts: tuple[str, ...] = ()

    def __init__(self, options: EncoderOptions, cache: Path, *, first: str = "minilm") -> None:
        require_transformers("minilm")
        self.weights = locate("minilm", options, first=first)
        self.source = self.weights.name
        self.place = place_of(options)
        self.batch_size = 4 * self.place.batch_size  # a text costs little beside a picture
        digest = digest_weights(self.weights.folder, cache)
        self.used: tuple[UsedWeights, ...] = (used_weights(self.name, self.weights, digest),)
        self.identity: Mapping[str, Any] = {
            **base_identity(__file__, self.place),
            "weights": digest,
        }

    @cached_property
    def loaded(self) -> Loaded:
        """Return the model with what belongs to it, loaded at the first use."""
        from transformers import AutoModel

        model: Any = load_model(AutoModel, self.weights)
        config = model.config
        tokenizer = load_tokenizer(self.weights, config.vocab_size)
        longest = min(_longest(self.weights.folder), int(config.max_position_embeddings))
        return Loaded(model.to(self.place.device, self.place.dtype), tokenizer, longest)

    def tokens(self, texts: Sequence[str]) -> Texts:
        """Return the texts tokenised."""
        return tokenise(self.loaded.tokenizer, [sound(text) for text in texts], self.loaded.longest)

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return nothing: pictures are not read."""
        del image
        return ()

    @torch.inference_mode()
    def vectors(self, parts: Sequence[Part]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the output `sentence`, float32 [n, D], rows of norm 1."""
        tokenizer = self.loaded.tokenizer
        empty = [tokenizer.cls_token_id, tokenizer.sep_token_id]
        batch = padded([part.ids or empty for part in parts], tokenizer.pad_token_id, self.place.device)
        states = self.loaded.model(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state.float()
        weights = batch.mask.unsqueeze(-1).float()
        mean = (states * weights).sum(dim=1) / weights.sum(dim=1)
        return {"sentence": torch.nn.functional.normalize(mean, dim=1)}, {}

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return nothing: it counts nothing of its own."""
        del facts
        return []


def _longest(folder: Path) -> int:
    try:
        return int(read_json_object(folder / "sentence_bert_config.json")["max_seq_length"])
    except (OSError, ValueError, KeyError, TypeError):
        return _LONGEST
