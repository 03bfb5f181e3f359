"""Python literals (dicts, lists, strings, numbers) in text, with limits on length, size and nesting; nothing is run."""

from __future__ import annotations

import ast
import re
from typing import Any

from robustrec.quiet import warnings_are
from robustrec.untrusted.files import UnreadableError

MOST_CHARACTERS = 1 << 20
MOST_VALUES = 100_000
MOST_NESTED = 32

# A string without its end matches nothing, so that its quote is left over. The search never goes back.
_VALUE = re.compile(
    r"[uU]?'(?:[^'\\\n]|\\.)*+'|[uU]?\"(?:[^\"\\\n]|\\.)*+\""
    r"|(?<![\w.])-?(?:[0-9]{1,40}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?(?![\w.])"
    r"|\b(?:True|False|None)\b"
)
_STRUCTURE = re.compile(r"[\s\[\]{}(),:]*+")
_STEP = {"[": 1, "{": 1, "(": 1, "]": -1, "}": -1, ")": -1}


def parse_literal(text: str) -> Any:
    """Return the value of a Python literal: strings, numbers, True, False, None; dicts, lists, tuples and sets of them.

    Before `ast.literal_eval` parses the text, it is made sure that it has nothing but such values and brackets, so that
    neither operators nor nesting can exhaust the stack.

    Raises:
        UnreadableError: the text is something else, or above the limits on length, values or nesting.
    """
    if len(text) > MOST_CHARACTERS:
        raise UnreadableError(f"a literal of more than {MOST_CHARACTERS:,} characters")
    structure, values = _VALUE.subn("", text)
    if values > MOST_VALUES:
        raise UnreadableError(f"a literal of more than {MOST_VALUES:,} values")
    known = _STRUCTURE.match(structure)
    end = known.end() if known else 0
    if end < len(structure):
        raise UnreadableError(f"not a Python literal: {structure[end : end + 40]!r} is neither text nor number")
    _check_nesting(structure)
    try:
        with warnings_are("ignore"):  # of odd escapes
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise UnreadableError(f"not a Python literal: {str(error)[:80] or type(error).__name__}") from error


def _check_nesting(structure: str) -> None:
    level = 0
    for character in structure:
        level += _STEP.get(character, 0)
        if level > MOST_NESTED:
            raise UnreadableError(f"a literal of more than {MOST_NESTED} nested levels")
