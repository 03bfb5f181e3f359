"""One option has one name and one meaning in every command, and the help shows its default."""

from __future__ import annotations

import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robustrec.cli import options
from robustrec.cli.main import run
from robustrec.config import Settings

_PLACE = Path(__file__).parents[2] / "docs" / "generate" / "site_commands.py"

OTHER_MEANINGS = {
    "--budget": "a time of reproduce, kinds of budgets of compare",
    "--columns": "one says where it is described",
    "--dataset": "several data sets of encoders and reproduce; filters of lists",
    "--draws": "of noise in compare, of a table in reproduce",
    "--dry-run": "what is shown instead: a plan, rows, costs, or what would be removed",
    "--edit": "one measures edits, the other lists them",
    "--epochs": "other trainings",
    "--features": "kinds of features of a table",
    "--html": "beside other output, or not",
    "--interactions": "other default",
    "--items": "other default; instead of a data set",
    "--k": "of ratings files only, or always",
    "--keep": "of ratings files only, or always",
    "--metric": "what it is used for",
    "--model": "no default where one must be given; filters of lists",
    "--name": "other default",
    "--output": "what is written",
    "--output-format": "beside the report, or only",
    "--pictures": "where they come from",
    "--seed": "of a split, a sheet or a training of an encoder",
    "--set": "other sections",
    "--split": "other choices",
    "--steps": "of an optimizer or of Lanczos",
    "--strategy": "other default; filters of lists",
    "--suite": "other default",
}
"""Options with more than one help text, and why."""


def _site_commands() -> Any:
    import sys

    sys.path.insert(0, str(_PLACE.parent))
    try:
        spec = importlib.util.spec_from_file_location("site_commands", _PLACE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def _all_options() -> Iterator[tuple[str, Any]]:
    for words, command in _site_commands().commands():
        for each in command.params:
            if each.param_type_name == "option" and not each.hidden:
                yield words, each


OPTIONS = list(_all_options())


def test_an_option_has_one_meaning_or_a_reason_for_more() -> None:
    helps: dict[str, set[tuple[str, bool]]] = defaultdict(set)
    for _, each in OPTIONS:
        helps[each.opts[0]].add((each.help, each.is_flag))
    several = {name for name, found in helps.items() if len(found) > 1}
    assert several == set(OTHER_MEANINGS)
    for name, found in helps.items():
        assert len({flag for _, flag in found}) == 1, f"{name} takes a value in some commands only"


def test_a_meaning_has_one_name() -> None:
    names: dict[str, set[str]] = defaultdict(set)
    for _, each in OPTIONS:
        names[each.help].add(each.opts[0])
    assert not {help: found for help, found in names.items() if len(found) > 1}


def test_a_letter_stands_for_one_option() -> None:
    letters: dict[str, set[str]] = defaultdict(set)
    for _, each in OPTIONS:
        for letter in each.opts[1:]:
            letters[letter].add(each.opts[0])
    assert {letter: found for letter, found in letters.items() if len(found) > 1} == {}
    always = {name: letter for letter, (name,) in letters.items()}
    for words, each in OPTIONS:
        wanted = always.get(each.opts[0])
        assert wanted is None or wanted in each.opts, f"{words} {each.opts[0]} lacks {wanted}"


def test_help_is_sentences() -> None:
    for words, each in OPTIONS:
        assert each.help, f"{words} {each.opts[0]}"
        assert each.help.endswith("."), each.help
        assert not each.help.endswith(".."), each.help
        assert "  " not in each.help


def test_the_help_shows_the_default_of_every_setting() -> None:
    """In the commands that take all of their options from the settings."""
    for words, each in OPTIONS:
        if words not in ("robustrec audit", "robustrec train"):
            continue
        default = Settings.model_fields[each.name].default if each.name in Settings.model_fields else None
        if default is None or isinstance(default, bool) or default == () or callable(default) or each.name == "home":
            continue
        if each.name in ("set", "weights", "vocabulary"):
            continue
        shown = " ".join(default) if isinstance(default, tuple) else str(default)
        assert each.show_default == shown, f"{words} {each.opts[0]} shows {each.show_default}"


def test_options_of_an_audit_stand_in_panels(capsys: pytest.CaptureFixture[str]) -> None:
    panels = (options.MODELS, options.DATA, options.JUDGING, options.WORK, options.OUTPUT)
    for words, each in OPTIONS:
        if words == "robustrec audit" and each.name != "help":
            assert each.rich_help_panel in panels, each.opts
    assert run(["audit", "--help"]) == 0
    text = capsys.readouterr().out
    assert [text.index(panel) for panel in panels]
    assert all(len(line) <= 80 for line in text.splitlines())
    assert re.search(r"default:\s+\(?slmrec", text)
