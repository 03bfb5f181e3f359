"""Tables of keys from the JSON Schemas of pydantic models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_BOUNDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "less than {}"),
)
_PLAIN = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "nothing",
}


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table; cells are Markdown already."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def text(plain: str) -> str:
    """Return plain text with Markdown characters escaped, except in code between backticks."""
    parts = re.split(r"(`[^`]*`)", plain)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_\[\]<>#])", r"\\\1", part) for part in parts)


def anchor(name: str) -> str:
    """Return the anchor of a section about a definition."""
    return f"table-{name.lower()}"


def kind(schema: Schema) -> str:
    """Return the type of a value in words, with links to the sections of definitions."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{anchor(name)})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(kind(each) for each in schema[key] if each.get("type") != "null"))
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}" if schema.get("items") else "list"
    return _of_type(schema)


def _of_type(schema: Schema) -> str:
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"table of {kind(inner)}" if isinstance(inner, Mapping) and inner else "table"
    word = _PLAIN.get(str(schema.get("type")), "any value")
    if schema.get("format") in ("date", "date-time"):
        word = "date" if schema["format"] == "date" else "date and time"
    limits = [words.format(f"{schema[name]:g}") for name, words in _BOUNDS if name in schema]
    return f"{word}, {' and '.join(limits)}" if limits else word


def default(schema: Schema, *, required: bool) -> str:
    """Return the default of a key as TOML or JSON writes it."""
    if required:
        return "required"
    value = schema.get("default")
    if value is None:
        return "none"
    if isinstance(value, dict):
        return "see below"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def keys(definition: Schema) -> str:
    """Return the table of a definition's keys."""
    required = definition.get("required", ())
    return table(
        ("key", "value", "default", "description"),
        [
            (f"`{name}`", kind(each), default(each, required=name in required), _meaning(each))
            for name, each in definition.get("properties", {}).items()
        ],
    )


def section(name: str, definition: Schema, *, level: int = 3, title: str | None = None) -> str:
    """Return the section of a definition: its description and its keys."""
    said = "\n\n".join(text(" ".join(part.split())) for part in definition.get("description", "").split("\n\n"))
    body = [f"{'#' * level} {title or name} {{#{anchor(name)}}}", said]
    if definition.get("properties"):
        body.append(keys(definition))
    elif "enum" in definition:
        body.append(kind(definition))
    return "\n\n".join(part for part in body if part)


def without_meaning(name: str, definition: Schema) -> Iterator[str]:
    """Return the keys without a description, as NAME.key."""
    return (f"{name}.{key}" for key, each in definition.get("properties", {}).items() if not _meaning(each))


def _meaning(schema: Schema) -> str:
    return text(schema.get("description", "fixed value" if "const" in schema else ""))
