"""Network `minilm`: sentence vectors of all-MiniLM-L6-v2 or of another model of sentence-transformers.

Output: `sentence`, with width 384 for all-MiniLM-L6-v2. Maximum length, pooling and further modules are those in the
files of the model folder (`robustrec.encoders.sentence_modules`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from robustrec.encoders import sentence_modules as modules
from robustrec.encoders.chosen import network_weights
from robustrec.encoders.cleaning import valid_unicode
from robustrec.encoders.networks import NetworkInput, TokenizedTexts, base_identity, padded, placement_of, tokenise
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.weights import (
    Weights,
    load_model,
    load_tokenizer,
)
from robustrec.errors import RobustrecError
from robustrec.files import digest_sources

_LONGEST = 512  # token ids, if neither folder nor model nor tokenizer has a limit
_NO_LIMIT = 10**6  # a tokenizer without a limit has model_max_length 10**30


class LoadedMiniLM(NamedTuple):
    """A loaded sentence encoder: model, tokenizer, maximum number of token ids, and steps after pooling."""

    model: Any
    tokenizer: Any
    longest: int
    steps: Sequence[Callable[[Tensor], Tensor]]


class MiniLM:
    """The network `minilm`; see `robustrec.encoders.networks.Network`.

    Args:
        options: weights, device and others.
        cache: folder of cached digests.
        first: first network of the encoder.
    """

    name = "minilm"
    reads = ("text",)
    facts: tuple[str, ...] = ()

    def __init__(self, options: EncoderOptions, cache: Path, *, first: str = "minilm") -> None:
        self.weights, self.used = network_weights("minilm", options, cache, first=first)
        self.source = self.weights.name
        self.placement = placement_of(options)
        self.batch_size = 4 * self.placement.batch_size  # texts need less memory than pictures
        self.modules = modules.sentence_modules(self.weights.folder)
        self.identity: Mapping[str, Any] = {
            **base_identity(__file__, self.placement),
            "weights": self.used[0].digest,
            "modules": digest_sources(Path(str(modules.__file__))),
        }

    @cached_property
    def loaded(self) -> LoadedMiniLM:
        """Return the model with its tokenizer and settings, loaded at the first use."""
        from transformers import AutoModel

        weights = Weights(self.modules.network, self.weights.name)
        model: Any = load_model(AutoModel, weights)
        rows = getattr(model.config, "vocab_size", None)
        if rows is None or getattr(model.config, "is_encoder_decoder", False):
            raise RobustrecError(
                f"{type(model).__name__} is not a text encoder",
                where=str(weights.folder / "config.json"),
                fix="give --weights a sentence-transformers folder with an encoder such as BERT or RoBERTa",
            )
        tokenizer = load_tokenizer(weights, rows)
        steps = modules.loaded_steps(self.modules.steps, self.placement.device)
        longest = longest_text(model, tokenizer, self.modules.longest)
        return LoadedMiniLM(model.to(self.placement.device, self.placement.dtype), tokenizer, longest, steps)

    def tokens(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return the texts tokenized, with lower case and prompt as configured in the folder."""
        clean = [valid_unicode(text).strip() for text in texts]
        if self.modules.lower_case:
            clean = [text.lower() for text in clean]
        # An empty text gets no prompt.
        said = [f"{self.modules.prompt}{text}" if text else "" for text in clean]
        return tokenise(self.loaded.tokenizer, said, self.loaded.longest)

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return no tensors, since pictures are not read."""
        del image
        return ()

    @torch.inference_mode()
    def vectors(self, parts: Sequence[NetworkInput]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the output `sentence`, float32 [n, D]; L2-normalized if the folder has the module Normalize."""
        tokenizer = self.loaded.tokenizer
        empty = [tokenizer.cls_token_id, tokenizer.sep_token_id]
        batch = padded([part.ids or empty for part in parts], tokenizer.pad_token_id, self.placement.device)
        try:
            states = self.loaded.model(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state.float()
        except (
            AttributeError,
            IndexError,
            TypeError,
            ValueError,
        ) as error:  # it needs other inputs
            raise RobustrecError(
                f"{type(self.loaded.model).__name__} cannot encode texts alone: {type(error).__name__}: {error}",
                where=str(self.modules.network),
                fix="give --weights a sentence-transformers folder with an encoder such as BERT or RoBERTa",
            ) from error
        vectors = modules.pooled(states, batch.mask, self.modules.poolings)
        for step in self.loaded.steps:
            vectors = step(vectors)
        return {"sentence": vectors}, {}

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return a note if the pooling is assumed because the folder does not define it."""
        del facts
        if self.modules.has_modules:
            return []
        return [f"{self.source} has no {modules.MODULES}: L2-normalized mean of the token vectors"]


def longest_text(model: Any, tokenizer: Any, given: int | None) -> int:
    """Return the maximum number of token ids of a text.

    Args:
        model: the model; its position embeddings are a limit. RoBERTa-like models have max_position_embeddings -
            pad_token_id - 1 positions.
        tokenizer: the tokenizer; its limit is used if `given` is None.
        given: limit in the files of the folder, or None.
    """
    limits = [given if given is not None else min(int(tokenizer.model_max_length), _NO_LIMIT)]
    config = getattr(model.config, "max_position_embeddings", None)
    if isinstance(config, int) and config > 0:
        limits.append(config)
    for name, module in model.named_modules():
        rows = getattr(module, "weight", None)
        if name.rpartition(".")[2] == "position_embeddings" and isinstance(rows, Tensor):
            padding = getattr(module, "padding_idx", None)
            limits.append(len(rows) - (0 if padding is None else padding + 1))
    longest = min(limits)
    return _LONGEST if longest >= _NO_LIMIT else longest
