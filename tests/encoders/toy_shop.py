"""A toy shop: every item has a colour and a shape, drawn in its picture and said in its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from robustrec.datasets.catalog import Catalog
from robustrec.datasets.interactions import Interactions
from robustrec.datasets.pictures import PictureSource
from robustrec.datasets.registry import Dataset

COLOURS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 200), "yellow": (230, 210, 40)}
SHAPES = ("cup", "lamp", "rug")

MakeDataset = Callable[..., Dataset]


def toy_text(item: int) -> str:
    colour, shape = list(COLOURS)[item % 4], SHAPES[item % 3]
    return f"{colour} {shape} number {item} made for everyday use"


def toy_picture(item: int) -> Image.Image:
    rng = np.random.default_rng(item)
    image = Image.new("RGB", (64, 64), (240, 240, 235))
    draw = ImageDraw.Draw(image)
    colour = list(COLOURS.values())[item % 4]
    left, top = rng.integers(6, 16, 2)
    box = (int(left), int(top), int(left) + 36, int(top) + 36)
    if item % 3 == 0:
        draw.ellipse(box, fill=colour)
    elif item % 3 == 1:
        draw.polygon([(box[0], box[3]), (box[2], box[3]), ((box[0] + box[2]) // 2, box[1])], fill=colour)
    else:
        draw.rectangle(box, fill=colour)
    return image


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """Make a dataset of toy items; `pictures` replaces the bytes of single pictures (None: no picture)."""
    made = 0

    def make(
        n: int = 24,
        *,
        texts: Sequence[str] | None = None,
        pictures: dict[int, bytes | None] | None = None,
        with_pictures: bool = True,
        feature_files: dict[str, Path] | None = None,
        with_catalog: bool = True,
    ) -> Dataset:
        nonlocal made
        made += 1
        folder = tmp_path / f"dataset-{made}"
        folder.mkdir()
        entries: list[str | None] = [f"{item}.png" for item in range(n)]
        for item in range(n) if with_pictures else ():
            path = folder / f"{item}.png"
            content = (pictures or {}).get(item, b"")
            if content is None:
                entries[item] = None
            elif content:
                path.write_bytes(content)
            else:
                toy_picture(item).save(path)
        catalog = Catalog(
            tuple(texts) if texts is not None else tuple(map(toy_text, range(n))),
            tuple(f"item {item}" for item in range(n)),
            PictureSource(folder, entries) if with_pictures else None,
        )
        users = np.zeros(n, np.int64)
        interactions = Interactions(users, np.arange(n, dtype=np.int64), np.zeros(n, np.int8), 1, n)
        return Dataset(
            "toy",
            "full",
            interactions,
            catalog if with_catalog else None,
            None,
            feature_files or {},
            (),
            f"digest {made}",
            folder,
            False,
        )

    return make
