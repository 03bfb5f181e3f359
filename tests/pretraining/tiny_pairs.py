"""Pairs so small that a BLIP of a few thousand weights learns from them in seconds."""

from __future__ import annotations

import numpy as np

from robustrec.pretraining.architecture import BlipModels, from_scratch
from robustrec.pretraining.batches import TokenizedSource, tokenize_source
from robustrec.pretraining.settings import Shape, TrainingSettings
from robustrec.pretraining.sources import CLEAN, SHOWN, Attribute, Source, group_numbers, training_texts
from robustrec.pretraining.vocabulary import train_vocabulary

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 60, 220), "yellow": (240, 220, 40)}
KINDS = ("sock", "cap", "boot")
SHAPE = Shape(
    image_size=16, patch_size=8, width=32, heads=2, vision_layers=1, text_layers=1, projection=16, positions=32
)
TRAINING = TrainingSettings(
    steps=6, batch_size=8, matching_pairs=4, matching_weight=1.0, word_weight=1.0, caption_warmup=0.34
)


def pairs(name: str = "toys", n: int = 48) -> Source:
    """Squares of a colour on grey, in a place that tells the kind."""
    random = np.random.default_rng(len(name))
    colours = [list(COLOURS)[i] for i in random.integers(len(COLOURS), size=n)]
    kinds = [KINDS[i] for i in random.integers(len(KINDS), size=n)]
    pictures = np.full((n, 16, 16, 3), 128, dtype=np.uint8)
    for row, (colour, kind) in enumerate(zip(colours, kinds, strict=True)):
        left = 5 * KINDS.index(kind)
        pictures[row, 4:12, left : left + 5] = COLOURS[colour]
    captions = tuple(f"a {colour} {kind}" for colour, kind in zip(colours, kinds, strict=True))
    rows = np.arange(n)
    return Source(
        name=name,
        record={"synthetic": True, "digest": "0" * 64, "trained_on": n - 8, "held_out": 8},
        texts={SHOWN: tuple(f"buy now {text} number {i}" for i, text in enumerate(captions)), CLEAN: captions},
        captions=(captions, tuple(text.removeprefix("a ") for text in captions)),
        pictures={SHOWN: pictures, CLEAN: pictures},
        groups=group_numbers(captions),
        train=rows[8:],
        held_out=rows[:8],
        attributes={"colour": Attribute(tuple(colours), tuple(COLOURS)), "kind": Attribute(tuple(kinds), KINDS)},
    )


def blip_and_data(*sources: Source, seed: int = 0) -> tuple[BlipModels, list[TokenizedSource]]:
    """A fresh BLIP over the sources' words, and the sources as token ids."""
    given = sources or (pairs(),)
    blip = from_scratch(SHAPE, train_vocabulary(training_texts(given), 200), seed)
    return blip, [tokenize_source(source, blip.tokenizer, SHAPE.positions) for source in given]
