"""User-defined parts by name: entry points of a group of installed packages, and "package.module:name"."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import NamedTuple

from robustrec.errors import RobustrecError, described
from robustrec.own_code import import_own


def distinct_names(part: str, entries: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return a table of built-in parts, name -> place.

    Raises:
        ValueError: a name occurs twice.
    """
    table: dict[str, str] = {}
    for name, place in entries:
        if name in table:
            raise ValueError(f"the {part} name {name!r} is registered twice: {table[name]} and {place}")
        table[name] = place
    return table


class Plugins(NamedTuple):
    """Where parts of one kind come from.

    Attributes:
        group: group of the entry points.
        part: kind of the parts in the singular, for messages: "edit".
        form: what is named after the colon, for messages: "function".
        own: name of each built-in part -> its place.
    """

    group: str
    part: str
    form: str
    own: Mapping[str, str]

    def points(self) -> dict[str, EntryPoint]:
        """Return the entry points of installed packages by name; nothing is imported.

        Raises:
            RobustrecError: two packages offer the same name, or one offers a built-in name.
        """
        found: dict[str, EntryPoint] = {}
        for point in _installed(self.group, _state_of_path()):
            earlier = self.own.get(point.name) or (found[point.name].value if point.name in found else None)
            if earlier is not None and earlier != point.value:
                raise RobustrecError(
                    f"two {self.part}s are named {point.name!r}: {earlier} and {point.value}",
                    where=f"entry points of the group {self.group}",
                    fix=f"rename or uninstall one; pip show {_package(point)}",
                )
            found[point.name] = point
        return found

    def load(self, name: str, *, where: str) -> tuple[object, str] | None:
        """Import a user-defined part and return it with its place; None if the name is not of one.

        Args:
            name: name of an entry point, or "package.module:name". The working folder is searched last.
            where: the option, or the file and key, of the name.

        Raises:
            RobustrecError: it cannot be imported.
        """
        points = self.points()
        if name in points:
            return self._loaded(points[name]), points[name].value
        return (self._imported(name, where), name) if ":" in name else None

    def _loaded(self, point: EntryPoint) -> object:
        try:
            return point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything
            raise RobustrecError(
                f"the {self.part} {point.name!r} cannot be imported: {described(error)}",
                where=f"entry point {point.name} = {point.value}",
                fix=f"repair or uninstall the package {_package(point)}",
            ) from error

    def _imported(self, name: str, where: str) -> object:
        module, _, attribute = name.partition(":")
        try:
            found: object = import_own(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise RobustrecError(
                f"the {self.part} {name!r} cannot be imported: {described(error)}",
                where=where,
                fix=f"expected package.module:{self.form}; try: python -c 'from {module or 'package.module'} import "
                f"{attribute or self.form}'",
            ) from error
        return found


@lru_cache(maxsize=8)
def _installed(group: str, _state: tuple[tuple[str, int], ...]) -> EntryPoints:
    """Return the entry points of a group; a look-up reads a file of each installed package."""
    return entry_points(group=group)


def _state_of_path() -> tuple[tuple[str, int], ...]:
    """Return the search path with the times of its folders, which change when a package is installed."""
    return tuple((folder, _changed(folder)) for folder in sys.path)


def _changed(folder: str) -> int:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module
