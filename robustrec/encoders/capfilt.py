"""Caption filter at inference, after CapFilt of BLIP (Li et al., arXiv 2201.12086, section 3.3).

The candidates of a row with a picture are its text and captions sampled from the picture (nucleus sampling, p = 0.9).
Candidates with a matching probability of at least the threshold are kept; without any, the first caption is kept. The
kept texts are joined, the text of the item first, and encoded with the picture. All rows use the same random numbers,
so that a caption depends on the picture and the seed only. Rows without a picture keep their text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from robustrec.encoders.attention import use_fused_attention
from robustrec.encoders.cleaning import clean_text
from robustrec.encoders.networks import NetworkInput, Placement, blip_pictures
from robustrec.encoders.notes import items
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.preprocessing import PictureRule
from robustrec.encoders.weights import digest_weights, load_model, load_tokenizer, locate_captioner, quiet
from robustrec.files import digest_sources
from robustrec.seeds import torch_generator

NUCLEUS = 0.9
MOST_TOKENS = 20
KEPT, DROPPED, NOT_SCORED = 1, 0, 2
"""Result for the text of a row; NOT_SCORED for a row without text or without picture."""


class MatchingModel(Protocol):
    """The BLIP that scores candidate texts; an interface, so that this module does not import the network."""

    batch_size: int

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of cleaned texts, truncated to the maximum length."""
        ...

    def match_probability(self, ids: Sequence[Sequence[int]], image: Tensor) -> Tensor:
        """Return the matching probability [n] of each text with the image tokens [n, P, D] of its row."""
        ...


class Captioner(NamedTuple):
    """A loaded `BlipForConditionalGeneration` with its tokenizer and how pictures are prepared."""

    model: Any
    tokenizer: Any
    shape: PictureRule


