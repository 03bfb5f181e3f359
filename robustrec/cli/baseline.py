"""`robustrec baseline`: accept a report as what later ones are held against, and show what was accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robustrec.cli import options
from robustrec.cli.terminal import data_console, say
from robustrec.files import check_outputs
from robustrec.streams import write_json_text

app = typer.Typer(no_args_is_help=True)


@app.command()
def accept(
    path: Annotated[Path, typer.Argument(metavar="REPORT", help="The report's JSON file.")],
    output: Annotated[Path, typer.Option(help="The baseline; meant to be committed.")] = Path("baseline.json"),
    quiet: options.Quiet = False,
) -> None:
    """Keep of a report what later ones are compared with; it replaces what was accepted before."""
    from robustrec.audits.checked import checked_report
    from robustrec.results.arrays import arrays_beside
    from robustrec.results.baseline import baseline_of, write_baseline

    check_outputs([("--output", output)], [("REPORT", path)])
    report = checked_report(path)
    record = baseline_of(report, arrays_beside(report, path))
    write_baseline(record, output)
    if report.verdict != "pass":
        say(f"note: this report's verdict is {report.verdict}: {report.verdict_reason}", quiet=quiet)
    kept = {
        None: "without per-user arrays, so that reports are compared by their intervals",
        "draws": "with per-user arrays",
        "means": "with per-user arrays, averaged over the draws",
    }[record.arrays.form if record.arrays else None]
    size = output.stat().st_size / 1024
    say(f"accepted {len(record.findings)} findings {kept}: {output} ({size:.0f} KiB); commit it", quiet=quiet)


@app.command()
def show(
    path: Annotated[Path, typer.Argument(metavar="BASELINE", help="The baseline's JSON file.")] = Path("baseline.json"),
    as_json: options.AsJson = False,
) -> None:
    """Say what a baseline was measured on, and its numbers."""
    from robustrec.report.tables.baseline import print_baseline
    from robustrec.results.baseline import read_baseline

    baseline = read_baseline(path)
    if as_json:
        write_json_text(baseline.record.model_dump_json(indent=1, exclude={"arrays"}))
    else:
        print_baseline(baseline, data_console())
