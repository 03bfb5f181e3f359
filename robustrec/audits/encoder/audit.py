"""Distances between an item and its edited version, before and after the encoder, and their ratios.

The size ‖η‖ of an edit needs a unit. Here it is, for each modality from 0 to 1:

- text: the word edit distance (Levenshtein over lower-case words) as a share of the longer text's words;
- image: the root mean square difference of all pixels and channels, each from 0 to 1, at the first picture's size;
  1 where one of the two has no picture.

A factor ‖f(x+η) − f(x)‖ / ‖η‖ depends on this unit and on the scale of the encoder. The contraction has no unit, so it
can compare encoders: both norms are relative to the median distance between two different items, before and after the
encoder. Below 1 the encoder reduces the edit, and above 1 it amplifies the edit, relative to differences of items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rapidfuzz.distance import Levenshtein

from robustrec.audits.encoder.config import EncoderAudit
from robustrec.edits.content import Content, text_of
from robustrec.runs.treatments import treatments_of
from robustrec.seeds import numpy_generator

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
Thing = TypeVar("Thing")

PAIRS = 256
"""Number of random pairs of items for the median distance."""


class VectorShifts(NamedTuple):
    """Items under one edit at one severity.

    Attributes:
        items: [n] which items it changed, ascending.
        sizes: [n] ‖η‖ of each, the mean of both modalities' where it touches both.
        moved: name of the vector -> [n] ‖f(x+η) − f(x)‖.
        hidden: mean share of the changed pixels that the encoder does not see; None if not known, or if none changed.
    """

    items: NDArray[np.int64]
    sizes: Floats
    moved: dict[str, Floats]
    hidden: float | None = None


def chosen_items(n_items: int, n: int, *, seed: int) -> list[int]:
    """Return n random items (seeded), ascending; all items if there are fewer."""
    order = numpy_generator(seed, "encoder audit", n_items).permutation(n_items)
    return sorted(order[:n].tolist())


def encodings_of(audit: EncoderAudit, n_items: int, *, clean: bool) -> int:
    """Return the largest number of items to encode."""
    n = min(audit.items, n_items)
    return n * (len(treatments_of(audit.edits)) * len(audit.severities) + (1 + audit.denoise if clean else 0))


def text_distance(before: str, after: str) -> float:
    """Return the word edit distance as a share of the longer text's words, 0 to 1; 0 for two empty texts."""
    return Levenshtein.normalized_distance(before.lower().split(), after.lower().split())


def picture_distance(before: Image.Image | None, after: Image.Image | None) -> float:
    """Return the root mean square difference of two pictures' pixels, 0 to 1, at the size of the first."""
    if before is after:
        return 0.0
    if before is None or after is None:
        return 1.0
    if after.size != before.size:
        after = after.resize(before.size, Image.Resampling.BILINEAR)
    pixels = [np.asarray(picture.convert("RGB"), dtype=np.float64) / 255.0 for picture in (before, after)]
    return float(np.sqrt(np.mean((pixels[0] - pixels[1]) ** 2)))


def size_of(before: Content, after: Content, modality: str) -> float:
    """Return ‖η‖ of an edit in one modality, "text" or "image"."""
    if modality == "text":
        return text_distance(text_of(before), text_of(after))
    return picture_distance(before.picture, after.picture)


def lengths(before: Tensor, after: Tensor) -> Floats:
    """Return ‖after − before‖ of each row, [n], in float64."""
    return np.asarray((after.double() - before.double()).norm(dim=1).numpy(), dtype=np.float64)


def median_distance(
    things: Sequence[Thing], distance: Callable[[Thing, Thing], float], random: np.random.Generator
) -> float:
    """Return the median distance over PAIRS random pairs of different objects; 0 with fewer than two."""
    n = len(things)
    if n < 2:
        return 0.0
    first = random.integers(n, size=PAIRS)
    second = (first + random.integers(1, n, size=PAIRS)) % n
    return float(np.median([distance(things[a], things[b]) for a, b in zip(first, second, strict=True)]))


def median_length(table: Tensor, random: np.random.Generator) -> float:
    """Return the median distance of two different rows of a table."""
    return median_distance(list(table.double()), lambda a, b: float((a - b).norm()), random)


def same_vectors(tables: dict[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """Return the distinct vectors by name: "fused" if all modalities share one, else the modality.

    Returns:
        name -> the modalities that hold it.
    """
    names = list(tables)
    if len(names) > 1 and all(
        tables[name].shape == tables[names[0]].shape and bool((tables[name] == tables[names[0]]).all())
        for name in names
    ):
        return {"fused": tuple(names)}
    return {name: (name,) for name in names}
