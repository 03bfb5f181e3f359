"""Fields of a catalog's record: ids, texts, labels and picture entries, in the forms that catalogs have them."""

from __future__ import annotations

import ast
import json
import math
import re
from contextlib import suppress
from typing import Any

from robustrec.datasets.naming import is_missing
from robustrec.errors import RobustrecError

MAX_TEXT = 100_000
MAX_LABELS = 1_000
MAX_LISTED = 10_000
MAX_ID = 1_000
MAX_PRICE = 1e12

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_SIGNED = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")


def id_of(value: Any) -> str:
    """Return an id as text, "" for a missing one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    name = str(value).encode("utf-8", "replace").decode().strip()
    return "" if is_missing(name) or len(name) > MAX_ID else name


def price_of(value: Any, where: str) -> float | None:
    """Return a price as a number, or None for a missing one.

    Raises:
        RobustrecError: not a plain number from 0 to MAX_PRICE; currency signs, separators of thousands and decimal
            commas are refused, because 1,234 is two numbers in two countries.
    """
    if (
        value is None
        or (isinstance(value, str) and is_missing(value))
        or (isinstance(value, float) and math.isnan(value))
    ):
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_PRICE:
        raise RobustrecError(
            f"the price {repr(value)[:60]} is not a number from 0 to {MAX_PRICE:.0e}",
            where=where,
            fix="write digits with a decimal point, such as 1234.50, without currency or separators; leave unknown "
            "prices empty",
        )
    return float(value)


def stored_price(value: Any) -> float | None:
    """Return a price that an import has stored as a number; anything else is no price."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 <= value <= MAX_PRICE else None


def own_value(value: Any, where: str) -> float | str | None:
    """Return the value of a column that the user named, as a number or a text; None for a missing one.

    A text is a number where it is digits with a decimal point and perhaps a sign.

    Raises:
        RobustrecError: not a number, a text or a truth value, a number beyond MAX_PRICE, or a text that is too long.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        if isinstance(value, float) and math.isnan(value):
            return None
        if abs(value) <= MAX_PRICE:
            return float(value)
        raise RobustrecError(
            f"{value!r} is beyond {MAX_PRICE:.0e}", where=where, fix="correct the value, or leave it empty if unknown"
        )
    text = text_of(value, where)
    return float(text) if _SIGNED.fullmatch(text) else text or None


def stored_own(value: Any) -> tuple[tuple[str, float | str], ...]:
    """Return the columns that an import has stored, numbers and texts by name; anything else is none."""
    if not isinstance(value, dict):
        return ()
    kept = [(name, each) for name, each in value.items() if isinstance(each, str | int | float)]
    return tuple(
        (str(name), each if isinstance(each, str) else float(each))
        for name, each in kept
        if not isinstance(each, bool) and (isinstance(each, str) or abs(each) <= MAX_PRICE)
    )


def image_of(value: Any) -> str:
    """Return the picture entry; the first one of a list of entries."""
    value = _listed(value)
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):  # of the datasets library, and of Amazon
        value = next(
            (value[key] for key in ("path", "file", "filename", "hi_res", "large", "url") if value.get(key)), ""
        )
    return value.strip() if isinstance(value, str) and not is_missing(value) and len(value) <= MAX_TEXT else ""


def images_of(value: Any) -> list[str]:
    """Return all picture entries of a value that `image_of` reads the first one of."""
    value = _listed(value)
    return [name for each in (value if isinstance(value, list) else [value]) if (name := image_of(each))]


def text_of(value: Any, where: str) -> str:
    """Return text with collapsed white space; missing values become "", lists of texts are joined."""
    if value is None or isinstance(value, bool):
        return ""
    value = _listed(value)
    if isinstance(value, list) and all(part is None or isinstance(part, str | int | float) for part in value):
        value = " ".join(text for part in value if part is not None and not is_missing(text := str(part)))
    if isinstance(value, int | float):
        value = str(value)
    if not isinstance(value, str):
        raise RobustrecError(
            f"expected a string, but got {type(value).__name__}", where=where, fix="write a string or null"
        )
    if len(value) > MAX_TEXT:
        raise RobustrecError(
            f"the text has {len(value)} characters, but at most {MAX_TEXT} are allowed",
            where=where,
            fix="shorten the text",
        )
    # JSON can spell half a surrogate pair, which no encoder of UTF-8 takes.
    text = " ".join(value.encode("utf-8", "replace").decode().split())
    return "" if is_missing(text) else text


def _listed(value: Any) -> Any:
    """Return the list that a text spells as JSON or Python do ("['A', 'B']" in a table); anything else as it is."""
    if not (isinstance(value, str) and value.strip()[:1] == "[" and value.strip()[-1:] == "]"):
        return value
    text = value.strip()
    if len(text) > MAX_LISTED or text.count("[") > MAX_LABELS or text.startswith("[[["):
        return value
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            found = read(text)
            parts = [part for each in found for part in (each if isinstance(each, list) else [each])]
            if all(part is None or isinstance(part, str) for part in parts):
                return found
    return value


def labels_of(value: Any, where: str) -> tuple[str, ...]:
    """Return the labels of the first path of ["A", "B"], [["A", "B"], ...] or "A|B"."""
    value = _listed(value)
    if isinstance(value, str):
        value = value.split("|")
    if isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    if value is None:
        return ()
    if not isinstance(value, list):
        raise RobustrecError(
            f"expected labels, but got {type(value).__name__}",
            where=where,
            fix='write ["A", "B"], [["A", "B"]] or "A|B"',
        )
    if len(value) > MAX_LABELS:
        raise RobustrecError(
            f"{len(value)} labels, but at most {MAX_LABELS} are allowed",
            where=where,
            fix="keep the most important labels",
        )
    return tuple(label for part in value if (label := text_of(part, where)))
