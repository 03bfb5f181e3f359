"""Content of an item: texts and picture, and the text that encoders read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

    from robustrec.datasets.catalog import Catalog

Modality = Literal["text", "image"]


@dataclass(frozen=True, eq=False)
class Content:
    """Content of an item. It is immutable, including the picture: copy the picture before drawing on it.

    Attributes:
        title: name of the item.
        brand: maker.
        categories: labels of its category path.
        description: longer text.
        picture: RGB; None for an item without picture.
        row: number of the item in its catalog, if it is of one.
    """

    title: str
    brand: str
    categories: tuple[str, ...]
    description: str
    picture: Image.Image | None
    row: int | None = None


def content_of(catalog: Catalog, row: int, *, picture: bool = True) -> Content:
    """Return the content of an item, such that `text_of` it is `catalog.texts[row]`.

    Args:
        catalog: texts and pictures.
        row: the item.
        picture: whether the picture is decoded; False for text edits.

    Raises:
        RobustrecError: the item's picture is missing, above the limits, or unreadable.
    """
    image = catalog.picture(row) if picture else None
    item = catalog.items[row] if catalog.items else None
    if item is not None:
        content = Content(item.title, item.brand, item.categories, item.description, image, row)
        if text_of(content) == catalog.texts[row]:
            return content
    # If only the text is known, it is used as the title.
    return Content(catalog.texts[row], "", (), "", image, row)


def text_of(content: Content) -> str:
    """Return the text that encoders read: title, brand, categories and description."""
    from robustrec.datasets.catalog import sentence

    return sentence(content)


def changed(before: Content, after: Content) -> tuple[Modality, ...]:
    """Return the modalities with a difference for an encoder, in the order image, text."""
    image: tuple[Modality, ...] = () if same_picture(before.picture, after.picture) else ("image",)
    text: tuple[Modality, ...] = () if text_of(before) == text_of(after) else ("text",)
    return (*image, *text)


def same_picture(a: Image.Image | None, b: Image.Image | None) -> bool:
    """Return whether two pictures have the same size, mode and pixels; None is equal to None only."""
    if a is b:
        return True
    return (
        a is not None and b is not None and a.size == b.size and a.mode == b.mode and bool(a.tobytes() == b.tobytes())
    )
