"""Settings from values, and conversion of pydantic errors to errors with three parts, with suggestions for keys."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from robustrec.errors import RobustrecError, unknown_name

_LONGEST_VALUE = 80
M = TypeVar("M", bound=BaseModel)


def reason_of(detail: Mapping[str, Any]) -> str:
    """Return what is wrong in one error of pydantic, without the prefix that it gives the ValueErrors of validators."""
    return str(detail["msg"]).removeprefix("Value error, ")


def overridden(kind: type[M], values: Mapping[str, Any], *, section: str, fix: str = "") -> M:
    """Return settings with some fields replaced, as by `--set SECTION.KEY=VALUE`.

    Args:
        kind: class of the settings.
        values: field -> value.
        section: section of `--set` with the fields.
        fix: what to do about an invalid value; the description of the field if empty.

    Raises:
        RobustrecError: a field is unknown, or a value is invalid.
    """
    for key in values:
        if key not in kind.model_fields:
            raise unknown_name("key", key, kind.model_fields, where=f"--set {section}.{key}=…")
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        field = kind.model_fields.get(key.partition(".")[0])
        raise RobustrecError(
            f"{section}.{key} = {values.get(key)!r}: {reason_of(first)}",
            where=f"--set {section}.{key}=…",
            fix=fix or f"{key}: {field.description if field else 'correct the value'}",
        ) from error


def invalid(error: ValidationError, model: type[BaseModel], *, source: str, fix: str) -> RobustrecError:
    """Return the error for the first invalid key of a file.

    Args:
        error: what pydantic raised.
        model: the model that was to be read; its fields are the choices for a misspelt key.
        source: the file, as the user knows it.
        fix: what to do where the problem itself suggests nothing better.
    """
    first, *others = error.errors(include_url=False)
    keys, parents = _walk(model, first["loc"])
    path = _dotted(keys)
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        known = sorted({name for each in parents for name in each.model_fields})
        near = difflib.get_close_matches(str(keys[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        what = f"unknown key {keys[-1]!r}"
        fix = f"{hint}known keys: {', '.join(known)}"
    elif first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        # Of several kinds of thing in one list, which this is: pydantic names the list's entry and not its key.
        what, fix = _wrong_kind(first["ctx"], fix)
        path = _dotted([*keys, first["ctx"]["discriminator"].strip("'()")])
    elif first["type"] == "missing":
        what = f"key {keys[-1]!r} is missing"
        fix = f"add {keys[-1]!r}"
    else:
        what = reason_of(first)
        if isinstance(first["input"], str | int | float | bool):
            what += f" (given: {_short(first['input'])})"
    where = f"{source}, key {path}" if path else source
    return RobustrecError(what + more, where=where, fix=fix)


def _wrong_kind(context: dict[str, Any], fix: str) -> tuple[str, str]:
    """Return what is wrong with the key that says of what kind an entry is, and what to do."""
    key = context["discriminator"].strip("'()")
    if "tag" not in context:
        return f"key {key!r} is missing", f"add {key!r}; {fix}"
    expected = [each.strip(" '") for each in context["expected_tags"].split(",")]
    near = difflib.get_close_matches(context["tag"], expected, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{key} {_short(context['tag'])} is invalid; expected one of {', '.join(expected)}", f"{hint}{fix}"


def _walk(model: type[BaseModel], location: Sequence[int | str]) -> tuple[list[int | str], list[type[BaseModel]]]:
    """Return the path without the tags of discriminated unions, and the models its last key belongs to."""
    keys: list[int | str] = []
    parents = here = [model]
    for key in location:
        if isinstance(key, int):
            keys.append(key)
            continue
        fields = [each.model_fields[key] for each in here if key in each.model_fields]
        tagged = [each for each in here if _tag(each) == key]
        if not fields and tagged and keys and isinstance(keys[-1], int):
            here = tagged
            continue
        keys.append(key)
        parents, here = here, [inner for field in fields for inner in _models_in(field.annotation)]
    return keys, parents


def _tag(model: type[BaseModel]) -> str | None:
    """The value of `kind` that marks a model within a discriminated union."""
    field = model.model_fields.get("kind")
    choices = typing.get_args(field.annotation) if field else ()
    return str(choices[0]) if choices else None


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models named anywhere within a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)


def _dotted(keys: Sequence[int | str]) -> str:
    """A path as people write it: gates[0].select.metric."""
    path = ""
    for key in keys:
        path += f"[{key}]" if isinstance(key, int) else f".{key}"
    return path.removeprefix(".")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
