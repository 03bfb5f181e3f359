"""`robustrec report`: show a report, convert it to other formats, or print the JSON Schema of reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robustrec.cli import options, publish, report_folder
from robustrec.cli.terminal import data_console, say
from robustrec.streams import write_json

app = typer.Typer(no_args_is_help=True)
app.command("list")(report_folder.list_)
app.command("open")(report_folder.open_)
app.command("trend")(report_folder.trend)
app.command()(publish.mlflow)
app.command()(publish.card)


@app.command()
def show(
    report: options.ReportName,
    full: Annotated[bool, typer.Option("--full", help="Print all tables instead of the summary.")] = False,
    home: options.Home = None,
    fail_on: options.FailOnName = None,
) -> None:
    """Print a report; the exit code is 0 if the report can be read, whatever its verdict."""
    from robustrec.audits.checked import checked_report
    from robustrec.report.console.console import print_report
    from robustrec.report.console.screen import print_screen

    settings = options.settings_from(fail_on=fail_on).settings
    path = options.report_file(report, home)
    checked = checked_report(path)
    if full:
        print_report(checked, data_console(), location=path, fail_on=settings.fail_on)
        return
    page = path.with_suffix(".html")
    pages = [page] if page.is_file() else []
    print_screen(checked, data_console(), location=path, pages=pages, fail_on=settings.fail_on)


@app.command()
def convert(
    report: options.ReportName,
    output_format: Annotated[
        list[str],
        typer.Option(
            help="FORMAT:PATH, or FORMAT:- for stdout. FORMAT is json, html, junit, markdown, comment, github,"
            " openmetrics, sarif, codequality, csv or parquet. Repeatable."
        ),
    ],
    home: options.Home = None,
) -> None:
    """Convert a report to other formats, without new measurements."""
    from robustrec.audits.checked import checked_report
    from robustrec.report.forms.outputs import parse_outputs, write_outputs
    from robustrec.results.arrays import moved_arrays
    from robustrec.results.report import write_report

    path = options.report_file(report, home)
    outputs = parse_outputs(output_format, inputs=[("REPORT", path)])
    checked = checked_report(path)
    for output in outputs:
        if output.form == "json" and output.path is not None:
            write_report(moved_arrays(checked, path, output.path), output.path)
    write_outputs(checked, [each for each in outputs if each.form != "json" or each.path is None])


@app.command()
def users(
    report: options.ReportName,
    output: Annotated[Path, typer.Option(help="Parquet file to write.")],
    home: options.Home = None,
) -> None:
    """Write the values of each user as Parquet, float32 (needs the extra parquet)."""
    from robustrec.audits.checked import checked_report
    from robustrec.files import check_outputs
    from robustrec.report.forms.user_table import write_user_table
    from robustrec.results.arrays import arrays_file

    path = options.report_file(report, home)
    checked = checked_report(path)
    beside = arrays_file(checked, path)
    check_outputs([("--output", output)], [("REPORT", path), ("REPORT", beside)])
    n = write_user_table(checked, path, output)
    say(f"{n:,} users written to {output}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of reports."""
    from robustrec.results.report import report_schema

    write_json(report_schema())
