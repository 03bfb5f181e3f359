"""Batches of the training steps, pure functions of seed and step, so that a resumed training has the same batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from robustrec.pretraining.losses import same_pairs
from robustrec.pretraining.settings import TrainingSettings
from robustrec.pretraining.sources import CAPTION, CLEAN, SHOWN, Pixels, Source, group_numbers
from robustrec.pretraining.tokens import Specials, TokenBatch, padded, token_table
from robustrec.seeds import numpy_generator

TEXT_SHARES = {SHOWN: 0.45, CLEAN: 0.2, CAPTION: 0.35}
PICTURE_SHARES = {SHOWN: 0.6, CLEAN: 0.4}
"""Probability of each view, normalized over the views of a source."""

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of the channels by which BLIP normalizes pictures (Li et al., arXiv 2201.12086)."""


@dataclass(frozen=True, eq=False)
class TokenizedSource:
    """A source and its texts as token ids.

    Attributes:
        source: the source.
        texts: view -> [N] ids, [CLS] first.
        captions: wording -> [N] ids, [CLS] first.
    """

    source: Source
    texts: Mapping[str, list[list[int]]]
    captions: list[list[list[int]]]


class Step(NamedTuple):
    """Batch of B pairs from one source.

    Attributes:
        pixels: float32 [B, 3, S, S], normalised.
        texts: begin with [CLS].
        captions: begin with [DEC].
        same: bool [B, B], see `losses`.
        hardness: of the negatives of the matching loss, 0 (random) to 1 (drawn by similarity); None: no matching loss.
    """

    pixels: Tensor
    texts: TokenBatch
    captions: TokenBatch
    same: Tensor
    hardness: float | None


def tokenize_source(source: Source, tokenizer: Any, longest: int) -> TokenizedSource:
    """Return a source with its texts as token ids, truncated to `longest`."""
    return TokenizedSource(
        source,
        {view: token_table(tokenizer, texts, longest) for view, texts in source.texts.items()},
        [token_table(tokenizer, texts, longest) for texts in source.captions],
    )


def make_step(sources: Sequence[TokenizedSource], training: TrainingSettings, specials: Specials, number: int) -> Step:
    """Return the batch of a step: a source drawn in proportion to its size, distinct rows of it, and their views.

    All pairs come from one source, so that negatives are products of the same catalog. During
    `caption_warmup`, texts are captions only: they are short and describe the picture, which aligns image and text
    encoder fastest.
    """
    random = numpy_generator(training.seed, "pretrain step", number)
    sizes = np.array([len(chosen.source.train) for chosen in sources], dtype=np.float64)
    chosen = sources[int(random.choice(len(sources), p=sizes / sizes.sum()))]
    source = chosen.source
    n = min(training.batch_size, len(source.train))
    rows = random.choice(source.train, n, replace=False)
    picture_view = _view(random, PICTURE_SHARES, source.pictures)
    captions_only = number < training.caption_warmup * training.steps
    text_view = CAPTION if captions_only else _view(random, TEXT_SHARES, (*source.texts, CAPTION))
    wordings = random.integers(len(chosen.captions), size=(2, n))
    captions = [[chosen.captions[word][row] for word, row in zip(line, rows, strict=True)] for line in wordings]
    texts = captions[0] if text_view == CAPTION else [chosen.texts[text_view][row] for row in rows]
    numbers = (source.groups[rows], group_numbers([tuple(text) for text in texts]))
    return Step(
        normalised(source.pictures[picture_view][rows]),
        padded(texts, specials.pad),
        padded(captions[1], specials.pad, first=specials.decode),
        same_pairs(*(torch.from_numpy(row) for row in numbers)),
        None if captions_only else hardness(training, number),
    )


def hardness(training: TrainingSettings, number: int) -> float:
    """Return the hardness of the negatives of a step, from 0 to 1.

    It is 0 at the end of `caption_warmup` and grows linearly to 1 at the end of `hard_negative_ramp`.
    A matching head that starts with the hardest negatives does not learn to separate them.
    """
    if training.hard_negative_ramp == 0:
        return 1.0
    return min(1.0, (number / training.steps - training.caption_warmup) / training.hard_negative_ramp)


def normalised(pixels: Pixels) -> Tensor:
    """Return pictures [B, S, S, 3] as BLIP's processor makes them, float32 [B, 3, S, S]."""
    scaled = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float() / 255.0
    shape = (1, 3, 1, 1)
    return (scaled - torch.tensor(MEAN).view(shape)) / torch.tensor(STD).view(shape)


def _view(random: np.random.Generator, shares: Mapping[str, float], there: Any) -> str:
    names = [name for name in shares if name in there]
    weights = np.array([shares[name] for name in names])
    return names[int(random.choice(len(names), p=weights / weights.sum()))]
