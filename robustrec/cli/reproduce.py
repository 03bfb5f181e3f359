"""`robustrec reproduce`: the tables of a paper beside what is measured."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from robustrec.cli import options
from robustrec.cli.terminal import data_console, progress_bars, say
from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import check_outputs, write_atomically
from robustrec.store_urls import recorded_command
from robustrec.streams import write_json_text

PAPERS = ("sgbd",)
MEASURED = ("agrees", "differs", "not decided", "not usable", "not in the paper")
"""Verdicts of rows that were measured."""


def reproduce(
    context: typer.Context,
    paper: Annotated[str, typer.Argument(help="sgbd: the paper on SGBD.", show_default=False)],
    table: Annotated[
        list[int] | None, typer.Option(help="Table of the paper, 2 to 8; repeatable. Default: all.")
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(help="MODEL/FEATURES/STRATEGY with * for any, e.g. slmrec/blip/sgbd; repeatable."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            "-d",
            help="Data set name or folder, of the paper or not; repeatable. Default: those of the tables.",
        ),
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--features",
            "-f",
            help="Kind of features (minilm+cnn, blip, blip2, or another encoder), or PAPER=OURS for a substitute, e.g."
            " minilm+cnn=minilm; repeatable.",
        ),
    ] = None,
    model: options.GivenModels = None,
    seeds: options.ThreeSeeds = None,
    seed: options.Seed = None,
    epochs: Annotated[
        int,
        typer.Option(min=0, help="Epochs of plain training for claims at equal epochs and gradients; 0 omits them."),
    ] = 100,
    metric: Annotated[str, typer.Option(help="Metric of the claims.")] = "ndcg@5",
    tune: Annotated[
        bool,
        typer.Option(
            "--tune/--no-tune", help="Choose the settings of each strategy on validation, or use the defaults."
        ),
    ] = True,
    trials: Annotated[
        int, typer.Option(min=2, max=8, help="Trials of each strategy on validation; the same number for all.")
    ] = 6,
    tune_epochs: Annotated[int, typer.Option(min=1, help="Epochs of plain training in a trial.")] = 30,
    draws: Annotated[int, typer.Option(min=1, help="Draws of the noise at inference (table 2).")] = 3,
    budget: Annotated[
        str | None, typer.Option(help="Time after which no further training starts: 4h, 30m.", show_default=False)
    ] = None,
    weights: options.Weights = None,
    edition: options.Edition = None,
    device: options.Device = None,
    threads: options.Threads = None,
    workers: options.Workers = None,
    engine: options.EngineName = None,
    home: options.Home = None,
    store: options.StoreUrl = None,
    offline: options.Offline = None,
    overrides: options.Overrides = None,
    output: Annotated[Path | None, typer.Option(help="Also write the result as JSON to this path.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write an HTML page to this path.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a Markdown page to this path.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the rows, what is missing and the cost, and run nothing.")
    ] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure the rows of a paper's tables and print each beside the printed cell, with a verdict.

    An interrupted command resumes. Exit code 0 whatever is found, 2 if nothing could be measured.
    """
    if paper not in PAPERS:
        raise unknown_name("paper", paper, PAPERS, where="robustrec reproduce")
    settings = options.settings_of(context, dataset=None, features=None, seeds=seeds or 3, model=None).settings
    from robustrec.engine.names import check_engine
    from robustrec.object_store import check_store
    from robustrec.reproduce.console import print_plan, print_reproduction
    from robustrec.reproduce.cost import parse_duration
    from robustrec.reproduce.plan import Asked, plan_reproduction
    from robustrec.reproduce.tuning import has_optuna, require_optuna

    check_engine(settings.engine)
    check_store(settings.store, offline=settings.offline)
    asked = Asked(
        tables=tuple(table) if table else None,
        patterns=tuple(row or ()),
        datasets=tuple(dataset) if dataset else None,
        features=tuple(features or ()),
        models=tuple(model or ()),
        epochs=epochs,
        metric=metric,
        draws=draws,
        trials=trials if tune else 0,
        tune_epochs=tune_epochs,
        budget=parse_duration(budget) if budget else None,
    )
    if tune and not dry_run:
        require_optuna()
    with progress_bars(quiet=quiet) as progress:
        plan = plan_reproduction(settings, asked, progress)
    if dry_run:
        print_plan(plan, data_console())
        if tune and not has_optuna():
            say("optuna is not installed: pip install 'robustrec[tune]', or add --no-tune", quiet=quiet)
        return
    stored = settings.home / "reports" / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-reproduce-{paper}.json"
    outputs = [("the home folder", stored)]
    outputs += [
        (option, path)
        for option, path in (("--output", output), ("--html", html), ("--markdown", markdown))
        if path is not None
    ]
    check_outputs(outputs)
    from robustrec.api.reproducing import run_reproduction_plan
    from robustrec.hardware import set_numerics
    from robustrec.reproduce.pages import reproduction_markdown, reproduction_page

    set_numerics(settings.threads)
    with progress_bars(quiet=quiet) as progress:
        report = run_reproduction_plan(plan, command=recorded_command(["robustrec", *sys.argv[1:]]), progress=progress)
    text = report.model_dump_json(indent=1) + "\n"
    for path in (stored, *([output] if output else [])):
        write_atomically(path, text)
    if html is not None:
        write_atomically(html, reproduction_page(report))
    if markdown is not None:
        write_atomically(markdown, reproduction_markdown(report))
    if as_json:
        write_json_text(text)
    else:
        print_reproduction(report, data_console())
        say(f"written: {output or stored}", quiet=quiet)
    if not any(each.verdict in MEASURED for each in report.rows):
        fixes = {
            "left": "give it more time, or omit --budget; what is stored is not trained again",
            "failed": "see why the rows failed, in the table above",
        }
        raise RobustrecError(
            "nothing was measured",
            where=f"robustrec reproduce {paper}",
            fix=next(
                (fix for verdict, fix in fixes.items() if any(each.verdict == verdict for each in report.rows)),
                "see what the rows lack: robustrec reproduce sgbd --dry-run",
            ),
        )
