"""`robustrec report mlflow` and `report card`: a report for experiment trackers and model registries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robustrec.cli import options
from robustrec.cli.terminal import say
from robustrec.errors import RobustrecError


def mlflow(
    report: options.ReportName,
    tracking_uri: Annotated[
        str,
        typer.Option(
            envvar="MLFLOW_TRACKING_URI",
            help="MLflow server or database, e.g. sqlite:///mlflow.db.",
            show_default=False,
        ),
    ],
    experiment: Annotated[
        str, typer.Option(envvar="MLFLOW_EXPERIMENT_NAME", help="Experiment, created if it is missing.")
    ] = "robustrec",
    model_version: Annotated[
        str | None,
        typer.Option(help="NAME/VERSION of a registered model: gets the verdict as tags.", show_default=False),
    ] = None,
    home: options.Home = None,
    offline: options.Offline = None,
) -> None:
    """Log a report to MLflow, and its verdict as a tag of a model version (needs the extra mlflow).

    The exit code is 0 if the report is logged, whatever its verdict.
    """
    from robustrec.adapters.mlflow import VERDICT, ModelVersion, log_report
    from robustrec.audits.checked import checked_report

    settings = options.settings_from(home=home, offline=offline).settings
    version = None
    if model_version is not None:
        name, _, number = model_version.rpartition("/")
        if not name or not number.isdigit():
            raise RobustrecError(
                f"{model_version!r} is not a model version", where="--model-version", fix="--model-version NAME/3"
            )
        version = ModelVersion(name, number)
    path = options.report_file(report, home)
    checked = checked_report(path)
    logged = log_report(
        checked, path, tracking_uri=tracking_uri, experiment=experiment, version=version, offline=settings.offline
    )
    if logged.is_new:
        say(f"logged {logged.n_metrics:,} metrics to run {logged.run_id} of experiment {experiment}")
    else:
        say(f"run {logged.run_id} of experiment {experiment} has this report already")
    if version is not None:
        say(f"{version.name} version {version.version}: tag {VERDICT} is {checked.verdict.upper()}")


def card(
    report: options.ReportName,
    output: Annotated[Path, typer.Option(help="Markdown file to write, e.g. README.md of the model.")],
    name: Annotated[str, typer.Option(help="Name of the model on the Hub.")],
    candidate: Annotated[
        str, typer.Option(help="Candidate of the report, e.g. sgbd; not needed if there is one.", show_default=False)
    ] = "",
    home: options.Home = None,
) -> None:
    """Write a Hugging Face model card: evaluation results as metadata, and a section on robustness."""
    from robustrec.adapters.model_card import model_card
    from robustrec.audits.checked import checked_report
    from robustrec.files import check_outputs, write_atomically

    path = options.report_file(report, home)
    check_outputs([("--output", output)], [("REPORT", path)])
    write_atomically(output, model_card(checked_report(path), model_name=name, candidate=candidate))
    say(f"written to {output}")
