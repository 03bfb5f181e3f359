"""What each training step sees: a pure function of seed and step, so that a resumed training goes on the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from robustrec.pretraining.losses import same_pairs
from robustrec.pretraining.settings import Training
from robustrec.pretraining.sources import CAPTION, CLEAN, SHOWN, Pixels, Source, numbered
from robustrec.pretraining.tokens import Batch, Specials, padded, token_table
from robustrec.seeds import numpy_generator

TEXT_SHARES = {SHOWN: 0.45, CLEAN: 0.2, CAPTION: 0.35}
PICTURE_SHARES = {SHOWN: 0.6, CLEAN: 0.4}
"""How often each view is drawn, among those a source has."""

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""By which BLIP normalises pictures (spec 6.1)."""


@dataclass(frozen=True, eq=False)
class Tokenised:
    """A source with its texts as token ids.

    Attributes:
        source: what was tokenised.
        texts: view -> [N] ids, [CLS] first.
        captions: wording -> [N] ids, [CLS] first.
    """

    source: Source
    texts: Mapping[str, list[list[int]]]
    captions: list[list[list[int]]]


class Step(NamedTuple):
    """One step's batch of B pairs from one source.

    Attributes:
        pixels: float32 [B, 3, S, S], normalised.
        texts: begin with [CLS].
        captions: begin with [DEC].
        same: bool [B, B], see `losses`.
        hardness: of the matching loss's negatives, from 0 (random) to 1 (drawn by similarity); None: no matching loss.
    """

    pixels: Tensor
    texts: Batch
    captions: Batch
    same: Tensor
    hardness: float | None


def tokenised(source: Source, tokenizer: Any, longest: int) -> Tokenised:
    """Return a source with its texts as token ids, at most `longest` each."""
    return Tokenised(
        source,
        {view: token_table(tokenizer, texts, longest) for view, texts in source.texts.items()},
        [token_table(tokenizer, texts, longest) for texts in source.captions],
    )


def make_step(sources: Sequence[Tokenised], training: Training, specials: Specials, number: int) -> Step:
    """Return the batch of a step: one source (the larger the likelier), its rows without repetition, their views.

    All pairs come from one source, so that the wrong texts and pictures are goods of the same catalogue. In the prelude
    texts are captions only, short and about what is seen: there the towers find each other soonest.
    """
    random = numpy_generator(training.seed, "pretrain step", number)
    sizes = np.array([len(chosen.source.train) for chosen in sources], dtype=np.float64)
    chosen = sources[int(random.choice(len(sources), p=sizes / sizes.sum()))]
    source = chosen.source
    n = min(training.batch_size, len(source.train))
    rows = random.choice(source.train, n, replace=False)
    picture_view = _view(random, PICTURE_SHARES, source.pictures)
    prelude = number < training.prelude * training.steps
    text_view = CAPTION if prelude else _view(random, TEXT_SHARES, (*source.texts, CAPTION))
    wordings = random.integers(len(chosen.captions), size=(2, n))
    captions = [[chosen.captions[word][row] for word, row in zip(line, rows, strict=True)] for line in wordings]
    texts = captions[0] if text_view == CAPTION else [chosen.texts[text_view][row] for row in rows]
    numbers = (source.twins[rows], numbered([tuple(text) for text in texts]))
    return Step(
        normalised(source.pictures[picture_view][rows]),
        padded(texts, specials.pad),
        padded(captions[1], specials.pad, first=specials.decode),
        same_pairs(*(torch.from_numpy(row) for row in numbers)),
        None if prelude else hardness(training, number),
    )


def hardness(training: Training, number: int) -> float:
    """Return how hard a step's negatives are: from 0 after the prelude up to 1 when ripening ends.

    A matching head that begins with the hardest negatives sees no difference between right and wrong and learns none.
    """
    if training.ripening == 0:
        return 1.0
    return min(1.0, (number / training.steps - training.prelude) / training.ripening)


def normalised(pixels: Pixels) -> Tensor:
    """Return pictures [B, S, S, 3] as BLIP's processor makes them, float32 [B, 3, S, S]."""
    scaled = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float() / 255.0
    shape = (1, 3, 1, 1)
    return (scaled - torch.tensor(MEAN).view(shape)) / torch.tensor(DEVIATION).view(shape)


def _view(random: np.random.Generator, shares: Mapping[str, float], there: Any) -> str:
    names = [name for name in shares if name in there]
    weights = np.array([shares[name] for name in names])
    return names[int(random.choice(len(names), p=weights / weights.sum()))]