class CaptionFilter:
    """Samples captions, and drops texts that do not match their picture.

    Args:
        options: threshold, number and seed of captions, weights of the captioner.
        placement: device and precision.
        cache: folder of cached digests.
        first: first network of the encoder.
    """

    facts = ("text_kept", "captions_kept", "nothing_kept")

    def __init__(self, options: EncoderOptions, placement: Placement, cache: Path, *, first: str) -> None:
        self.options = options
        self.placement = placement
        self.weights = locate_captioner(options, first=first)
        self.identity = {
            "code": digest_sources(Path(__file__)),
            "weights": digest_weights(self.weights.folder, cache),
            "threshold": options.threshold,
            "captions": options.captions,
            "seed": options.caption_seed,
            "fit": options.fit,
        }

    @property
    def shape(self) -> PictureRule:
        """Return the how pictures are prepared of the captioner."""
        return self.captioner.shape

    @cached_property
    def captioner(self) -> Captioner:
        """Return the captioner, loaded at the first use."""
        from transformers import BlipForConditionalGeneration

        model: Any = load_model(BlipForConditionalGeneration, self.weights)
        use_fused_attention(model.vision_model)  # not the decoder, which needs a cache
        tokenizer = load_tokenizer(self.weights, model.config.text_config.vocab_size)
        shape = blip_pictures(self.weights.folder, self.options.fit)
        return Captioner(model.to(self.placement.device, self.placement.dtype), tokenizer, shape)

    def replace(
        self, blip: MatchingModel, parts: Sequence[NetworkInput], image: Tensor
    ) -> tuple[list[list[int]], dict[str, list[int]]]:
        """Return the token ids to encode, and counts of kept texts.

        Args:
            blip: model with the matching head.
            parts: rows.
            image: [n, P, D] image tokens of the rows.
        """
        ids = [list(part.ids) for part in parts]
        facts = {
            "text_kept": [NOT_SCORED] * len(parts),
            "captions_kept": [0] * len(parts),
            "nothing_kept": [0] * len(parts),
        }
        seen = [row for row, part in enumerate(parts) if part.seen]
        if not seen:
            return ids, facts
        captions = self._captions([parts[row].pictures[-1] for row in seen])
        for row, texts in zip(seen, self._judged(blip, parts, seen, captions, image, facts), strict=True):
            ids[row] = texts
        return ids, facts

    def notes(self, facts: Mapping[str, Tensor]) -> list[str]:
        """Return the numbers of kept texts and captions."""
        judged = int((facts["text_kept"] != NOT_SCORED).sum())
        kept = int((facts["text_kept"] == KEPT).sum())
        captions = int(facts["captions_kept"].sum())
        alone = int(facts["nothing_kept"].sum())
        return [
            f"capfilt, matching probability of at least {self.options.threshold}: {kept} of {judged} texts kept, "
            f"{judged - kept} dropped, {captions} captions kept; {items(alone)} with nothing kept: caption only"
        ]

    def _judged(
        self,
        blip: MatchingModel,
        parts: Sequence[NetworkInput],
        seen: Sequence[int],
        captions: Sequence[Sequence[str]],
        image: Tensor,
        facts: Mapping[str, list[int]],
    ) -> list[list[int]]:
        candidates = [
            [*([parts[row].text] if parts[row].ids else []), *texts] for row, texts in zip(seen, captions, strict=True)
        ]
        flat = [text for texts in candidates for text in texts]
        owners = [row for row, texts in zip(seen, candidates, strict=True) for _ in texts]
        accepted = iter((self._probabilities(blip, flat, owners, image) >= self.options.threshold).tolist())
        joined: list[str] = []
        for row, texts, own in zip(seen, candidates, captions, strict=True):
            verdicts = [next(accepted) for _ in texts]
            if parts[row].ids:
                facts["text_kept"][row] = KEPT if verdicts[0] else DROPPED
            facts["captions_kept"][row] = sum(verdicts[len(texts) - len(own) :])
            facts["nothing_kept"][row] = int(not any(verdicts))
            kept = [text for text, verdict in zip(texts, verdicts, strict=True) if verdict]
            joined.append(" ".join(kept or own[:1]))
        return blip.token_ids(joined)

    def _probabilities(self, blip: MatchingModel, texts: Sequence[str], owners: Sequence[int], image: Tensor) -> Tensor:
        ids = blip.token_ids(texts)
        size = blip.batch_size
        parts = [
            blip.match_probability(ids[start : start + size], image[owners[start : start + size]])
            for start in range(0, len(ids), size)
        ]
        return torch.cat(parts)

    def _captions(self, pictures: Sequence[Tensor]) -> list[list[str]]:
        """Return the captions of prepared pictures, [n][captions], cleaned like texts."""
        from transformers import LogitsProcessorList

        captioner = self.captioner
        pixels = captioner.shape.normalised(pictures, self.placement.device, self.placement.dtype)
        generator = torch_generator(self.options.caption_seed, "captions")
        columns = []
        for _ in range(self.options.captions):
            draws = torch.rand(MOST_TOKENS, generator=generator, dtype=torch.float64).tolist()
            with quiet():
                ids = captioner.model.generate(
                    pixel_values=pixels,
                    do_sample=False,
                    num_beams=1,
                    max_new_tokens=MOST_TOKENS,
                    logits_processor=LogitsProcessorList([_Nucleus(draws)]),
                )
            texts = captioner.tokenizer.batch_decode(ids, skip_special_tokens=True)
            columns.append([clean_text(text, self.options.max_words) for text in texts])
        return [list(texts) for texts in zip(*columns, strict=True)]


class _Nucleus:
    """Nucleus sampling by inversion of the distribution function, with the same random numbers for every row.

    It is a logits processor that leaves one possible token for greedy decoding, so that the caption of a row does not
    depend on the other rows of the batch, as it does with the sampling of transformers.
    """

    def __init__(self, draws: Sequence[float]) -> None:
        self.draws = draws
        self.begin: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.begin = input_ids.shape[1] if self.begin is None else self.begin
        picked = pick_nucleus(scores, self.draws[input_ids.shape[1] - self.begin])
        return torch.full_like(scores, float("-inf")).scatter(1, picked[:, None], 0.0)


def pick_nucleus(scores: Tensor, draw: float, nucleus: float = NUCLEUS) -> Tensor:
    """Return the token [n] at which the distribution function over the nucleus exceeds `draw`.

    Args:
        scores: [n, V] logits.
        draw: number in [0, 1).
        nucleus: p; the nucleus is the smallest set of the most probable tokens with at least this mass.
    """
    ordered, tokens = torch.sort(torch.softmax(scores.double(), dim=1), dim=1, descending=True, stable=True)
    before = torch.cumsum(ordered, dim=1) - ordered
    inside = torch.where(before < nucleus, ordered, 0.0)
    reached = torch.cumsum(inside, dim=1)
    place = (reached <= draw * reached[:, -1:]).sum(dim=1)
    return tokens.gather(1, place[:, None])[:, 0]
