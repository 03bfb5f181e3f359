"""Items to edit: the sample editions, and made-up ones with everything that goes wrong in catalogues."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rapidfuzz.distance import Levenshtein

from robustrec.datasets.registry import Dataset, load_dataset
from robustrec.edits import EDITS, edit
from robustrec.edits.content import Content
from robustrec.edits.contract import Edit, apply_edit
from robustrec.edits.view import CatalogueView, view_of

OURS: dict[str, Edit] = {name: edit(name) for name in EDITS}


@pytest.fixture(scope="session")
def clothing(sample_home: Path) -> Dataset:
    return load_dataset("clothing", home=sample_home, edition="sample")


@pytest.fixture(scope="session")
def view(clothing: Dataset) -> CatalogueView:
    return view_of(clothing)


def noise_picture(width: int, height: int, *, seed: int = 0) -> Image.Image:
    """A picture of soft random blots; one pixel a blot where it is small."""
    rng = np.random.default_rng(seed)
    blots = rng.integers(0, 256, (min(height, 12), min(width, 12), 3), dtype=np.uint8)
    return Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC)


def product(colour: tuple[int, int, int] = (200, 30, 40), side: int = 80, ground: int = 255) -> Image.Image:
    """A good of one colour on a plain background: a quarter of the picture, in its middle."""
    image = Image.new("RGB", (side, side), (ground,) * 3)
    image.paste(colour, (side // 4, side // 4, 3 * side // 4, 3 * side // 4))
    return image


def shirt(picture: Image.Image | None = None) -> Content:
    return Content(
        "Acme red striped shirt, cotton",
        "Acme",
        ("Clothing", "Shirts"),
        "A red shirt for summer. It is made of cotton. From Acme. Made for men.",
        picture or product(),
    )


def applied(name: str, content: Content, severity: int, *, seed: int = 0, view: CatalogueView | None = None) -> Content:
    return apply_edit(OURS[name], content, severity, np.random.default_rng(seed), view or CatalogueView())


def pixels(content: Content) -> NDArray[np.int16]:
    assert content.picture is not None
    return np.asarray(content.picture).astype(np.int16)


def snapshot(content: Content) -> tuple[object, ...]:
    """All that a content holds, by value."""
    picture = content.picture
    held = None if picture is None else (picture.mode, picture.size, picture.tobytes())
    return (content.title, content.brand, content.categories, content.description, held)


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance."""
    return Levenshtein.distance(a, b)
