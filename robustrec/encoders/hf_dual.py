"""Network `hf-dual`: models with a text and a picture tower in one space, such as CLIP and SigLIP.

Each tower is a network of its own with one output, `text` or `image`, so that an edited title does not encode the
picture again. The vectors are the `text_embeds` and `image_embeds` of the joint forward pass of transformers
(Radford et al., 2021, arXiv 2103.00020; Zhai et al., 2023, arXiv 2303.15343), which are L2-normalized; that pass also
compares all texts of a batch with all pictures and is not used.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from robustrec.encoders import families, tokenizing
from robustrec.encoders.chosen import network_weights
from robustrec.encoders.cleaning import valid_unicode
from robustrec.encoders.hf_image import check_input, no_tokens, picture_identity
from robustrec.encoders.hf_text import longest_text
from robustrec.encoders.networks import NetworkInput, TokenizedTexts, base_identity, padded, placement_of
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.preprocessing import picture_rule
from robustrec.encoders.sentence_modules import cut
from robustrec.encoders.text_modules import check_weights, cut_note
from robustrec.encoders.weights import load_model
from robustrec.files import digest_sources

_PUNCTUATION = str.maketrans("", "", string.punctuation)


class _Tower:
    """What both towers share: weights, options and the last step of a vector.

    Args:
        options: weights, width, normalise, device and others.
        cache: folder of cached digests.
        first: first network of the encoder.
        name: "hf-dual" or an alias, with the name of the tower after a point.
    """

    facts: tuple[str, ...] = ()
    output: str
    other: str  # the tower that is not loaded

    def __init__(self, options: EncoderOptions, cache: Path, *, first: str | None = None, name: str) -> None:
        self.name = families.owner(name)
        self.options = options
        self.weights, self.used = network_weights(self.name, options, cache, first=first or self.name)
        check_weights(self.name, self.weights, options)
        self.source = self.weights.name
        self.family = families.dual_family(self.weights.folder)
        self.placement = placement_of(options)
        self.batch_size = self.placement.batch_size
        self.identity: Mapping[str, Any] = {
            **base_identity(__file__, self.placement),
            "weights": self.used[0].digest,
            "modules": digest_sources(*(Path(str(each.__file__)) for each in (families, tokenizing))),
            "width": options.width,
            "normalise": options.normalise is not False,
        }

    def load(self) -> Any:
        """Return the model without its other tower, on the CPU."""
        import transformers

        model: Any = load_model(getattr(transformers, self.family.kind), self.weights)
        delattr(model, self.other)
        return model

    def finished(self, vectors: Tensor) -> dict[str, Tensor]:
        """Return the output for projected vectors [n, D]: cut to the width, and L2-normalized."""
        kept = vectors.float() if self.options.width is None else cut(vectors.float(), self.options.width)
        return {self.output: kept if self.options.normalise is False else normalize(kept, dim=1)}

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return a note on vectors that are cut."""
        del facts
        return [] if self.options.width is None else [cut_note(self.name, self.options.width)]


class LoadedTexts(NamedTuple):
    """A loaded text tower: model, tokenizer, maximum number of token ids, and fixed length of a text, if any."""

    model: Any
    tokenizer: tokenizing.TextTokenizer
    longest: int
    length: int | None


class DualText(_Tower):
    """The text tower of `hf-dual`; see `robustrec.encoders.networks.Network`."""

    reads = ("text",)
    output = "text"
    other = "vision_model"

    @cached_property
    def loaded(self) -> LoadedTexts:
        """Return the model with its tokenizer and settings, loaded at the first use."""
        model = self.load()
        config = model.config.text_config
        end = "" if self.family.end else None
        # Some copies of SigLIP 2 have the template of Gemma, which begins a text with <bos>.
        tokenizer = tokenizing.read_tokenizer(self.weights, config.vocab_size, end=end, only_end=self.family.full)
        longest = longest_text(model.text_model, tokenizer.limit)
        length = int(config.max_position_embeddings) if self.family.full else None
        return LoadedTexts(model.to(self.placement.device, self.placement.dtype), tokenizer, length or longest, length)

    def tokens(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return the texts tokenized, cleaned as in the training of the model."""
        clean = [valid_unicode(text).strip() for text in texts]
        if self.family.lower:
            clean = [text.lower() for text in clean]
        if self.loaded.tokenizer.kind == "SiglipTokenizer":  # of SigLIP 1
            clean = [re.sub(r"\s+", " ", text.translate(_PUNCTUATION)).strip() for text in clean]
        return tokenizing.tokenised(self.loaded.tokenizer, clean, self.loaded.longest)

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return no tensors, since pictures are not read."""
        del image
        return ()

    @torch.inference_mode()
    def vectors(self, parts: Sequence[NetworkInput]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the output `text`, float32 [n, D]."""
        model, tokenizer, _, length = self.loaded
        ids = [part.ids or tokenizer.empty for part in parts]
        batch = padded(ids, tokenizer.pad, self.placement.device, length=length)
        # SigLIP was trained without a mask: its vector is read at the last position, which is padding in most texts.
        masks = {"attention_mask": batch.mask} if self.family.mask else {}
        return self.finished(model.get_text_features(input_ids=batch.ids, **masks).pooler_output), {}


class DualImage(_Tower):
    """The picture tower of `hf-dual`; see `robustrec.encoders.networks.Network`."""

    reads = ("picture",)
    output = "image"
    other = "text_model"

    def __init__(self, options: EncoderOptions, cache: Path, *, first: str | None = None, name: str) -> None:
        super().__init__(options, cache, first=first, name=name)
        self.picture_rule = picture_rule(self.weights.folder, fit=options.fit)
        self.identity = {**self.identity, **picture_identity(self.picture_rule)}

    @cached_property
    def model(self) -> Any:
        """Return the model, loaded at the first use."""
        model = self.load()
        check_input(self.picture_rule, model.config.vision_config, self.weights.folder, fixed=True)
        return model.to(self.placement.device, self.placement.dtype)

    def tokens(self, texts: Sequence[str]) -> TokenizedTexts:
        """Return empty texts, since texts are not read."""
        return no_tokens(texts)

    def prepare(self, image: Image.Image | None) -> tuple[Tensor, ...]:
        """Return the picture as the network sees it."""
        return (self.picture_rule.prepare(image),)

    @torch.inference_mode()
    def vectors(self, parts: Sequence[NetworkInput]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
        """Return the output `image`, float32 [n, D]."""
        pictures = [part.pictures[0] for part in parts]
        pixels = self.picture_rule.normalised(pictures, self.placement.device, self.placement.dtype)
        return self.finished(self.model.get_image_features(pixel_values=pixels).pooler_output), {}
