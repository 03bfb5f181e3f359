"""JSON and TOML with limits on size, nesting and numbers."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from robustrec.untrusted.files import DOCUMENT_BYTES, UnreadableError, read_text

MOST_LEVELS = 64
"""Nested lists and tables at most; what robustrec writes has fewer than ten."""
MOST_DIGITS = 40
"""Digits of a whole number at most; 64 bits have 20."""

# A string without its end reaches to the end of the text, so that the search stays linear.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?+', re.DOTALL)
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89abAB]")
# tomllib is quadratic in the parts of a dotted key. A search starts at a part's beginning only and never goes back.
_PART = r"(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_LONG_KEY = re.compile(rf"(?<![\w-])(?:{_PART}[ \t]*+\.[ \t]*+){{{MOST_LEVELS}}}")


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        UnreadableError: not valid JSON, or NaN, infinity, a key that occurs twice, a number of more than `MOST_DIGITS`
            digits, half of a surrogate pair, or more than `MOST_LEVELS` levels.
    """
    _check_levels(text)
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=_whole,
            parse_float=_finite,
            object_pairs_hook=_without_repeats,
        )
        if _ESCAPED_SURROGATE.search(text):
            _check_surrogates(value)
    except UnreadableError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"not valid JSON: {error or 'it is empty'}") from error
    return value


def parse_json_object(text: str) -> dict[str, Any]:
    """Return the value of a JSON text that must be an object.

    Raises:
        UnreadableError: as `parse_json`, or it is something else than an object.
    """
    value = parse_json(text)
    if not isinstance(value, dict):
        raise UnreadableError(f"expected a JSON object but got {_json_kind(value)}")
    return value


def read_json(path: Path, *, most: int = DOCUMENT_BYTES) -> Any:
    """Return the value in a JSON file of at most `most` bytes.

    Raises:
        UnreadableError: as `read_text` and `parse_json`.
    """
    return parse_json(read_text(path, most=most))


def read_json_object(path: Path, *, most: int = DOCUMENT_BYTES) -> dict[str, Any]:
    """Return the object in a JSON file of at most `most` bytes.

    Raises:
        UnreadableError: as `read_text` and `parse_json_object`.
    """
    return parse_json_object(read_text(path, most=most))


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        UnreadableError: not valid TOML, or a number of more than `MOST_DIGITS` digits, or more than
            `MOST_LEVELS` levels.
    """
    if _LONG_KEY.search(text):
        raise UnreadableError(f"not valid TOML here: a key of more than {MOST_LEVELS} parts")
    try:
        tables = tomllib.loads(text)
    except RecursionError as error:
        raise UnreadableError(f"not valid TOML here: more than {MOST_LEVELS} nested levels") from error
    except (ValueError, OverflowError) as error:  # a number of more than 4,300 digits is a plain ValueError
        raise UnreadableError(f"not valid TOML: {error}") from error
    _check_tables(tables)
    return tables


def read_toml(path: Path, *, most: int = DOCUMENT_BYTES) -> dict[str, Any]:
    """Return the tables in a TOML file of at most `most` bytes.

    Raises:
        UnreadableError: as `read_text` and `parse_toml`.
    """
    return parse_toml(read_text(path, most=most))


def _check_levels(text: str) -> None:
    """Refuse nesting that would exhaust the stack, of this parser or of one that reads the same text later."""
    if text.count("[") + text.count("{") <= MOST_LEVELS:
        return
    import numpy as np  # a small file needs none

    change = np.zeros(256, np.int8)
    change[list(b"[{")] = 1
    change[list(b"]}")] = -1
    content = np.frombuffer(_STRING.sub(b"", text.encode("utf-8", "replace")), np.uint8)
    step, level = 1 << 22, 0
    for start in range(0, len(content), step):
        levels = level + np.cumsum(change[content[start : start + step]], dtype=np.int64)
        level = int(levels[-1])
        if int(levels.max()) > MOST_LEVELS:
            raise UnreadableError(f"not valid JSON here: more than {MOST_LEVELS} nested levels")


def _check_tables(tables: dict[str, Any]) -> None:
    pending: list[tuple[Any, int]] = [(tables, 1)]
    while pending:
        value, level = pending.pop()
        if level > MOST_LEVELS:
            raise UnreadableError(f"not valid TOML here: more than {MOST_LEVELS} nested levels")
        if isinstance(value, dict | list):
            pending += [(each, level + 1) for each in (value.values() if isinstance(value, dict) else value)]
        elif isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
            raise UnreadableError(f"a number of more than {MOST_DIGITS} digits")


def _check_surrogates(value: Any) -> None:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            try:
                each.encode()
            except UnicodeEncodeError as error:
                raise UnreadableError("a string contains an unpaired surrogate") from error
        elif isinstance(each, dict):
            pending += [*each, *each.values()]
        elif isinstance(each, list):
            pending += each


def _without_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    listed = list(pairs)
    table = dict(listed)
    if len(table) < len(listed):
        keys = [key for key, _ in listed]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise UnreadableError(f"duplicate key {repeated[:60]!r} in an object")
    return table


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise UnreadableError(f"a number of more than {MOST_DIGITS} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise UnreadableError(f"{digits[:40]} is not a finite float64")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadableError(f"not valid JSON: {name} is not a number")


def _json_kind(value: Any) -> str:
    kinds = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
