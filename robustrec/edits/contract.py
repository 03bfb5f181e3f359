"""Contract of edits: pure functions with a declaration, and their application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import numpy as np

from robustrec.edits.content import Content, Modality, changed
from robustrec.errors import RobustrecError, described

if TYPE_CHECKING:
    from robustrec.edits.view import CatalogueView

SEVERITIES = (1, 2, 3, 4, 5)
MODALITIES: tuple[Modality, ...] = ("image", "text")

Change = Callable[[Content, int, np.random.Generator, "CatalogueView"], Content]
"""`(content, severity 1..5, generator, view) -> content`; the same object if the edit does not apply to the item.

Random draws must not depend on the severity, so that severities differ in nothing else for the same generator state.
"""

ChangeT = TypeVar("ChangeT", bound=Change)

Kind = Literal["edit", "fault"]
"""Whether merchants do it on purpose, or by an error of an upload. Means over edits leave faults out."""

KINDS: tuple[Kind, ...] = ("edit", "fault")

Meaning = Literal["kept", "changed"]
"""Whether the item is still the same product after the edit, or has become another one or another offer."""

MEANINGS: tuple[Meaning, ...] = ("kept", "changed")

_DECLARED = "robustrec_edit"


class Declaration(NamedTuple):
    """Declaration of an edit.

    Attributes:
        modality: modality that it changes; the other one stays the same.
        scale: quantity that the severity sets.
        steps: its value at severities 1 to 5.
        kind: "edit" or "fault".
        meaning: "kept", or "changed" if it says or shows another product, colour, season or number of pieces.
    """

    modality: Modality
    scale: str
    steps: tuple[str, ...]
    kind: Kind = "edit"
    meaning: Meaning = "kept"


def changes(
    modality: Modality, *, scale: str, steps: Iterable[str], kind: Kind = "edit", meaning: Meaning = "kept"
) -> Callable[[ChangeT], ChangeT]:
    """Declare a function as an edit; the first line of its docstring is its description.

    Args:
        modality: "text" or "image".
        scale: quantity that the severity sets, in a few words.
        steps: its value at severities 1 to 5.
        kind: "fault" for what is an error of an upload rather than an edit, such as the picture of another item.
        meaning: "changed" for what says or shows another product, colour, season or number of pieces.
    """

    def declared(function: ChangeT) -> ChangeT:
        vars(function)[_DECLARED] = Declaration(modality, scale, tuple(steps), kind, meaning)
        return function

    return declared


def declaration_of(function: object) -> Declaration | None:
    """Return the declaration of a function by `changes`, or None."""
    found = getattr(function, _DECLARED, None)
    return found if isinstance(found, Declaration) else None


@dataclass(frozen=True)
class Edit:
    """A named edit.

    Attributes:
        name: its name in suites and options.
        place: its source, "module:function".
        declaration: modality, scale and steps.
        change: the pure function.
        own: whether it is part of robustrec; other edits are checked when they are applied.
    """

    name: str
    place: str
    declaration: Declaration
    change: Change
    own: bool = True

    @property
    def modality(self) -> Modality:
        """The modality that it changes."""
        return self.declaration.modality

    @property
    def fault(self) -> bool:
        """Whether it is an upload fault, which means over edits leave out."""
        return self.declaration.kind == "fault"

    @property
    def keeps_meaning(self) -> bool:
        """Whether the item is still the same product after it."""
        return self.declaration.meaning == "kept" and not self.fault

    @property
    def behaviour(self) -> str:
        """Its description: the first line of the docstring of the function."""
        return (self.change.__doc__ or "").strip().partition("\n")[0]

    def severity(self, severity: int) -> str:
        """Return a description of a severity from 1 to 5."""
        return f"{self.declaration.scale}: {self.declaration.steps[severity - 1]}"


def apply_edit(
    edit: Edit, content: Content, severity: int, generator: np.random.Generator, view: CatalogueView
) -> Content:
    """Return the content after an edit.

    For severity 0, and for an item to which the edit does not apply (no picture, no brand), the result is the same
    object `content`; see `touched`.

    Args:
        edit: the edit.
        content: the item.
        severity: 0 (no change) to 5.
        generator: source of all randomness; equal states give equal results.
        view: the rest of the catalog.

    Raises:
        RobustrecError: the severity is not in 0..5, or a user-defined edit raises, does not return a `Content` with an
            RGB picture, changes its input, or changes another modality than declared.
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
    """Return whether `apply_edit` changed the item; False for severity 0 or if the edit does not apply to it."""
    return after is not before


def watched(edit: Edit) -> Change:
    """Return the function of a user-defined edit with checks.

    The result raises RobustrecError if the function raises, does not return a `Content`, changes its input, or changes
    another modality than declared.
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
