"""Network `hf-text`: text encoders of transformers, most of them in folders of sentence-transformers.

Output: `sentence`. Maximum length, pooling, prompt and further modules are those in the files of the model folder
(`robustrec.encoders.sentence_modules`). `minilm` is an alias with the rules it had before: without modules.json, the
L2-normalized mean; and only the default prompt of the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from robustrec.encoders import families, tokenizing
from robustrec.encoders import sentence_modules as modules
from robustrec.encoders.chosen import network_weights
from robustrec.encoders.cleaning import valid_unicode
from robustrec.encoders.networks import NetworkInput, TokenizedTexts, base_identity, padded, placement_of
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.text_modules import cut_note, text_modules
from robustrec.encoders.weights import Weights, load_model
from robustrec.files import digest_sources

_LONGEST = 512  # token ids, if neither folder nor model nor tokenizer has a limit
_NO_LIMIT = 10**6


class LoadedText(NamedTuple):
    """A loaded text encoder: model, tokenizer, maximum number of token ids, and steps after pooling."""

    model: Any
    tokenizer: tokenizing.TextTokenizer
    longest: int
    steps: Sequence[Callable[[Tensor], Tensor]]


class HfText:
    """The network `hf-text` and its aliases; see `robustrec.encoders.networks.Network`.

    Args:
        options: weights, pooling, prefix, device and others.
        cache: folder of cached digests.
        first: first network of the encoder.
        name: "hf-text" or an alias.

    Raises:
        RobustrecError: the weights are not found or not supported, or the pooling is not defined.
    """

    reads = ("text",)
    facts: tuple[str, ...] = ()

    def __init__(
        self, options: EncoderOptions, cache: Path, *, first: str | None = None, name: str = families.TEXT
    ) -> None:
        self.name = name
        self.options = options
        self.weights, self.used = network_weights(name, options, cache, first=first or name)
        self.source = self.weights.name
        self.placement = placement_of(options)
        self.batch_size = 4 * self.placement.batch_size  # texts need less memory than pictures
        self.modules = text_modules(name, self.weights, options)
        self.family = families.text_family(self.modules.network)
        self.identity: Mapping[str, Any] = {
            **base_identity(__file__, self.placement),
            "weights": self.used[0].digest,
            "modules": digest_sources(*(Path(str(each.__file__)) for each in (modules, families, tokenizing))),
            "pooling": list(self.modules.poolings),
            "prefix": self.modules.prompt,
            "width": options.width,
            "steps": [type(step).__name__ for step in self.modules.steps],
        }

    @cached_property
    def loaded(self) -> LoadedText:
        """Return the model with its tokenizer and settings, loaded at the first use."""
        import transformers

        weights = Weights(self.modules.network, self.weights.name)
        arguments = {"add_pooling_layer": False} if self.family.pooler else {}
        model: Any = load_model(getattr(transformers, self.family.kind), weights, **arguments)
        model.config.use_cache = False  # of decoders: no text continues another
        last = self.modules.poolings == ("lasttoken",)
        tokenizer = tokenizing.read_tokenizer(
            weights, model.config.vocab_size, end=self.family.end if last and self.family.end else None
        )
        steps = modules.loaded_steps(self.modules.steps, self.placement.device)
        given = self.modules.longest if self.modules.longest is not None else tokenizer.limit
        return LoadedText(
            model.to(self.placement.device, self.placement.dtype), tokenizer, longest_text(model, given), steps
        )

    def tokens(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return the texts tokenized, with lower case and prompt as configured."""
        clean = [valid_unicode(text).strip() for text in texts]
        if self.modules.lower_case:
            clean = [text.lower() for text in clean]
        # An empty text gets no prompt.
        said = [f"{self.modules.prompt}{text}" if text else "" for text in clean]
        return tokenizing.tokenised(self.loaded.tokenizer, said, self.loaded.longest)

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return no tensors, since pictures are not read."""
        del image
        return ()

    @torch.inference_mode()
    def vectors(self, parts: Sequence[NetworkInput]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the output `sentence`, float32 [n, D]; L2-normalized if the folder has the module Normalize."""
        tokenizer = self.loaded.tokenizer
        batch = padded([part.ids or tokenizer.empty for part in parts], tokenizer.pad, self.placement.device)
        states = self.loaded.model(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state.float()
        vectors = modules.pooled(states, batch.mask, self.modules.poolings)
        for step in self.loaded.steps:
            vectors = step(vectors)
        return {"sentence": vectors}, {}

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return notes on pooling that is assumed, on the prefix of texts and on vectors that are cut."""
        del facts
        notes: list[str] = []
        if not self.modules.has_modules and self.options.pooling is None:
            notes.append(f"{self.source} has no {modules.MODULES}: L2-normalized mean of the token vectors")
        if self.modules.prompt:
            notes.append(f"each text of {self.name} begins with {self.modules.prompt!r}")
        if self.options.width is not None:
            notes.append(cut_note(self.name, self.options.width))
        return notes


def longest_text(model: Any, given: int | None) -> int:
    """Return the maximum number of token ids of a text.

    Args:
        model: the model; its position embeddings are a limit. RoBERTa-like models have max_position_embeddings -
            pad_token_id - 1 positions.
        given: limit in the files of the folder, or None.
    """
    limits = [_NO_LIMIT if given is None else given]
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
