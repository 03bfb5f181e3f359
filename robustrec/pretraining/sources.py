"""Catalogues as pairs to learn from: N items with their pictures decoded, texts cleaned, and a part kept apart.

A view is one way an item is shown: "shown" as its merchant shows it, "clean" without the merchant's noise where
that is known, "caption" (texts only) what a caption of its picture says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robustrec.datasets.catalog import Catalog
from robustrec.encoders.cleaning import clean_text
from robustrec.errors import RobustrecError
from robustrec.pretraining.settings import Training
from robustrec.progress import Progress, silent
from robustrec.seeds import numpy_generator

SHOWN, CLEAN, CAPTION = "shown", "clean", "caption"
Pixels = NDArray[np.uint8]


class Attribute(NamedTuple):
    """A known attribute of the items: the value of each, [N], and all values there are."""

    of: tuple[str, ...]
    values: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Source:
    """N items of one catalogue.

    Attributes:
        name: its name.
        record: what the model card says of it: plain values.
        texts: view -> [N] cleaned texts.
        captions: wording -> [N] cleaned captions; the wordings say the same.
        pictures: view -> [N, S, S, 3].
        twins: [N] items with the same number cannot be told apart by their texts.
        train: rows that are learned from.
        held_out: rows that are measured on.
        attributes: by name; empty where nothing is known.
    """

    name: str
    record: dict[str, Any]
    texts: Mapping[str, tuple[str, ...]]
    captions: tuple[tuple[str, ...], ...]
    pictures: Mapping[str, Pixels]
    twins: NDArray[np.int64]
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    attributes: Mapping[str, Attribute]


def small_picture(picture: Image.Image, side: int) -> Pixels:
    """Return a picture as BLIP's processor resizes it: bicubic to [side, side, 3], the aspect ratio not kept."""
    if picture.size == (side, side):
        return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC), dtype=np.uint8)


def catalogue_source(
    name: str,
    catalog: Catalog,
    record: Mapping[str, Any],
    training: Training,
    side: int,
    *,
    table: Callable[[str, int], Pixels],
    progress: Progress = silent,
) -> Source:
    """Return a catalogue's items that have both a picture and a text, with a seeded part of them kept apart.

    The title stands for the caption: the short text somebody wrote of what the picture shows.

    Args:
        name: the catalogue's name.
        catalog: texts and pictures.
        record: what the card shall say of it; counts are added.
        training: words that are read, share that is kept apart, seed.
        side: of the pictures.
        table: makes the array [N, S, S, 3] that the pictures go into, for a view and N.
        progress: told how the decoding goes.

    Raises:
        RobustrecError: there are no pictures, or fewer than 20 items with picture and text.
    """
    if catalog.pictures is None or catalog.n_pictures == 0:
        raise RobustrecError(
            "the catalogue has no pictures; BLIP learns from pairs of picture and text",
            where=f"--dataset {name}",
            fix="give a data set with pictures, or --items FILE.jsonl --pictures FOLDER_OR_ZIP",
        )
    texts = [clean_text(text, training.words) for text in catalog.texts]
    titles = [clean_text(item.title, training.caption_words) if item else "" for item in catalog.items]
    wanted = [row for row, text in enumerate(texts) if text and catalog.pictures.entries[row] is not None]
    pixels = table(SHOWN, len(wanted))
    kept: list[int] = []
    reasons: list[str] = []
    for done, row in enumerate(wanted, start=1):
        try:
            picture = catalog.picture(row)
            if picture is not None:
                pixels[len(kept)] = small_picture(picture, side)
                kept.append(row)
        except RobustrecError as error:
            reasons.append(f"{error.where}: {error.what}")
        progress(f"decoding the pictures of {name}", done, len(wanted))
    if len(kept) < LEAST_ITEMS:
        raise RobustrecError(
            f"{len(kept)} items with a text and a readable picture, fewer than {LEAST_ITEMS}",
            where=f"--dataset {name}" + (f"; the first unreadable: {reasons[0]}" if reasons else ""),
            fix="give a larger catalogue, or several: --dataset ONE --dataset OTHER",
        )
    train, held_out = split(len(kept), training.held_out, training.seed, name)
    chosen = tuple(texts[row] for row in kept)
    counts = {
        "items": len(kept),
        "without_picture_or_text": len(texts) - len(wanted),
        "unreadable_pictures": len(reasons),
        "trained_on": len(train),
        "held_out": len(held_out),
    }
    return Source(
        name=name,
        record={**record, **counts},
        texts={SHOWN: chosen},
        captions=(tuple(titles[row] or clean_text(texts[row], training.caption_words) for row in kept),),
        pictures={SHOWN: pixels[: len(kept)]},
        twins=numbered(chosen),
        train=train,
        held_out=held_out,
        attributes={},
    )


LEAST_ITEMS = 20
"""Fewer pairs than this teach nothing and leave nothing to measure on."""


def split(n: int, share: float, seed: int, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows to learn from and rows kept apart, both sorted, at least one in each."""
    order = numpy_generator(seed, "pretrain split", name).permutation(n)
    apart = min(max(round(n * share), 1), n - 1)
    return np.sort(order[apart:]), np.sort(order[:apart])


def numbered(keys: Sequence[object]) -> NDArray[np.int64]:
    """Return a number for each key, equal exactly for equal keys."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def all_texts(sources: Sequence[Source]) -> Iterator[str]:
    """Yield the texts of all items that are learned from, captions included: what the vocabulary is made of."""
    for source in sources:
        for texts in (*source.texts.values(), *source.captions):
            yield from (texts[row] for row in source.train)
