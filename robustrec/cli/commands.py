"""The table of commands; the module of a command is imported when the command line with that command is built."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, NamedTuple

import typer

from robustrec import __version__
from robustrec.streams import write_text

_MEASURE, _RESULTS, _SETUP = "Measure", "Results", "Data and setup"


class _Place(NamedTuple):
    """Where a command is defined.

    Attributes:
        module: module in robustrec.cli.
        panel: panel of the help.
        help: of a group of commands, which the module has as `app`; empty for a function named as the command.
    """

    module: str
    panel: str
    help: str = ""


COMMANDS = {
    "audit": _Place("audit", _MEASURE),
    "train": _Place("subjects", _MEASURE),
    "evaluate": _Place("subjects", _MEASURE),
    "encode": _Place("subjects", _MEASURE),
    "reproduce": _Place("reproduce", _MEASURE),
    "compare": _Place("compare", _RESULTS),
    "gate": _Place("gate", _RESULTS),
    "init": _Place("init", _SETUP),
    "doctor": _Place("doctor", _SETUP),
    "baseline": _Place("baseline", _RESULTS, "Accept a report as the baseline, or show the baseline."),
    "report": _Place("report", _RESULTS, "Show or convert a report, or print the JSON Schema."),
    "view": _Place("view", _RESULTS),
    "evidence": _Place("evidence", _RESULTS, "Pack a report as signed evidence, and verify such packs."),
    "runs": _Place("runs", _RESULTS, "List, show and remove stored trainings."),
    "cache": _Place("cache", _SETUP, "Show the size of the home folder, and remove what can be made again."),
    "data": _Place("data", _SETUP, "Import, list and describe data sets."),
    "list": _Place("listing", _SETUP, "List models, strategies, encoders, audits, suites, metrics and edits."),
    "encoder": _Place("encoder", _SETUP, "Train a BLIP encoder on your own catalog, show it, or evaluate it."),
    "config": _Place("config", _SETUP, "Show the active settings."),
    "docs": _Place("docs", _SETUP),
}


def command_line(arguments: Sequence[str] = ()) -> typer.Typer:
    """Return the command line.

    Args:
        arguments: if they begin with the name of a command, it is the only command, and for a group followed by the
            name of one of its commands, that is the only one of the group: making all of them takes longer than a list.
    """
    app = typer.Typer(
        name="robustrec",
        help="Audit the robustness of multimodal recommenders to perturbed inputs, and gate releases on the result.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS:
        place = COMMANDS[name]
        module = import_module(f"robustrec.cli.{place.module}")
        if place.help:
            group = _only(module.app, arguments[1:2])
            app.add_typer(group, name=name, help=place.help, rich_help_panel=place.panel)
        else:
            app.command(name, rich_help_panel=place.panel)(getattr(module, name))
    return app


def _only(group: typer.Typer, names: Sequence[str]) -> typer.Typer:
    """Return a group with one of its commands, or with all of them if none has the name."""
    one = [each for each in group.registered_commands if _name(each) in names]
    if not one:
        return group
    reduced = copy.copy(group)
    reduced.registered_commands = one
    return reduced


def _name(command: typer.models.CommandInfo) -> str:
    return command.name or typer.main.get_command_name(getattr(command.callback, "__name__", ""))


def _print_version(wanted: bool) -> None:
    if wanted:
        write_text(f"robustrec {__version__}\n")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Define the options of robustrec itself."""
