"""The table of commands, and the one place where exceptions become messages and exit codes."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from robustrec import __version__
from robustrec.cli import audit, baseline, compare, config, data, doctor, encoder, gate, listing, report, subjects
from robustrec.cli.terminal import print_error, say
from robustrec.errors import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_PASS, RobustrecError

app = typer.Typer(
    name="robustrec",
    help="Audit how far a multimodal recommender moves when its inputs do, and gate releases on it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("audit", rich_help_panel="Measure")(audit.audit)
app.command("train", rich_help_panel="Measure")(subjects.train)
app.command("evaluate", rich_help_panel="Measure")(subjects.evaluate)
app.command("encode", rich_help_panel="Measure")(subjects.encode)
app.command("compare", rich_help_panel="Results")(compare.compare)
app.command("gate", rich_help_panel="Results")(gate.gate)
app.add_typer(
    baseline.app, name="baseline", help="Accept a report to compare with, or show it.", rich_help_panel="Results"
)
app.add_typer(report.app, name="report", help="Show a report, or its JSON Schema.", rich_help_panel="Results")
app.add_typer(data.app, name="data", help="Import, list and describe data sets.", rich_help_panel="Material")
app.add_typer(listing.app, name="list", help="List what there is to choose from.", rich_help_panel="Material")
app.add_typer(encoder.app, name="encoder", help="Train a BLIP on one's own goods.", rich_help_panel="Material")
app.add_typer(config.app, name="config", help="Show the settings in force.", rich_help_panel="Material")
app.command("doctor", rich_help_panel="Material")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"robustrec {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Hold the options of robustrec itself."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit 0 pass, 1 a gate was breached, 2 any error, 130 interrupted, and nothing else."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; 1 only ever comes from a breached gate."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    code = EXIT_ERROR
    try:
        # Typer turns an interrupt into this code too, wherever in the command it came.
        result = app(args=arguments, prog_name="robustrec", standalone_mode=False)
        code = result if isinstance(result, int) else EXIT_PASS
    except RobustrecError as error:
        print_error(error)
    except TyperException as error:
        _print_wrong_use(error, arguments)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe went away; python must not complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except SystemExit as error:
        # Shell completion ends so. Code of somebody else's that ends the process must never look like a pass.
        completing = any(name.endswith("_COMPLETE") for name in os.environ)
        code = EXIT_PASS if completing and error.code in (0, None) else EXIT_ERROR
    except Exception as error:  # an internal error must never look like a breached gate
        traceback.print_exc()
        say(f"internal error: {type(error).__name__}: {error}. Please report it with the lines above.")
    if code == EXIT_INTERRUPTED:
        say("interrupted; the same command takes the work up again where it was")
    return code


def _print_wrong_use(error: TyperException, arguments: list[str]) -> None:
    message = getattr(error, "format_message", lambda: str(error))()
    if not message:  # no_args_is_help has printed the help already
        return
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "robustrec"
    where = " ".join(["robustrec", *arguments])
    print_error(RobustrecError(message, where=where, fix=f"see the options: {command} --help"))


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
