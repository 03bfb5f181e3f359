"""Which pixels of a picture the networks of an encoder see, and the share of an edit that their crop hides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from robustrec.encoders.rows import RowEncoder

if TYPE_CHECKING:
    from robustrec.encoders.preprocessing import SeenBox


class PictureView(Protocol):
    """What is seen of a picture, such as a `PictureRule`."""

    def seen(self, width: int, height: int) -> SeenBox:
        """Return the part of a picture of this size that is seen."""


class WholePicture:
    """The view of an encoder that squeezes the whole picture into its input."""

    def seen(self, width: int, height: int) -> SeenBox:
        """Return the whole picture."""
        from robustrec.encoders.preprocessing import SeenBox  # imports torch, which plans do not need

        return SeenBox(0.0, 0.0, float(width), float(height))


def picture_views(encoder: RowEncoder) -> tuple[PictureView, ...]:
    """Return what each network of an encoder sees of a picture; () if it reads none, or if that is not known."""
    return tuple(getattr(encoder, "picture_views", ()))


def hidden_share(before: Image.Image | None, after: Image.Image | None, views: Sequence[PictureView]) -> float | None:
    """Return the share of an edit's changed pixels that no view contains, from 0 to 1.

    A pixel is seen if its centre is inside the crop. A picture of another size counts as changed everywhere.

    Args:
        before: the picture before the edit; None for none.
        after: the picture after the edit; None if the edit removed it, which is seen.
        views: what the networks see; without any, the result is None.

    Returns:
        The share; None if it is not known or no pixel changed.
    """
    if not views or before is after:
        return None
    if after is None:
        return 0.0
    boxes = [view.seen(*after.size) for view in views]
    if any(_covers(box, after) for box in boxes):
        return 0.0 if _differ(before, after) else None  # all is seen: there is nothing to count
    changed = _changed(before, after)
    total = int(changed.sum())
    if not total:
        return None
    visible = np.zeros_like(changed)
    for left, top, right, bottom in boxes:
        # Pixel i has its centre at i + 0.5.
        rows = slice(_first(top), _first(bottom))
        columns = slice(_first(left), _first(right))
        visible[rows, columns] = True
    return 1.0 - int((changed & visible).sum()) / total


def _first(edge: float) -> int:
    """Return the first pixel with a centre at or after an edge."""
    return int(np.ceil(edge - 0.5))


def _covers(box: SeenBox, picture: Image.Image) -> bool:
    """Return whether the centres of all pixels are inside a box."""
    ends = box.right >= picture.width - 0.5 and box.bottom >= picture.height - 0.5
    return box.left <= 0.5 and box.top <= 0.5 and ends


def _differ(before: Image.Image | None, after: Image.Image) -> bool:
    if before is None or before.size != after.size:
        return True
    return ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox() is not None


def _changed(before: Image.Image | None, after: Image.Image) -> NDArray[np.bool_]:
    if before is None or before.size != after.size:
        return np.ones((after.height, after.width), dtype=np.bool_)
    difference = np.asarray(ImageChops.difference(before.convert("RGB"), after.convert("RGB")))
    return np.asarray(difference.any(axis=2), dtype=np.bool_)
