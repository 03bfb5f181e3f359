"""The option --columns: names in the order of the file, or `kind=name` for columns that are named otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from robustrec.columns import COLUMN_NAME
from robustrec.datasets.formats.catalogs import NAMED_KINDS, OWN
from robustrec.datasets.naming import ALIASES, places_of, plain, repeated_name
from robustrec.errors import RobustrecError

_KINDS = ("user", "item", "rating", "timestamp", "label", *NAMED_KINDS[1:])


def column_names(columns: Sequence[str] | None) -> dict[str, str] | None:
    """Return the column name by kind where the option has the form `user=uid,item=sku`; None for names in order.

    Raises:
        RobustrecError: a part is not `kind=name`, a kind is unknown or is there twice, or both forms are mixed.
    """
    if columns is None or not any("=" in each for each in columns):
        return None
    found: dict[str, str] = {}
    for each in columns:
        said, equals, name = each.partition("=")
        kind = next((kind for kind in _KINDS if plain(said) in (kind, *ALIASES[kind])), None)
        if plain(said) in ALIASES["split"]:
            kind = "label"
        if kind is None:
            kind = _own(said)
        same = [other for other, column in found.items() if column == name.strip()]
        again = bool(same) and any(other.startswith(OWN) for other in (*same, kind or ""))
        if not equals or kind is None or kind in found or again or not name.strip():
            problem = "is there twice" if kind in found else "is not KIND=COLUMN with a known kind"
            problem = "names a column that another kind names" if again else problem
            raise RobustrecError(
                f"{each[:60]!r} {problem}",
                where="option --columns",
                fix=f"name columns as in --columns user=customer,item=sku; kinds: {', '.join(_KINDS)}, or your name of "
                "a further column of the catalog in lower case: margin=COLUMN",
            )
        found[kind] = name.strip()
    return found


def _own(said: str) -> str | None:
    """Return the kind of a further column of the catalog under a name of the user; None where it is no such name.

    What is almost a known kind is a misspelt one.
    """
    known = [alias for kind in _KINDS for alias in (kind, *ALIASES[kind])]
    if not re.fullmatch(COLUMN_NAME, said) or get_close_matches(plain(said), known, n=1, cutoff=0.8):
        return None
    return OWN + said


def mapped_places(header: Sequence[str], named: Mapping[str, str], kinds: Iterable[str], place: str) -> dict[str, int]:
    """Return the position of each column: those that the user named, and others by their usual names.

    Raises:
        RobustrecError: the header has no column of a name that the user gave, or has it twice.
    """
    wanted = tuple(kinds)
    places: dict[str, int] = {}
    for kind in wanted:
        if kind not in named:
            continue
        exact = [at for at, name in enumerate(header) if name.strip() == named[kind]]
        found = exact or [at for at, name in enumerate(header) if plain(name) == plain(named[kind])]
        if len(found) != 1:
            problem = "not found" if not found else "there several times"
            raise RobustrecError(
                f"column {named[kind][:60]!r} is {problem}: the columns are {[name[:60] for name in header[:8]]}",
                where=place,
                fix=f"name the column in --columns as the file does: {kind}=COLUMN",
            )
        places[kind] = found[0]
    usual = places_of(header, [kind for kind in wanted if kind not in named])
    return {**{kind: at for kind, at in usual.items() if at not in places.values()}, **places}


def check_columns(
    header: Sequence[str], columns: Sequence[str] | None, places: Mapping[str, int], kinds: Sequence[str], place: str
) -> None:
    """Refuse two columns of one name, and a header that says something else of a column than `columns`.

    Args:
        header: the header, empty without one.
        columns: the names that the user gave in the order of the file, if any.
        places: position of each column that is read.
        kinds: the kinds of columns that are told apart.
        place: the place of the header, for messages.

    Raises:
        RobustrecError: such a column.
    """
    twice = repeated_name(columns if columns is not None else header, places)
    if twice is not None:
        raise RobustrecError(
            f"two columns are called {twice[:60]!r}",
            where="option --columns" if columns is not None else place,
            fix="name the columns in their order, with - for those that are not to be read, for example: "
            f"--columns {','.join(kinds[:3])},-",
        )
    named = sorted(places.items(), key=lambda each: each[1]) if columns is not None else []
    for kind, at in named:
        said = next((other for other in places_of(header[at : at + 1], kinds) if other != kind), None)
        if said is not None:
            raise RobustrecError(
                f"column {at + 1} is called {header[at][:60]!r} in the file and {kind} in --columns",
                where=place,
                fix="leave out --columns, or correct it, or cut the header out of the file",
            )
