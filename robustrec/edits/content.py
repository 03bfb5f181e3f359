"""What a merchant says and shows of one item, and how it becomes the text that is encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

    from robustrec.datasets.catalog import Catalog

Modality = Literal["text", "image"]


@dataclass(frozen=True, eq=False)
class Content:
    """What a merchant says and shows of one item; immutable, the picture too: copy it before drawing on it.

    Attributes:
        title: name of the item.
        brand: maker.
        categories: labels of its category path.
        description: longer text.
        picture: RGB; None where the item has none.
    """

    title: str
    brand: str
    categories: tuple[str, ...]
    description: str
    picture: Image.Image | None


def content_of(catalog: Catalog, row: int, *, picture: bool = True) -> Content:
    """Return the content of an item, such that `text_of` it is `catalog.texts[row]`.

    Args:
        catalog: texts and pictures.
        row: the item.
        picture: False leaves the picture undecoded, for edits of the text alone.

    Raises:
        RobustrecError: the item's picture is missing, above the limits, or unreadable.
    """
    image = catalog.picture(row) if picture else None
    item = catalog.items[row] if catalog.items else None
    if item is not None:
        content = Content(item.title, item.brand, item.categories, item.description, image)
        if text_of(content) == catalog.texts[row]:
            return content
    # Only the text is known, or it was replaced: it stands where the title would.
    return Content(catalog.texts[row], "", (), "", image)


def text_of(content: Content) -> str:
    """Return the text that is encoded, by the rule every catalogue text is made with (spec 1.3)."""
    from robustrec.datasets.catalog import sentence

    return sentence(content)


def changed(before: Content, after: Content) -> tuple[Modality, ...]:
    """Return the modalities in which an encoder would see a difference, in the order image, text."""
    image: tuple[Modality, ...] = () if same_picture(before.picture, after.picture) else ("image",)
    text: tuple[Modality, ...] = () if text_of(before) == text_of(after) else ("text",)
    return (*image, *text)


def same_picture(a: Image.Image | None, b: Image.Image | None) -> bool:
    """Return whether two pictures have the same size, mode and pixels; None is like None alone."""
    if a is b:
        return True
    return (
        a is not None and b is not None and a.size == b.size and a.mode == b.mode and bool(a.tobytes() == b.tobytes())
    )
