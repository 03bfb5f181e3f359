"""Training pairs of a catalog: N items with decoded pictures and cleaned texts, some of them held out.

A view is a version of the content of an item: "shown" as in the catalog, "clean" without merchant noise if that is
known, "caption" (texts only) the caption of its picture.
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
from robustrec.pretraining.settings import TrainingSettings
from robustrec.progress import Progress, silent
from robustrec.seeds import numpy_generator

SHOWN, CLEAN, CAPTION = "shown", "clean", "caption"
Pixels = NDArray[np.uint8]


class Attribute(NamedTuple):
    """A known attribute of the items: the value of each item, [N], and all possible values."""

    of: tuple[str, ...]
    values: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Source:
    """N items of one catalog.

    Attributes:
        name: its name.
        record: its entry in the model card, as JSON values.
        texts: view -> [N] cleaned texts.
        captions: template -> [N] cleaned captions with the same content.
        pictures: view -> [N, S, S, 3].
        groups: [N] group of each item; items of one group have the same content.
        train: training rows.
        held_out: rows of the evaluation.
        attributes: known attributes by name.
    """

    name: str
    record: dict[str, Any]
    texts: Mapping[str, tuple[str, ...]]
    captions: tuple[tuple[str, ...], ...]
    pictures: Mapping[str, Pixels]
    groups: NDArray[np.int64]
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    attributes: Mapping[str, Attribute]


def resized_picture(picture: Image.Image, side: int) -> Pixels:
    """Return a picture resized to [side, side, 3] as by the BLIP processor: bicubic, not keeping the aspect ratio."""
    if picture.size == (side, side):
        return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC), dtype=np.uint8)


def catalog_source(
    name: str,
    catalog: Catalog,
    record: Mapping[str, Any],
    training: TrainingSettings,
    side: int,
    *,
    table: Callable[[str, int], Pixels],
    progress: Progress = silent,
) -> Source:
    """Return the items of a catalog that have a picture and a text, with a random share of them held out.

    The title is used as the caption.

    Args:
        name: name of the catalog.
        catalog: texts and pictures.
        record: its entry in the model card; counts are added.
        training: limits on words, share of held-out items, seed.
        side: height and width of the pictures in pixels.
        table: function (view, N) that allocates the array [N, S, S, 3] of the pictures.
        progress: reports the number of decoded pictures.

    Raises:
        RobustrecError: there are no pictures, or fewer than 20 items with picture and text.
    """
    if catalog.pictures is None or catalog.n_pictures == 0:
        raise RobustrecError(
            "the catalog has no pictures; training needs pairs of picture and text",
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
                pixels[len(kept)] = resized_picture(picture, side)
                kept.append(row)
        except RobustrecError as error:
            reasons.append(f"{error.where}: {error.what}")
        progress(f"decoding the pictures of {name}", done, len(wanted))
    if len(kept) < MIN_ITEMS:
        raise RobustrecError(
            f"at least {MIN_ITEMS} items with a text and a readable picture are required, but got {len(kept)}",
            where=f"--dataset {name}" + (f"; the first unreadable: {reasons[0]}" if reasons else ""),
            fix="give a larger catalog, or several: --dataset ONE --dataset OTHER",
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
        groups=group_numbers(chosen),
        train=train,
        held_out=held_out,
        attributes={},
    )


MIN_ITEMS = 20
"""Minimum number of pairs for training and evaluation."""


def split(n: int, share: float, seed: int, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return training rows and held-out rows, both sorted and not empty."""
    order = numpy_generator(seed, "pretrain split", name).permutation(n)
    apart = min(max(round(n * share), 1), n - 1)
    return np.sort(order[apart:]), np.sort(order[:apart])


def group_numbers(keys: Sequence[object]) -> NDArray[np.int64]:
    """Return a number for each key; equal keys have equal numbers."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def training_texts(sources: Sequence[Source]) -> Iterator[str]:
    """Yield the texts and captions of all training items, for the vocabulary."""
    for source in sources:
        for texts in (*source.texts.values(), *source.captions):
            yield from (texts[row] for row in source.train)
