"""`robustrec compare`: rank the subjects of several reports, or compare strategies at equal budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustrec.cli import options
from robustrec.cli.race import RaceOptions, race_strategies
from robustrec.cli.strategies import Asked, compare_strategies
from robustrec.cli.terminal import data_console
from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import check_outputs, write_atomically
from robustrec.streams import write_json_text
from robustrec.training.strategy_names import RACED, STRATEGY_NAMES

if TYPE_CHECKING:
    from robustrec.comparison.budget import Budget
    from robustrec.comparison.compared import By

REPORTS, STRATEGIES, RACE = "Reports", "Strategies at equal budget", "Recipe race"


def compare(
    context: typer.Context,
    reports: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="REPORT",
            help="Reports on the same data set: JSON files, or beginnings of their names in the reports folder.",
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to rank by, e.g. ndcg@20.", rich_help_panel=REPORTS)
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            help="quality: rank by the metric under each condition. drift: rank by the loss against clean inputs.",
            rich_help_panel=REPORTS,
        ),
    ] = "quality",
    html: Annotated[
        Path | None, typer.Option(help="Also write an HTML page to this path.", rich_help_panel=REPORTS)
    ] = None,
    model: options.GivenModels = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            "-s",
            help="Training strategy, parts joined by + (robustrec list strategies); repeatable. Default: the step"
            " rules of the SGBD paper; in a race also edit-aug.",
            rich_help_panel=options.MODELS,
        ),
    ] = None,
    dataset: options.DatasetName = None,
    features: options.FeatureName = None,
    encoder: options.EncoderName = None,
    weights: options.Weights = None,
    denoise: options.Denoise = None,
    edition: options.Edition = None,
    seed: options.Seed = None,
    seeds: options.ThreeSeeds = None,
    epochs: Annotated[
        int,
        typer.Option(
            min=1, help="Epochs of vanilla training; the budgets are derived from it.", rich_help_panel=STRATEGIES
        ),
    ] = 30,
    reference: Annotated[
        str, typer.Option(help="Strategy that the others are compared with.", rich_help_panel=STRATEGIES)
    ] = "vanilla",
    budget: Annotated[
        list[str] | None,
        typer.Option(
            help="epochs or gradients (the same number for every strategy), or early-stop (each stops early);"
            " repeatable. Default: all three.",
            rich_help_panel=STRATEGIES,
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="Random draws of each noise condition.", rich_help_panel=STRATEGIES)
    ] = 6,
    edit: Annotated[
        list[str] | None,
        typer.Option(
            help="Merchant edit applied to 10% of the items, or none; repeatable. Default: truncation and"
            " wrong_picture.",
            rich_help_panel=STRATEGIES,
        ),
    ] = None,
    edit_draws: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Random choices of the edited items, for each edit. Default: 6, in a race 3.",
            rich_help_panel=STRATEGIES,
        ),
    ] = None,
    sigma2: Annotated[
        list[float] | None,
        typer.Option(
            min=0, help="Variance of the noise at inference; repeatable. Default: 1e-6.", rich_help_panel=STRATEGIES
        ),
    ] = None,
    relative: Annotated[
        list[float] | None,
        typer.Option(
            min=0,
            max=1,
            help="Noise norm relative to the norm of each feature vector; repeatable. Default: 0.1.",
            rich_help_panel=STRATEGIES,
        ),
    ] = None,
    triples: Annotated[
        int,
        typer.Option(
            min=1,
            help="Training triples (user, positive, negative) of the loss that the Hessian is taken of.",
            rich_help_panel=STRATEGIES,
        ),
    ] = 20_000,
    probes: Annotated[
        int, typer.Option(min=2, help="Random probes of the Hessian trace estimate.", rich_help_panel=STRATEGIES)
    ] = 16,
    steps: Annotated[
        int,
        typer.Option(min=2, help="Hessian-vector products for the largest eigenvalue λ₁.", rich_help_panel=STRATEGIES),
    ] = 20,
    race: Annotated[
        bool,
        typer.Option(
            "--race",
            help="Select among strategies and settings by validation (a list in --set is a grid), and compare the best"
            " on test with fresh training seeds.",
            rich_help_panel=RACE,
        ),
    ] = False,
    arms: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of the arms: a list of tables named arms, with strategy, and if wanted set and features.",
            rich_help_panel=RACE,
        ),
    ] = None,
    finalists: Annotated[
        int, typer.Option(min=1, help="Arms that are compared with the reference on test.", rich_help_panel=RACE)
    ] = 3,
    selection_seeds: Annotated[
        int,
        typer.Option(min=1, help="Training seeds of the selection, beside --seeds fresh ones.", rich_help_panel=RACE),
    ] = 2,
    margin: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Largest loss of clean quality of a recommended arm, as a share of the reference's.",
            rich_help_panel=RACE,
        ),
    ] = 0.02,
    users: options.Users = None,
    device: options.Device = None,
    threads: options.Threads = None,
    workers: options.Workers = None,
    engine: options.EngineName = None,
    home: options.Home = None,
    store: options.StoreUrl = None,
    offline: options.Offline = None,
    overrides: options.Overrides = None,
    output: Annotated[
        Path | None, typer.Option(help="Also write the comparison as JSON to this path.", rich_help_panel=STRATEGIES)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cost without running it.", rich_help_panel=STRATEGIES)
    ] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Rank models and strategies of several reports; with --model, compare training strategies at equal budget.

    Reports: mean and worst rank over the conditions, with statistical significance. Strategies: an equal number of
    epochs, an equal number of gradient evaluations, and early stopping, with confidence intervals over training seeds,
    draws and users.
    """
    given = {
        "model": model,
        "strategy": strategy,
        "dataset": dataset,
        "features": features,
        "weights": weights,
        "denoise": denoise,
        "edition": edition,
        "seed": seed,
        "seeds": seeds,
        "users": users,
    }
    if reports:
        for name, value in given.items():
            if value is not None:
                raise RobustrecError(
                    f"reports and --{name} cannot be combined",
                    where=f"--{name}",
                    fix="give either reports or --model, not both",
                )
        reports = [options.report_file(each, home) for each in reports]
        _compare_reports(reports, metric, by, html, as_json=as_json)
        return
    if not model:
        raise RobustrecError(
            "nothing to compare",
            where="robustrec compare",
            fix="name reports: robustrec compare A.json B.json; or a model: robustrec compare --model slmrec --seeds 3",
        )
    if race:
        race_strategies(
            options.settings_of(context, strategy=strategy or list(RACED), seeds=seeds or 3).settings,
            RaceOptions(
                epochs=epochs,
                reference=reference,
                budgets=_budgets(budget) if budget else None,
                arms=arms,
                finalists=finalists,
                selection_seeds=selection_seeds,
                margin=margin,
                edits=None if edit is None else tuple(dict.fromkeys(name for name in edit if name != "none")),
                edit_draws=edit_draws,
                output=output,
                html=html,
                dry_run=dry_run,
                as_json=as_json,
                quiet=quiet,
            ),
        )
        return
    if arms is not None:
        raise RobustrecError("--arms without --race", where=f"--arms {arms}", fix="add --race")
    settings = options.settings_of(context, strategy=strategy or list(STRATEGY_NAMES), seeds=seeds or 3).settings
    compare_strategies(
        settings,
        Asked(
            epochs=epochs,
            reference=reference,
            budgets=_budgets(budget),
            draws=draws,
            edits=None if edit is None else tuple(dict.fromkeys(name for name in edit if name != "none")),
            edit_draws=edit_draws or 6,
            sigma2=tuple(sigma2 if sigma2 is not None else [1e-6]),
            relative=tuple(relative if relative is not None else [0.1]),
            triples=triples,
            probes=probes,
            steps=steps,
            output=output,
            dry_run=dry_run,
            as_json=as_json,
            quiet=quiet,
        ),
    )


def _compare_reports(reports: list[Path], metric: str | None, by: str, html: Path | None, *, as_json: bool) -> None:
    from robustrec.api.comparing import compare as compared
    from robustrec.comparison.page import print_comparison

    if html is not None:
        check_outputs([("--html", html)], [("REPORT", path) for path in reports])
    found = compared(reports, metric=metric, by=_by(by))
    if html is not None:
        from robustrec.comparison.html import comparison_page
        from robustrec.results.report import read_report

        write_atomically(html, comparison_page(found, read_report(reports[0]).dataset))
    if as_json:
        write_json_text(found.model_dump_json(indent=1))
    else:
        print_comparison(found, data_console())


def _budgets(names: list[str] | None) -> tuple[Budget, ...]:
    from robustrec.comparison.budget import BUDGETS

    for name in names or ():
        if name not in BUDGETS:
            raise unknown_name("budget", name, BUDGETS, where="--budget")
    return tuple(each for each in BUDGETS if not names or each in names)


def _by(name: str) -> By:
    match name:
        case "quality" | "drift":
            return name
    raise RobustrecError(f"cannot rank by {name!r}", where="--by", fix="use --by quality or --by drift")
