"""Network `minilm`: sentence vectors of all-MiniLM-L6-v2 or of another folder of sentence-transformers.

Output: `sentence`, 384 wide for all-MiniLM-L6-v2. The text is read as it is; how many tokens of it, how their vectors
become one, and what is done to that is what the folder's own files say (`robustrec.encoders.sentence_modules`).
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
from robustrec.encoders.cleaning import sound
from robustrec.encoders.networks import Part, Texts, base_identity, padded, place_of, tokenise
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.weights import (
    UsedWeights,
    Weights,
    digest_weights,
    load_model,
    load_tokenizer,
    locate,
    require_transformers,
    used_weights,
)
from robustrec.errors import RobustrecError
from robustrec.files import digest_sources

_LONGEST = 512  # token ids, where neither the folder nor the model nor the tokenizer has a limit
_NO_LIMIT = 10**6  # tokenizers without a limit of their own say 10**30


class Loaded(NamedTuple):
    """A sentence encoder in memory: model on its device, tokenizer, longest text in token ids, steps after pooling."""

    model: Any
    tokenizer: Any
    longest: int
    steps: Sequence[Callable[[Tensor], Tensor]]


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
        self.modules = modules.sentence_modules(self.weights.folder)
        digest = digest_weights(self.weights.folder, cache)
        self.used: tuple[UsedWeights, ...] = (used_weights(self.name, self.weights, digest),)
        self.identity: Mapping[str, Any] = {
            **base_identity(__file__, self.place),
            "weights": digest,
            "modules": digest_sources(Path(str(modules.__file__))),
        }

    @cached_property
    def loaded(self) -> Loaded:
        """Return the model with what belongs to it, loaded at the first use."""
        from transformers import AutoModel

        weights = Weights(self.modules.network, self.weights.name)
        model: Any = load_model(AutoModel, weights)
        rows = getattr(model.config, "vocab_size", None)
        if rows is None or getattr(model.config, "is_encoder_decoder", False):
            raise RobustrecError(
                f"{type(model).__name__} is not an encoder of texts",
                where=str(weights.folder / "config.json"),
                fix="give --weights a folder of sentence-transformers around an encoder such as BERT or RoBERTa",
            )
        tokenizer = load_tokenizer(weights, rows)
        steps = modules.loaded_steps(self.modules.steps, self.place.device)
        longest = longest_text(model, tokenizer, self.modules.longest)
        return Loaded(model.to(self.place.device, self.place.dtype), tokenizer, longest, steps)

    def tokens(self, texts: Sequence[str]) -> Texts:
        """Return the texts tokenised, lowered and with a prompt before them where the folder says so."""
        clean = [sound(text).strip() for text in texts]
        if self.modules.lower_case:
            clean = [text.lower() for text in clean]
        # A prompt before nothing would be a text of its own.
        said = [f"{self.modules.prompt}{text}" if text else "" for text in clean]
        return tokenise(self.loaded.tokenizer, said, self.loaded.longest)

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return nothing: pictures are not read."""
        del image
        return ()

    @torch.inference_mode()
    def vectors(self, parts: Sequence[Part]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the output `sentence`, float32 [n, D]; rows of norm 1 unless the folder's modules leave them out."""
        tokenizer = self.loaded.tokenizer
        empty = [tokenizer.cls_token_id, tokenizer.sep_token_id]
        batch = padded([part.ids or empty for part in parts], tokenizer.pad_token_id, self.place.device)
        try:
            states = self.loaded.model(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state.float()
        except (
            AttributeError,
            IndexError,
            TypeError,
            ValueError,
        ) as error:  # it needs more than a text
            raise RobustrecError(
                f"{type(self.loaded.model).__name__} cannot encode texts alone: {type(error).__name__}: {error}",
                where=str(self.modules.network),
                fix="give --weights a folder of sentence-transformers around an encoder such as BERT or RoBERTa",
            ) from error
        vectors = modules.pooled(states, batch.mask, self.modules.poolings)
        for step in self.loaded.steps:
            vectors = step(vectors)
        return {"sentence": vectors}, {}

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return that the pooling is assumed, where the folder does not say which it is."""
        del facts
        if self.modules.told:
            return []
        return [f"{self.source} has no {modules.MODULES}: the mean of the token vectors, divided by its norm"]


def longest_text(model: Any, tokenizer: Any, given: int | None) -> int:
    """Return the most token ids of a text.

    Args:
        model: whose position embeddings bound it. Models of RoBERTa's kind begin to count after the id of the padding
            token, so that max_position_embeddings - pad_token_id - 1 positions are left.
        tokenizer: whose own limit holds where none is given.
        given: of the folder's files, None where they do not say.
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
