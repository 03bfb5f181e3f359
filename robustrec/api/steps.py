"""The steps of an audit as functions: load a data set, encode its catalog, train and evaluate models."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Unpack

from robustrec.api.settings import Names, Options, settings_of
from robustrec.audits.item_values import item_values
from robustrec.audits.quality import measure_clean, metric_suite_of
from robustrec.audits.rows import Intervals, quality_rows
from robustrec.audits.suites import Suite, suite_of
from robustrec.config import Settings, default_home
from robustrec.datasets import registry
from robustrec.datasets.registry import Dataset
from robustrec.encoders.features import ItemFeatures, item_features
from robustrec.encoders.options import options_of
from robustrec.engine.chosen import engine_of
from robustrec.engine.spread import encoding_message
from robustrec.errors import RobustrecError
from robustrec.feature_names import encoder_of, named_features
from robustrec.hardware import full_precision, pick_device
from robustrec.object_store import shared_results
from robustrec.progress import Progress, silent
from robustrec.results.findings import Finding
from robustrec.runs.editable import check_edited_training, check_filters
from robustrec.runs.fitting import filtered_features, fitted_filters
from robustrec.runs.plan import subject_specs
from robustrec.runs.precision import precision_notes
from robustrec.runs.prepared import Prepared, edit_source, prepare
from robustrec.runs.specs import check_modalities, reads_features
from robustrec.runs.subjects import obtain_subject
from robustrec.runs.trained import TrainedSubject


def load_dataset(
    name_or_path: str | Path, *, edition: str = "auto", home: Path | str | None = None, progress: Progress = silent
) -> Dataset:
    """Load a data set by its name or the path of its folder; a sample edition is made at first use.

    Args:
        name_or_path: name of an imported data set or a sample, or a folder.
        edition: auto (full if imported, else sample), full or sample.
        home: folder of data sets; None: ROBUSTREC_HOME, else a user data folder.
        progress: reports the progress.

    Raises:
        RobustrecError: there is no such data set, or its files are damaged.
    """
    place = default_home() if home is None else Path(home)
    return registry.load_dataset(str(name_or_path), home=place, edition=edition, progress=progress)


def encode(
    dataset: str | Path | Dataset | None = None, *, progress: Progress = silent, **options: Unpack[Options]
) -> ItemFeatures:
    """Encode the catalog of a data set; stored features are reused, and an interrupted encoding resumes.

    Args:
        dataset: a data set, its name, or its folder.
        progress: reports the progress.
        options: see `Options`; `features` names the encoder.

    Returns:
        The features: `tables` has modality -> float32 [I, D_m].

    Raises:
        RobustrecError: as `robustrec encode`.
    """
    settings = settings_of({"dataset": dataset, **options})
    return encoded_catalog(settings, progress)[1]


def train(
    model: Names | None = None,
    dataset: str | Path | Dataset | None = None,
    *,
    strategy: str | list[str] | None = None,
    progress: Progress = silent,
    **options: Unpack[Options],
) -> list[TrainedSubject]:
    """Train models and store them; stored runs are reused, and an interrupted training resumes.

    Args:
        model: names or classes of recommenders.
        dataset: a data set, its name, or its folder.
        strategy: training strategies.
        progress: reports the progress.
        options: see `Options`.

    Returns:
        A subject for each model, strategy and seed.

    Raises:
        RobustrecError: as `robustrec train`.
    """
    settings = settings_of({"model": model, "dataset": dataset, "strategy": strategy, **options})
    refuse_untrainable(settings)
    return trained(settings, progress).subjects


def evaluate(
    model: Names | None = None,
    dataset: str | Path | Dataset | None = None,
    *,
    strategy: str | list[str] | None = None,
    checkpoint: str | Path | None = None,
    suite: str | Path | None = None,
    progress: Progress = silent,
    **options: Unpack[Options],
) -> list[Finding]:
    """Measure ranking quality on the test split, with confidence intervals over users.

    Args:
        model: names or classes of recommenders.
        dataset: a data set, its name, or its folder.
        strategy: training strategies.
        checkpoint: a run key, or a file of trained parameters.
        suite: name or path of the suite with the metrics.
        progress: reports the progress.
        options: see `Options`.

    Returns:
        A finding for each subject and metric: `clean`, `ci_low` and `ci_high`.

    Raises:
        RobustrecError: as `robustrec evaluate`.
    """
    given = {"model": model, "dataset": dataset, "strategy": strategy, "checkpoint": checkpoint, "suite": suite}
    settings = settings_of({**given, **options})
    return measured_quality(settings, suite_of(settings), progress)[1]


def encoded_catalog(settings: Settings, progress: Progress) -> tuple[Dataset, ItemFeatures]:
    """Load a data set and encode its catalog.

    Raises:
        RobustrecError: as loading or encoding.
    """
    data = registry.load_dataset(settings.dataset, home=settings.home, edition=settings.edition, progress=progress)
    options, first = options_of(settings), encoding_message(data)
    with (
        shared_results(settings.store, offline=settings.offline),
        engine_of(settings) as engine,
        engine.encoding(first, settings, progress),
    ):
        named = named_features(settings.features)
        check_filters(named.filters, data, settings)
        features = item_features(data, named.encoder, home=settings.home, progress=progress, options=options)
        return data, filtered_features(named.filters, data, features, edit_source(settings), progress)


def refuse_untrainable(settings: Settings) -> None:
    """Check that robustrec trains every model.

    Raises:
        RobustrecError: a model only scores, or its parameters come from a file.
    """
    for spec in subject_specs(settings, "sample"):
        if not spec.trains:
            raise RobustrecError(
                f"{spec.model} is not trained by robustrec: it only scores, or its parameters come from a file",
                where="robustrec train",
                fix="measure it instead: robustrec evaluate, or robustrec audit",
            )


class Trainings(NamedTuple):
    """Trained subjects.

    Attributes:
        prepared: data and features on the device.
        subjects: a subject for each model, strategy and seed.
        notes: modalities that a model does not read.
    """

    prepared: Prepared
    subjects: list[TrainedSubject]
    notes: tuple[str, ...]


@full_precision()
def trained(settings: Settings, progress: Progress, *, mask_validation: bool = False) -> Trainings:
    """Train or load the subjects of some settings.

    Raises:
        RobustrecError: an unknown name, or loading, encoding or training failed.
    """
    subject_specs(settings, "sample")  # names are checked before anything is built
    data = registry.load_dataset(settings.dataset, home=settings.home, edition=settings.edition, progress=progress)
    with shared_results(settings.store, offline=settings.offline):
        return _trained(settings, data, progress, mask_validation=mask_validation)


def _trained(settings: Settings, data: Dataset, progress: Progress, *, mask_validation: bool) -> Trainings:
    specs = subject_specs(settings, data.edition, data.name)
    check_edited_training(specs, data, settings)
    features, notes = None, tuple[str, ...]()
    if any(map(reads_features, specs)):
        options = options_of(settings)
        encoder = encoder_of(settings.features)
        features = item_features(data, encoder, home=settings.home, progress=progress, options=options)
        notes = (*check_modalities(specs, features.tables), *precision_notes(specs))
    mask, edits = mask_validation, edit_source(settings)
    fitted = fitted_filters(specs, data, features, edits, progress)
    device = pick_device(settings.device)
    prepared = prepare(data, features, device, mask_validation=mask, fitted=fitted, edits=edits)
    subjects = [obtain_subject(spec, prepared, home=settings.home, progress=progress) for spec in specs]
    return Trainings(prepared, subjects, notes)


@full_precision()
def measured_quality(settings: Settings, suite: Suite, progress: Progress) -> tuple[Trainings, list[Finding]]:
    """Measure the clean quality of the subjects of some settings, with the metrics of a suite.

    Raises:
        RobustrecError: as `trained`.
    """
    run = trained(settings, progress, mask_validation=suite.mask_validation)
    prepared = run.prepared
    values = item_values(prepared.dataset, suite.value)
    metrics = metric_suite_of(suite.metrics, (), prepared, None if values is None else values.values)
    largest = None if values is None else values.largest
    intervals = Intervals(suite.bootstrap, settings.seed, prepared.problem.n_items, largest)
    found: list[Finding] = []
    for subject in run.subjects:
        clean = measure_clean(subject.represent(), prepared.test, metrics)
        found += quality_rows(subject.subject, clean.per_user, intervals)
    return run, found
