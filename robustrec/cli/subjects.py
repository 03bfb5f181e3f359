"""`robustrec train`, `evaluate` and `encode`: the single steps of an audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from robustrec.cli import options
from robustrec.cli.terminal import data_console, progress_bars, say
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.sheet import Sheet
from robustrec.streams import write_json

if TYPE_CHECKING:
    from robustrec.progress import Progress
    from robustrec.runs.prepared import Prepared
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
    offline: options.Offline = None,
    overrides: options.Overrides = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Train models and store them; stored runs are reused, and an interrupted training resumes."""
    settings = options.settings_of(context).settings
    from robustrec.runs.plan import subject_specs

    for spec in subject_specs(settings, "sample"):
        if not spec.trains:
            raise RobustrecError(
                f"{spec.model} is not trained by robustrec: it only scores, or its parameters come from a file",
                where="robustrec train",
                fix="measure it instead: robustrec evaluate, or robustrec audit",
            )
    with progress_bars(quiet=quiet) as progress:
        _, subjects = _train(settings, progress)
    rows = [_training_row(subject) for subject in subjects]
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
    offline: options.Offline = None,
    overrides: options.Overrides = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Evaluate models on the test users and print the metrics of the suite with 95% confidence intervals."""
    settings = options.settings_of(context).settings
    from robustrec.audits.quality import measure_clean, metric_suite_of
    from robustrec.audits.rows import Intervals, quality_rows
    from robustrec.audits.suites import suite_of

    chosen = suite_of(settings)
    with progress_bars(quiet=quiet) as progress:
        prepared, subjects = _train(settings, progress, mask_validation=chosen.mask_validation)
    metric_suite = metric_suite_of(chosen.metrics, (), prepared)
    intervals = Intervals(chosen.bootstrap, settings.seed, prepared.problem.n_items)
    rows = []
    for subject in subjects:
        clean = measure_clean(subject.represent(), prepared.test, metric_suite)
        row: dict[str, Any] = {"subject": subject.subject.label, "users": len(prepared.test.users)}
        for finding in quality_rows(subject.subject, clean.per_user, intervals):
            interval = [float(value or 0.0) for value in (finding.clean, finding.ci_low, finding.ci_high)]
            row[finding.metric] = interval if as_json else "{:.4f} [{:.4f}, {:.4f}]".format(*interval)
        rows.append(row)
    _show(rows, as_json=as_json)


def encode(
    context: typer.Context,
    dataset: options.DatasetName = None,
    features: options.FeatureName = None,
    weights: options.Weights = None,
    denoise: options.Denoise = None,
    edition: options.Edition = None,
    device: options.Device = None,
    threads: options.Threads = None,
    home: options.Home = None,
    offline: options.Offline = None,
    overrides: options.Overrides = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Encode the catalog of a data set; stored features are reused, and an interrupted encoding resumes."""
    settings = options.settings_of(context).settings
    from robustrec.datasets.registry import load_dataset
    from robustrec.encoders.features import item_features
    from robustrec.encoders.options import options_of
    from robustrec.hardware import set_numerics

    set_numerics(settings.threads)
    chosen = options_of(settings)
    with progress_bars(quiet=quiet) as progress:
        data = load_dataset(settings.dataset, home=settings.home, edition=settings.edition, progress=progress)
        encoded = item_features(data, settings.features, home=settings.home, progress=progress, options=chosen)
    for note in (*(f"warning: {warning}" for warning in encoded.warnings), *encoded.notes):
        say(note, quiet=quiet)
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


def _train(
    settings: Settings, progress: Progress, *, mask_validation: bool = False
) -> tuple[Prepared, list[TrainedSubject]]:
    from robustrec.datasets.registry import load_dataset
    from robustrec.encoders.features import item_features
    from robustrec.encoders.options import options_of
    from robustrec.hardware import pick_device, set_numerics
    from robustrec.runs.plan import subject_specs
    from robustrec.runs.prepared import prepare
    from robustrec.runs.specs import check_modalities, reads_features
    from robustrec.runs.subjects import obtain_subject

    set_numerics(settings.threads)
    subject_specs(settings, "sample")  # names are checked before anything is built
    data = load_dataset(settings.dataset, home=settings.home, edition=settings.edition, progress=progress)
    specs = subject_specs(settings, data.edition, data.name)
    reads = any(map(reads_features, specs))
    chosen = options_of(settings)
    encoded = (
        item_features(data, settings.features, home=settings.home, progress=progress, options=chosen) if reads else None
    )
    for warning in encoded.warnings if encoded else ():
        say(f"warning: {warning}")
    for note in check_modalities(specs, encoded.tables) if encoded else ():
        say(f"note: {note}")
    prepared = prepare(data, encoded, pick_device(settings.device), mask_validation=mask_validation)
    return prepared, [obtain_subject(spec, prepared, home=settings.home, progress=progress) for spec in specs]


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
