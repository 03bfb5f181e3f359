"""`robustrec baseline`: accept a report as the baseline of later reports, and show a baseline."""

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
    report: options.ReportName,
    output: Annotated[Path, typer.Option(help="Baseline file to write; commit it to your repository.")] = Path(
        "baseline.json"
    ),
    home: options.Home = None,
    quiet: options.Quiet = False,
) -> None:
    """Accept a report as the baseline for later reports; an existing baseline file is replaced."""
    from robustrec.audits.checked import checked_report
    from robustrec.results.arrays import arrays_beside
    from robustrec.results.baseline import baseline_of, write_baseline

    path = options.report_file(report, home)
    check_outputs([("--output", output)], [("REPORT", path)])
    checked = checked_report(path)
    record = baseline_of(checked, arrays_beside(checked, path))
    write_baseline(record, output)
    if checked.verdict != "pass":
        say(f"note: this report's verdict is {checked.verdict}: {checked.verdict_reason}", quiet=quiet)
    kept = {
        None: "without per-user arrays; later reports are compared by confidence intervals",
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
    """Show the data, models and findings of a baseline."""
    from robustrec.report.tables.baseline import print_baseline
    from robustrec.results.baseline import read_baseline

    baseline = read_baseline(path)
    if as_json:
        write_json_text(baseline.record.model_dump_json(indent=1, exclude={"arrays"}))
    else:
        print_baseline(baseline, data_console())
