"""Tables of commands, arguments and options, read from the command line definitions."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from site_schemas import table, text
from typer.main import get_command

from robustrec.cli.commands import command_line

_WORDS = {Path: "path", float: "number", int: "whole number"}


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command by its words, without groups, in the order of the help."""
    yield from _below("robustrec", get_command(command_line()))


def commands_table() -> str:
    """Return a section for each command."""
    return "\n\n".join(_section(words, command) for words, command in commands())


def _below(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
        return
    for name, each in inner.items():
        if each.hidden:
            continue
        yield from _below(f"{words} {name}", each)


def _section(words: str, command: Any) -> str:
    shown = [each for each in command.params if not each.hidden and each.name != "help"]
    arguments = [each for each in shown if each.param_type_name == "argument"]
    options = [each for each in shown if each.param_type_name == "option"]
    usage = [words, *(["[OPTIONS]"] if options else []), *(_placed(each) for each in arguments)]
    parts = [f"## {words}", text(inspect.cleandoc(command.help or "")), f"    {' '.join(usage)}"]
    if arguments:
        placed = [(f"`{_placed(each)}`", _meaning(each)) for each in arguments]
        parts.append(table(("argument", "description"), placed))
    if options:
        hints = get_type_hints(inspect.unwrap(command.callback))
        rows = [(_names(each), _value(each, hints), _meaning(each)) for each in options]
        parts.append(table(("option", "value", "description"), rows))
    return "\n\n".join(parts)


def _placed(argument: Any) -> str:
    name = argument.metavar or str(argument.name).upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _names(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _value(option: Any, hints: Mapping[str, Any]) -> str:
    if option.is_flag:
        return ""
    word = next((words for each, words in _WORDS.items() if each in _flat(hints.get(option.name))), "text")
    return f"{word}, repeatable" if option.multiple else word


def _flat(hint: Any) -> list[Any]:
    """Return the types of a hint: [Path, NoneType] for Path | None."""
    inner = get_args(hint)
    return [hint] if not inner else [each for part in inner for each in _flat(part)]


def _meaning(parameter: Any) -> str:
    said = text(parameter.help or "")
    given = parameter.default
    told = given not in (None, False, (), []) and not callable(given)
    notes = ["Required."] if parameter.required and parameter.param_type_name == "option" else []
    shown = getattr(parameter, "show_default", False)
    notes += [f"Default: `{shown}`."] if isinstance(shown, str) else []
    told = told and not isinstance(shown, str)
    notes += [f"Default: `{given}`."] if told and not isinstance(given, list | tuple) else []
    notes += [f"Default: `{' '.join(map(str, given))}`."] if told and isinstance(given, list | tuple) else []
    return " ".join([said, *notes])
