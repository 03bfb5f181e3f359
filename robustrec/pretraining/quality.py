"""Recommenders trained on features of an encoder and on `basic` features, compared on the same users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.quality import MetricSuite, measure_clean
from robustrec.config import Settings
from robustrec.datasets.registry import Dataset, load_dataset
from robustrec.encoders.features import item_features
from robustrec.encoders.options import EncoderOptions
from robustrec.evaluation.statistics import paired_interval
from robustrec.hardware import pick_device
from robustrec.progress import Progress, silent
from robustrec.runs.plan import evaluation_options, subject_specs
from robustrec.runs.prepared import edit_source, prepare
from robustrec.runs.subjects import obtain_subject

METRICS = ("recall@20", "ndcg@20")


class Gain(NamedTuple):
    """One metric of one model on one data set: test means over users, and the paired difference with its interval."""

    dataset: str
    edition: str
    model: str
    metric: str
    seeds: int
    basic: float
    blip: float
    difference: float
    low: float
    high: float


def gains(
    folder: Path,
    datasets: Sequence[str],
    models: Sequence[str],
    *,
    home: Path,
    edition: str = "auto",
    seeds: int = 1,
    device: str = "auto",
    progress: Progress = silent,
) -> list[Gain]:
    """Return the quality with fused features of an encoder and with `basic` features, by data set and model.

    Training uses the strategy `vanilla` and the defaults of the edition. Intervals are over users, and over training
    seeds if there are several.

    Args:
        folder: folder of the encoder.
        datasets: names or paths.
        models: recommenders that read features.
        home: the robustrec home folder.
        edition: edition of the data sets.
        seeds: number of training seeds.
        device: the device.
        progress: reports the stages of encoding and training.
    """
    out = []
    for name in datasets:
        dataset = load_dataset(name, home=home, edition=edition, progress=progress)
        for model in models:
            settings = Settings(home=home, model=(model,), strategy=("vanilla",), seeds=seeds, device=device)
            basic, blip = (_per_user(dataset, encoder, settings, folder, progress) for encoder in ("basic", "blip"))
            for metric in METRICS:
                difference = blip[metric] - basic[metric]  # the same seed, the same user
                found = paired_interval(np.zeros(difference.shape[1]), difference, seed=0).drift
                means = float(basic[metric].mean()), float(blip[metric].mean())
                out.append(
                    Gain(
                        dataset.name,
                        dataset.edition,
                        model,
                        metric,
                        seeds,
                        *means,
                        found.estimate,
                        found.low,
                        found.high,
                    )
                )
    return out


def verdict(rows: Sequence[Gain]) -> str:
    """Return a sentence on whether recommenders are significantly better with the encoder."""
    better = sum(row.low > 0 for row in rows)
    worse = sum(row.high < 0 for row in rows)
    if better == len(rows):
        return "Yes: significantly better than basic features on every data set, model and metric below."
    if better > worse == 0:
        return (
            f"Partly: significantly better in {better} of {len(rows)} rows below, no significant difference in the"
            " others."
        )
    return (
        f"Not shown: significantly better in {better} of {len(rows)} rows below, significantly worse in {worse}, "
        f"no significant difference in {len(rows) - better - worse}."
    )


def _per_user(
    dataset: Dataset, encoder: str, settings: Settings, folder: Path, progress: Progress
) -> dict[str, NDArray[np.float64]]:
    """Return metric -> [seeds, n users]."""
    options = EncoderOptions(weights=(str(folder),), device=settings.device) if encoder == "blip" else None
    features = item_features(dataset, encoder, home=settings.home, options=options, progress=progress)
    mask = bool(evaluation_options(settings).mask_validation)
    edits = replace(edit_source(settings), options=options or EncoderOptions())
    prepared = prepare(dataset, features, pick_device(settings.device), mask_validation=mask, edits=edits)
    metric_suite = MetricSuite(METRICS, ())
    found: dict[str, list[NDArray[np.float64]]] = {metric: [] for metric in METRICS}
    for spec in subject_specs(settings, dataset.edition):
        subject = obtain_subject(spec, prepared, home=settings.home, progress=progress)
        per_user = measure_clean(subject.represent(), prepared.test, metric_suite).per_user
        for metric in METRICS:
            found[metric].append(per_user[metric])
    return {metric: np.stack(rows) for metric, rows in found.items()}


def with_gains(card: dict[str, Any], rows: Sequence[Gain]) -> dict[str, Any]:
    """Return a card with these results and their verdict."""
    return {**card, "recommenders": {"verdict": verdict(rows), "rows": [row._asdict() for row in rows]}}
