"""From the name of an edit to its function; users' own are tried before any work starts."""

from __future__ import annotations

import inspect
from dataclasses import replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

import numpy as np

from robustrec.edits import EDITS
from robustrec.edits.content import Content, changed
from robustrec.edits.contract import MODALITIES, SEVERITIES, Declaration, Edit, declaration_of, watched
from robustrec.edits.view import CatalogueView
from robustrec.errors import RobustrecError, described, unknown_name
from robustrec.own_code import import_own

if TYPE_CHECKING:
    from PIL import Image

GROUP = "robustrec.edits"
_DECLARE = (
    'declare it: @robustrec.edits.contract.changes("text", scale="...", steps=("...", "...", "...", "...", "..."))'
)


def resolved(name: str, *, where: str) -> Edit:
    """Return the edit of a name; see `robustrec.edits.edit`."""
    if name in EDITS:
        module, _, attribute = EDITS[name].partition(":")
        return _edit(name, EDITS[name], getattr(import_module(module), attribute), where, own=True)
    points = _points()
    if name in points:
        point = points[name]
        return _tried(_edit(name, point.value, _loaded(point), where, own=False))
    if ":" in name:
        return _tried(_edit(name, name, _imported(name, where), where, own=False))
    raise unknown_name("edit", name, [*EDITS, *points], where=where)


def entry_point_names() -> list[str]:
    """Return the names of installed edits that are not ours, sorted.

    Raises:
        RobustrecError: two packages offer the same name, or one of ours.
    """
    return sorted(_points())


def _points() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        earlier = EDITS.get(point.name) or (found[point.name].value if point.name in found else None)
        if earlier is not None and earlier != point.value:
            raise RobustrecError(
                f"two edits are named {point.name!r}: {earlier} and {point.value}",
                where=f"entry points of the group {GROUP}",
                fix=f"rename or uninstall one; pip show {point.dist.name if point.dist else point.module}",
            )
        found[point.name] = point
    return found


def _loaded(point: EntryPoint) -> object:
    try:
        return point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a broken plugin must be seen, whatever it raises
        raise RobustrecError(
            f"the edit {point.name!r} cannot be imported: {described(error)}",
            where=f"entry point {point.name} = {point.value}",
            fix=f"repair or uninstall the package {point.dist.name if point.dist else point.module}",
        ) from error


def _imported(name: str, where: str) -> object:
    module, _, attribute = name.partition(":")
    try:
        found: object = import_own(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise RobustrecError(
            f"the edit {name!r} cannot be imported: {described(error)}",
            where=where,
            fix=f"expected package.module:function; try: python -c 'from {module or 'package.module'} import "
            f"{attribute or 'function'}'",
        ) from error
    return found


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
    if not edit.behaviour or len(declared.steps) != len(SEVERITIES) or not all(map(str.strip, declared.steps)):
        raise RobustrecError(
            f"the edit {edit.name!r} has no docstring, or fewer than five steps",
            where=edit.place,
            fix="describe the edit in the first line of the docstring, and the effect of each severity from 1 to 5 in"
            " steps",
        )


def _tried(edit: Edit) -> Edit:
    """Return the edit after trying it on a made-up item at every severity.

    Raises:
        RobustrecError: wrong signature, or a fault that `apply_edit` would find, or two results from one state.
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
