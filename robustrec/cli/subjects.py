"""`robustrec train`, `evaluate` and `encode`: the single steps of an audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robustrec.cli import options
from robustrec.cli.terminal import data_console, progress_bars, say
from robustrec.sheet import Sheet
from robustrec.streams import write_json

if TYPE_CHECKING:
    from robustrec.api.steps import Trainings
    from robustrec.runs.trained import TrainedSubject


def train(
    context: typer.Context,
    model: options.Models = None,
    dataset: options.DatasetName = None,
    strategy: options.Strategies = None,
    features: options.FeatureName = None,
    weights: options.Weights = None,
    denoise: options.Denoise = None,
    edition: options.Edition = None,
    seed: options.Seed = None,
    seeds: options.Seeds = None,
    device: options.Device = None,
    threads: options.Threads = None,
    home: options.Home = None,
    store: options.StoreUrl = None,
    offline: options.Offline = None,
    overrides: options.Overrides = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Train models and store them; stored runs are reused, and an interrupted training resumes."""
    settings = options.settings_of(context).settings
    from robustrec.api.steps import refuse_untrainable, trained
    from robustrec.hardware import set_numerics

    refuse_untrainable(settings)
    set_numerics(settings.threads)
    with progress_bars(quiet=quiet) as progress:
        run = trained(settings, progress)
    _warn(run)
    rows = [_training_row(subject) for subject in run.subjects]
    _show(rows, as_json=as_json)


def evaluate(
    context: typer.Context,
    model: options.Models = None,
    dataset: options.DatasetName = None,
    strategy: options.Strategies = None,
    features: options.FeatureName = None,
    weights: options.Weights = None,
    denoise: options.Denoise = None,
    checkpoint: options.Checkpoint = None,
    suite: options.SuiteName = None,
    edition: options.Edition = None,
    seed: options.Seed = None,
    seeds: options.Seeds = None,
    device: options.Device = None,
    threads: options.Threads = None,
    home: options.Home = None,
    store: options.StoreUrl = None,
    offline: options.Offline = None,
    overrides: options.Overrides = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Evaluate models on the test users and print the metrics of the suite with 95% confidence intervals."""
    settings = options.settings_of(context).settings
    from robustrec.api.steps import measured_quality
    from robustrec.audits.suites import suite_of
    from robustrec.hardware import set_numerics

    chosen = suite_of(settings)
    set_numerics(settings.threads)
    with progress_bars(quiet=quiet) as progress:
        run, found = measured_quality(settings, chosen, progress)
    _warn(run)
    rows: dict[str, dict[str, Any]] = {}
    for finding in found:
        row = rows.setdefault(
            finding.subject.label, {"subject": finding.subject.label, "users": len(run.prepared.test.users)}
        )
        interval = [float(value or 0.0) for value in (finding.clean, finding.ci_low, finding.ci_high)]
        row[finding.metric] = interval if as_json else "{:.4f} [{:.4f}, {:.4f}]".format(*interval)
    _show(list(rows.values()), as_json=as_json)


def encode(
    context: typer.Context,
    dataset: options.DatasetName = None,
    features: options.FeatureName = None,
    encoder: options.EncoderName = None,
    weights: options.Weights = None,
    denoise: options.Denoise = None,
    edition: options.Edition = None,
    device: options.Device = None,
    threads: options.Threads = None,
    workers: options.Workers = None,
    engine: options.EngineName = None,
    home: options.Home = None,
    store: options.StoreUrl = None,
    offline: options.Offline = None,
    overrides: options.Overrides = None,
    export: Annotated[
        Path | None, typer.Option(help="New folder for the features as files of the MMRec layout.", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Encode the catalog of a data set; stored features are reused, and an interrupted encoding resumes."""
    settings = options.settings_of(context).settings
    from robustrec.api.steps import encoded_catalog
    from robustrec.encoders.export import check_export, export_features
    from robustrec.engine.names import check_engine
    from robustrec.hardware import set_numerics

    check_engine(settings.engine)
    if export is not None:
        check_export(export)
    set_numerics(settings.threads)
    with progress_bars(quiet=quiet) as progress:
        data, encoded = encoded_catalog(settings, progress)
    for note in (*(f"warning: {warning}" for warning in encoded.warnings), *encoded.notes):
        say(note, quiet=quiet)
    if export is not None:
        say(f"wrote {', '.join(export_features(data, encoded, export))} to {export}", quiet=quiet)
    rows = [
        {
            "modality": modality,
            "encoder": "feature file" if modality in encoded.from_files else encoded.name,
            "items": table.shape[0],
            "width": table.shape[1],
            "mean norm": round(float(table.norm(dim=1).mean()), 6),
            "digest": encoded.digest[:16],
            "weights": "; ".join(f"{each.name} {each.digest[:16]}" for each in encoded.weights) or "none",
        }
        for modality, table in encoded.tables.items()
    ]
    _show(rows, as_json=as_json)


def _warn(run: Trainings) -> None:
    for warning in run.prepared.features.warnings if run.prepared.features else ():
        say(f"warning: {warning}")
    for note in run.notes:
        say(f"note: {note}")


def _training_row(subject: TrainedSubject) -> dict[str, Any]:
    record = subject.record
    return {
        "subject": subject.subject.label,
        "epochs": record["epochs"],
        "best epoch": record["best_epoch"],
        f"validation {record['validation_metric']}": round(record["best_validation"], 6),
        "seconds": round(record["seconds"], 1),
        "parameters": record["n_parameters"],
        "run": subject.key,
    }


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        write_json(rows)
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    Sheet(data_console()).table(names, [[str(row.get(name, "")) for name in names] for row in rows], ruled=False)
