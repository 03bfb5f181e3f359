"""The synthetic items on which a user-defined encoder is checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from robustrec.encoders.own import OwnEncoder, Vectors

LONG_TEXT = " ".join(
    f"Stoneware mug number {number} with a wide handle, {250 + 10 * number} ml, dishwasher safe."
    for number in range(20)
)
_CONTENT: tuple[tuple[str, tuple[int, int] | None], ...] = (
    ("red ceramic mug", (64, 64)),
    (LONG_TEXT, (300, 200)),
    ("", (128, 96)),
    ("Wool blanket, 130 x 170 cm, grey", None),
    ("red ceramic mug", (64, 64)),
    ("Tasse à café – 350 ml ☕ 红色陶瓷杯 كوب", (37, 90)),
    ("lamp", (500, 225)),
    ("<b>Desk</b> &amp; chair set (2 pcs.)\nOak, 74 cm high, model X-1200", (224, 224)),
)


class Sample(NamedTuple):
    """A synthetic item: its number, its text ("" for none) and its picture."""

    number: int
    text: str
    picture: Image.Image | None

    def copy(self) -> Image.Image | None:
        """Return a copy of the picture."""
        return None if self.picture is None else self.picture.copy()

    def shows(self, picture: Image.Image | None) -> bool:
        """Return whether a picture is still that of this item."""
        if picture is None or self.picture is None:
            return picture is self.picture
        return picture.size == self.picture.size and picture.tobytes() == self.picture.tobytes()

    def equals(self, other: Sample) -> bool:
        """Return whether another item has the same text and picture."""
        return self.text == other.text and self.shows(other.picture)


def samples() -> tuple[Sample, ...]:
    """Return the items; items with the same text and size are equal."""
    return tuple(
        Sample(number, text, None if size is None else _picture(size, seed=len(text)))
        for number, (text, size) in enumerate(_CONTENT)
    )


def encode_samples(encoder: OwnEncoder, rows: Sequence[Sample]) -> Vectors:
    """Return the vectors of items as an audit would; see `OwnEncoder.rows`.

    Raises:
        RobustrecError: the encoder fails, or returns something else than vectors.
    """
    texts = [row.text if "text" in encoder.reads else "" for row in rows]
    pictures = [row.copy() if "picture" in encoder.reads else None for row in rows]
    return encoder.rows(texts, pictures)


def other_picture(row: Sample) -> Image.Image:
    """Return another picture of the same size."""
    assert row.picture is not None
    return _picture(row.picture.size, seed=1000 + row.number)


def _picture(size: tuple[int, int], *, seed: int) -> Image.Image:
    """Return coloured patches with noise."""
    random = np.random.default_rng(seed)
    patches = Image.fromarray(random.integers(0, 256, (5, 4, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noise = random.integers(-12, 13, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(patches).astype(np.int64) + noise, 0, 255).astype(np.uint8))
