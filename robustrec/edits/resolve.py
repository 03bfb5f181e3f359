"""Import of edits by name; user-defined edits are checked before work starts."""

from __future__ import annotations

import inspect
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from robustrec.edits import EDITS
from robustrec.edits.content import Content, changed
from robustrec.edits.contract import KINDS, MEANINGS, MODALITIES, SEVERITIES, Declaration, Edit, declaration_of, watched
from robustrec.edits.view import CatalogueView
from robustrec.errors import RobustrecError, unknown_name
from robustrec.plugins import Plugins

if TYPE_CHECKING:
    from PIL import Image

_PLUGINS = Plugins("robustrec.edits", "edit", "function", EDITS)
_DECLARE = (
    'declare it: @robustrec.edits.contract.changes("text", scale="...", steps=("...", "...", "...", "...", "..."))'
)


def resolved(name: str, *, where: str) -> Edit:
    """Return the edit of a name; see `robustrec.edits.edit`."""
    if name in EDITS:
        module, _, attribute = EDITS[name].partition(":")
        return _edit(name, EDITS[name], getattr(import_module(module), attribute), where, own=True)
    found = _PLUGINS.load(name, where=where)
    if found is None:
        raise unknown_name("edit", name, [*EDITS, *_PLUGINS.points()], where=where)
    return _tried(_edit(name, found[1], found[0], where, own=False))


def entry_point_names() -> list[str]:
    """Return the names of installed edits of other packages, sorted.

    Raises:
        RobustrecError: two packages have the same name, or one has the name of a built-in edit.
    """
    return sorted(_PLUGINS.points())


def _edit(name: str, place: str, function: object, where: str, *, own: bool) -> Edit:
    declared = declaration_of(function)
    if not callable(function):
        raise RobustrecError(
            f"{name!r} must be a function, but got {type(function).__name__}", where=where, fix="name a function"
        )
    if declared is None:
        raise RobustrecError(f"{name!r} does not declare what it changes", where=f"{where}: {place}", fix=_DECLARE)
    found = Edit(name, place, declared, function, own)
    _check_declaration(found, declared)
    return found


def _check_declaration(edit: Edit, declared: Declaration) -> None:
    if declared.modality not in MODALITIES:
        raise unknown_name("modality", str(declared.modality), MODALITIES, where=f"edit {edit.name}: {edit.place}")
    if declared.kind not in KINDS:
        raise unknown_name("kind of edit", str(declared.kind), KINDS, where=f"edit {edit.name}: {edit.place}")
    if declared.meaning not in MEANINGS:
        raise unknown_name("meaning", str(declared.meaning), MEANINGS, where=f"edit {edit.name}: {edit.place}")
    if not edit.behaviour or len(declared.steps) != len(SEVERITIES) or not all(map(str.strip, declared.steps)):
        raise RobustrecError(
            f"the edit {edit.name!r} has no docstring, or fewer than five steps",
            where=edit.place,
            fix="describe the edit in the first line of the docstring, and the effect of each severity from 1 to 5 in"
            " steps",
        )


def _tried(edit: Edit) -> Edit:
    """Return the edit after a check on a synthetic item at every severity.

    Raises:
        RobustrecError: the signature is wrong, `apply_edit` fails, or results differ for one generator state.
    """
    view = CatalogueView(trending=("gift", "summer"), brands=("Acme",))
    whole = Content("Blue cotton shirt", "Acme", ("Clothing", "Shirts"), "A blue shirt. Made of cotton.", _picture())
    try:
        inspect.signature(edit.change).bind(whole, 1, np.random.default_rng(0), view)
    except (TypeError, ValueError) as error:
        raise RobustrecError(
            f"the edit {edit.name!r} does not take (content, severity, generator, view): {error}",
            where=edit.place,
            fix="write def name(content, severity, generator, view): ...",
        ) from error
    bare = replace(whole, title="", brand="", categories=(), description="", picture=None)
    change = watched(edit)
    for severity in SEVERITIES:
        for content in (whole, bare):
            first, second = (change(content, severity, np.random.default_rng(severity), view) for _ in range(2))
            if changed(first, second):
                raise RobustrecError(
                    f"the edit {edit.name!r} gives different results for the same generator state",
                    where=edit.place,
                    fix="use only the given generator for random numbers",
                )
    return edit


def _picture() -> Image.Image:
    """Return a small picture in which no two pixels are equal."""
    from PIL import Image

    rows, columns = np.mgrid[0:18, 0:24]
    return Image.fromarray(np.stack([rows * 14, columns * 10, 255 - rows * columns // 2], axis=2).astype(np.uint8))
