"""What an edit is: a pure function with a declaration beside it, and the one way to apply it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from robustrec.edits.content import Content, Modality, changed
from robustrec.errors import RobustrecError, described

if TYPE_CHECKING:
    from robustrec.edits.view import CatalogueView

SEVERITIES = (1, 2, 3, 4, 5)
MODALITIES: tuple[Modality, ...] = ("image", "text")

Change = Callable[[Content, int, np.random.Generator, "CatalogueView"], Content]
"""`(content, severity 1..5, generator, view) -> content`; `content` itself where the item lacks what it edits.

What is drawn must not depend on the severity, so that with one generator state the severity is the only difference.
"""

ChangeT = TypeVar("ChangeT", bound=Change)

_DECLARED = "robustrec_edit"


class Declaration(NamedTuple):
    """What an edit says about itself.

    Attributes:
        modality: what it touches; the other modality stays as it was.
        scale: what the severity sets.
        steps: its value at severities 1 to 5.
    """

    modality: Modality
    scale: str
    steps: tuple[str, ...]


def changes(modality: Modality, *, scale: str, steps: Iterable[str]) -> Callable[[ChangeT], ChangeT]:
    """Declare a function as an edit; the first line of its docstring says which merchant behaviour it stands for.

    Args:
        modality: "text" or "image".
        scale: what the severity sets, in a few words.
        steps: its value at severities 1 to 5.
    """

    def declared(function: ChangeT) -> ChangeT:
        vars(function)[_DECLARED] = Declaration(modality, scale, tuple(steps))
        return function

    return declared


def declaration_of(function: object) -> Declaration | None:
    """Return what a function declared by `changes`, None where it declared nothing."""
    found = getattr(function, _DECLARED, None)
    return found if isinstance(found, Declaration) else None


@dataclass(frozen=True)
class Edit:
    """An edit by its name.

    Attributes:
        name: as a suite or an option names it.
        place: "module:function" it comes from.
        declaration: modality, scale and steps.
        change: the pure function.
        own: whether it comes with robustrec; others are watched more closely when they are applied.
    """

    name: str
    place: str
    declaration: Declaration
    change: Change
    own: bool = True

    @property
    def modality(self) -> Modality:
        """What it touches."""
        return self.declaration.modality

    @property
    def behaviour(self) -> str:
        """Which merchant behaviour it stands for: the first line of the function's docstring."""
        return (self.change.__doc__ or "").strip().partition("\n")[0]

    def severity(self, severity: int) -> str:
        """Return in words what a severity of 1 to 5 does."""
        return f"{self.declaration.scale}: {self.declaration.steps[severity - 1]}"


def apply_edit(
    edit: Edit, content: Content, severity: int, generator: np.random.Generator, view: CatalogueView
) -> Content:
    """Return the content as a merchant leaves it after an edit.

    Severity 0, and an item that lacks what the edit changes (no picture, no brand), give back the very object
    `content`, which `touched` tells.

    Args:
        edit: the edit.
        content: the item.
        severity: 0 (nothing happens) to 5.
        generator: source of all randomness; equal states give equal bytes.
        view: what a merchant could take from the rest of the catalogue.

    Raises:
        RobustrecError: the severity is none of 0..5, or a user's edit raised, returned something else than a `Content`
            with an RGB picture, edited in place, or touched another modality than it declared.
    """
    if isinstance(severity, bool) or not isinstance(severity, int | np.integer) or not 0 <= severity <= SEVERITIES[-1]:
        raise RobustrecError(
            f"severity {severity!r}", where=f"edit {edit.name}", fix="use 0 (no change) or 1 (weakest) to 5 (strongest)"
        )
    if severity == 0:
        return content
    change = edit.change if edit.own else watched(edit)
    after = change(content, int(severity), generator, view)
    return after if after is not content and changed(content, after) else content


def touched(before: Content, after: Content) -> bool:
    """Return whether `apply_edit` changed the item; False for severity 0 and for items that lack what it edits."""
    return after is not before


def watched(edit: Edit) -> Change:
    """Return the function of a user's edit with checks around it.

    What is returned raises a RobustrecError where the function raises, returns something else than a `Content`,
    edits in place, or touches another modality than it declares.
    """

    def change(content: Content, severity: int, generator: np.random.Generator, view: CatalogueView) -> Content:
        state = _state(content)
        try:
            after = edit.change(content, severity, generator, view)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise _fault(
                edit,
                f"failed at severity {severity}: {described(error)}",
                "correct the function; it must also accept items without a picture and with empty texts",
            ) from error
        if _state(content) != state:
            raise _fault(edit, "modified its input in place", "work on a copy: content.picture.copy()")
        _check_result(edit, after)
        others = [modality for modality in changed(content, after) if modality != edit.modality]
        if others:
            raise _fault(
                edit,
                f"declares {edit.modality!r}, but changed the {others[0]}",
                "change only the declared modality, or split it into two edits",
            )
        return after

    return change


def _check_result(edit: Edit, after: object) -> None:
    if not isinstance(after, Content):
        raise _fault(
            edit,
            f"returned a {type(after).__name__}",
            "return a robustrec.edits.content.Content: dataclasses.replace(content, title=...)",
        )
    texts = (after.title, after.brand, after.description)
    labels = after.categories
    if not isinstance(labels, tuple) or not all(isinstance(text, str) for text in (*texts, *labels)):
        raise _fault(
            edit, "returned texts that are not strings, or categories that are not a tuple of strings", "return strings"
        )
    picture = after.picture
    if picture is not None and (getattr(picture, "mode", None) != "RGB" or min(picture.size) < 1):
        raise _fault(edit, f"returned the picture {picture!r:.80}", 'return an RGB picture: picture.convert("RGB")')


def _state(content: Content) -> tuple[object, ...]:
    import hashlib

    picture = content.picture
    pixels = None if picture is None else hashlib.blake2b(picture.tobytes()).digest()
    texts = (content.title, content.brand, content.categories, content.description)
    return (*texts, id(picture), pixels, picture and (picture.mode, picture.size))


def _fault(edit: Edit, what: str, fix: str) -> RobustrecError:
    return RobustrecError(f"the edit {edit.name!r} {what}", where=edit.place, fix=fix)
