"""`robustrec report`: show a report again, or print the JSON Schema of reports."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from robustrec.cli.terminal import data_console

app = typer.Typer(no_args_is_help=True)


@app.command()
def show(path: Annotated[Path, typer.Argument(help="The report's JSON file.")]) -> None:
    """Print a report as `audit` printed it."""
    from robustrec.reporting.console import print_report
    from robustrec.reporting.report import read_report

    print_report(read_report(path), data_console(), location=path)


@app.command()
def schema() -> None:
    """Print the JSON Schema of reports."""
    from robustrec.reporting.report import report_schema

    sys.stdout.write(json.dumps(report_schema(), indent=2) + "\n")
