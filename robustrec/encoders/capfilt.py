"""Captions and filter at the time of encoding, after BLIP's CapFilt (spec 6.5 for inference).

For each row with a picture: candidates are its text and captions sampled from the picture (nucleus sampling, p = 0.9);
those stay whose matching probability reaches the threshold; if none does, the first caption alone. What stays is
joined, the text first, and encoded with the picture. Every row draws its captions with the same random numbers: a
caption depends on the picture and the seed only, and an edited picture gets another caption only because it is
another picture. Rows without a picture keep their text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from robustrec.encoders.attention import use_fused_attention
from robustrec.encoders.cleaning import clean_text
from robustrec.encoders.networks import Part, PictureShape, Place, picture_shape, tokenise
from robustrec.encoders.notes import items
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.weights import digest_weights, load_model, load_tokenizer, locate_captioner, quiet
from robustrec.files import digest_sources
from robustrec.seeds import torch_generator

if TYPE_CHECKING:
    from robustrec.encoders.blip import Blip

NUCLEUS = 0.9
MOST_TOKENS = 20
KEPT, DROPPED, UNJUDGED = 1, 0, 2
"""What became of a row's own text: UNJUDGED where it has none, or no picture to judge it by."""


class Captioner(NamedTuple):
    """A `BlipForConditionalGeneration` in memory, with its tokenizer and how it wants pictures."""

    model: Any
    tokenizer: Any
    shape: PictureShape


class CaptionFilter:
    """Samples captions and drops texts that do not go with their picture.

    Args:
        options: threshold, number and seed of captions, weights of the captioner.
        place: device and precision.
        cache: folder of remembered digests.
        first: the encoder's first network.
    """

    facts = ("text_kept", "captions_kept", "nothing_kept")

    def __init__(self, options: EncoderOptions, place: Place, cache: Path, *, first: str) -> None:
        self.options = options
        self.place = place
        self.weights = locate_captioner(options, first=first)
        self.identity = {
            "code": digest_sources(Path(__file__)),
            "weights": digest_weights(self.weights.folder, cache),
            "threshold": options.threshold,
            "captions": options.captions,
            "seed": options.caption_seed,
        }

    @property
    def shape(self) -> PictureShape:
        """Return how the captioner wants pictures."""
        return self.captioner.shape

    @cached_property
    def captioner(self) -> Captioner:
        """Return the captioner, loaded at the first use."""
        from transformers import BlipForConditionalGeneration

        model: Any = load_model(BlipForConditionalGeneration, self.weights)
        use_fused_attention(model.vision_model)  # the decoder keeps its own, which knows the cache
        tokenizer = load_tokenizer(self.weights, model.config.text_config.vocab_size)
        shape = picture_shape(self.weights.folder)
        return Captioner(model.to(self.place.device, self.place.dtype), tokenizer, shape)

    def replace(self, blip: Blip, parts: Sequence[Part], image: Tensor) -> tuple[list[list[int]], dict[str, list[int]]]:
        """Return the token ids that are to be encoded, and what was kept.

        Args:
            blip: whose matching head judges.
            parts: rows.
            image: [n, P, D] BLIP's tokens of their pictures.
        """
        ids = [list(part.ids) for part in parts]
        facts = {
            "text_kept": [UNJUDGED] * len(parts),
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
        """Return how many texts and captions were kept."""
        judged = int((facts["text_kept"] != UNJUDGED).sum())
        kept = int((facts["text_kept"] == KEPT).sum())
        captions = int(facts["captions_kept"].sum())
        alone = int(facts["nothing_kept"].sum())
        return [
            f"capfilt, matching probability from {self.options.threshold}: {kept} of {judged} texts kept, "
            f"{judged - kept} dropped, {captions} captions kept; {items(alone)} with nothing kept: the caption alone"
        ]

    def _judged(
        self,
        blip: Blip,
        parts: Sequence[Part],
        seen: Sequence[int],
        captions: Sequence[Sequence[str]],
        image: Tensor,
        facts: Mapping[str, list[int]],
    ) -> list[list[int]]:
        tokenizer, longest = blip.loaded.tokenizer, blip.loaded.longest
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
        return tokenise(tokenizer, joined, longest).ids

    def _probabilities(self, blip: Blip, texts: Sequence[str], owners: Sequence[int], image: Tensor) -> Tensor:
        ids = tokenise(blip.loaded.tokenizer, texts, blip.loaded.longest).ids
        size = blip.batch_size
        parts = [
            blip.match_probability(ids[start : start + size], image[owners[start : start + size]])
            for start in range(0, len(ids), size)
        ]
        return torch.cat(parts)

    def _captions(self, pictures: Sequence[Tensor]) -> list[list[str]]:
        """Return the captions of prepared pictures, [n][captions], cleaned as texts are."""
        from transformers import LogitsProcessorList

        captioner = self.captioner
        pixels = captioner.shape.normalised(pictures, self.place.device, self.place.dtype)
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
    """Picks each token by inverting the distribution over the nucleus at a given number, the same for every row.

    Handed to transformers as a logits processor that leaves one token possible, with greedy decoding after it: a
    row's caption then does not depend on the rows beside it, as it would with transformers' own sampling.
    """

    def __init__(self, draws: Sequence[float]) -> None:
        self.draws = draws
        self.begin: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.begin = input_ids.shape[1] if self.begin is None else self.begin
        picked = pick_nucleus(scores, self.draws[input_ids.shape[1] - self.begin])
        return torch.full_like(scores, float("-inf")).scatter(1, picked[:, None], 0.0)


def pick_nucleus(scores: Tensor, draw: float, nucleus: float = NUCLEUS) -> Tensor:
    """Return the token [n] at which the distribution over the nucleus passes `draw`.

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
