"""Training strategies and feature transforms against edits, noise and missing content: a page of results.

    python -m benchmarks.robust_training --dataset NAME --features basic --models vbpr slmrec --seeds 3 --home FOLDER

trains each arm until early stopping and measures it on the test users. Half of the edits are left out of `edit-aug`, so
that it is measured on edits that it has seen and on others. Finished trainings and measurements are not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.training_table import ARMS, DRAWS, SEVERITY, SHARE, Arm, names_of, page
from robustrec.audits.content_use import cold_of, mean_filled
from robustrec.audits.context import AuditContext, clean_of
from robustrec.audits.fills import filled
from robustrec.audits.noise.audit import measure_condition
from robustrec.audits.noise.condition import NoiseCondition
from robustrec.audits.quality import Clean, MetricSuite, metric_suite_of
from robustrec.comparison.measuring import training_of
from robustrec.config import Settings, default_home, parse_overrides
from robustrec.datasets.interactions import TRAIN
from robustrec.datasets.registry import Dataset, load_dataset
from robustrec.edits import edit
from robustrec.encoders.features import ItemFeatures, item_features, row_encoder
from robustrec.encoders.options import options_of
from robustrec.evaluation.ranking import Ranking, rank
from robustrec.files import write_atomically
from robustrec.hardware import cpu_name, describe_environment, full_precision, pick_device, set_numerics
from robustrec.runs.edited_rows import EditedRows, encode_all
from robustrec.runs.fitting import fitted_filters
from robustrec.runs.plan import subject_specs
from robustrec.runs.prepared import Prepared, edit_source, prepare
from robustrec.runs.specs import SubjectSpec, spec_json
from robustrec.runs.store import run_key
from robustrec.runs.subjects import obtain_subject
from robustrec.runs.trained import TrainedSubject
from robustrec.runs.treatments import EditApplier, Row, Treatment, applier_of
from robustrec.seeds import numpy_generator

METRIC, OVERLAP = "ndcg@20", "overlap@20"
SEED = 20261127
Tables = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Perturbed:
    """Raw vectors of the catalogue with every item edited, by whether `edit-aug` sees the edits -> one a draw."""

    seen: list[Tables]
    unseen: list[Tables]


def perturbed_of(applier: EditApplier, rows: EditedRows, features: ItemFeatures) -> Perturbed:
    """Edit every item, a text and a picture edit each, and encode them."""
    found = {
        seen: [_edited(applier, rows, features, draw, seen=seen) for draw in range(DRAWS)] for seen in (True, False)
    }
    return Perturbed(found[True], found[False])


def _edited(applier: EditApplier, rows: EditedRows, features: ItemFeatures, draw: int, *, seen: bool) -> Tables:
    items: list[int] = []

    def edited() -> Iterator[Row]:
        for item in range(len(applier.rows)):
            rng = numpy_generator(SEED, "robust training", int(seen), draw, item)
            parts = tuple(edit(str(rng.choice(names))) for names in names_of(seen=seen))
            for _, row in applier.edited(Treatment("both", parts), item, (SEVERITY,), draw):
                items.append(item)
                yield row

    made = encode_all(edited(), rows.encode)
    tables = {name: table.clone() for name, table in features.tables.items()}
    for name, table in made.items():
        tables[name][items] = table
    return tables


def measured(subject: TrainedSubject, prepared: Prepared, edited: Perturbed) -> dict[str, float]:
    """Return the measures of a subject, means over its users and the draws."""
    suite = metric_suite_of((METRIC,), (OVERLAP,), prepared)
    context = AuditContext(prepared, suite, SEED)
    clean = clean_of(subject, context)
    found = {"clean": float(clean.per_user[METRIC].mean())}
    for name, draws in (("seen", edited.seen), ("unseen", edited.unseen)):
        each = [_ranked(subject, tables, prepared, suite, clean) for tables in draws]
        found[f"edited, {name}"] = float(np.mean([values[METRIC] for values, _ in each]))
        found[f"overlap, {name}"] = float(np.mean([values[OVERLAP] for values, _ in each]))
    found["exposure"] = float(np.mean([_exposure(subject, prepared, clean, draw, edited) for draw in range(DRAWS)]))
    condition = NoiseCondition(0.1, relative=True)
    (noise,) = measure_condition([(subject, clean)], condition, DRAWS, context)
    found["noise"] = float(noise.perturbed[METRIC].mean())
    for modality in subject.scored_tables:
        values, _ = _ranked(subject, filled(subject.tables, [modality], "mean"), prepared, suite, clean)
        found[f"without {modality}"] = values[METRIC]
    values, _ = _ranked(subject, mean_filled(subject), prepared, suite, clean)
    found["mean features"] = values[METRIC]
    cold = cold_of(prepared, suite)
    if cold is not None:
        found["cold items"] = float(cold.values(subject.represent(), METRIC).mean())
    return found


def _ranked(
    subject: TrainedSubject, tables: Tables, prepared: Prepared, suite: MetricSuite, clean: Clean
) -> tuple[dict[str, float], Ranking]:
    split = prepared.test
    own = {name: tables[name].to(prepared.device) for name in subject.tables}
    ranking = rank(subject.represent(own), split.users, split.mask, k=suite.length)
    values = suite.values(ranking, split, clean.ranking)
    return {name: float(values[name].mean()) for name in (METRIC, OVERLAP)}, ranking


def _exposure(subject: TrainedSubject, prepared: Prepared, clean: Clean, draw: int, edited: Perturbed) -> float:
    """Return the places in the lists of a share of the items, all edited, as a share of their places before."""
    tables = {name: table.cpu().clone() for name, table in prepared.tables.items()}
    n_items = prepared.problem.n_items
    chosen = numpy_generator(SEED, "exposure", draw).permutation(n_items)[: round(SHARE * n_items)]
    for name, table in tables.items():
        table[chosen] = edited.unseen[draw][name][chosen]
    suite = metric_suite_of((METRIC,), (OVERLAP,), prepared)
    _, ranking = _ranked(subject, tables, prepared, suite, clean)
    return _places(ranking, chosen) / _places(clean.ranking, chosen)


def _places(ranking: Ranking, items: NDArray[np.int64]) -> int:
    return int(np.isin(ranking.items, items).sum())


@dataclass(frozen=True, eq=False)
class Bench:
    """A data set and its settings; each arm has its own features."""

    settings: Settings
    dataset: Dataset

    def specs(self, model: str, arm: Arm) -> tuple[SubjectSpec, ...]:
        """Return the trainings of an arm, one a seed."""
        base = self.settings
        own: dict[str, Any] = dict(arm.settings)
        if "edit-aug" in arm.strategy:
            own["edit_without"] = [name for names in names_of(seen=False) for name in names]
        features = f"{base.features}+{arm.filter}" if arm.filter else base.features
        update = {"model": (model,), "strategy": (arm.strategy,), "features": features}
        settings = base.model_copy(update={**update, "set": {**base.set, **({"strategy": own} if own else {})}})
        return subject_specs(settings, self.dataset.edition, self.dataset.name)

    def prepared(self, specs: Sequence[SubjectSpec]) -> tuple[Prepared, Perturbed]:
        """Encode the catalog and its edited versions, and fit the filters."""
        home, options = self.settings.home, options_of(self.settings)
        features = item_features(self.dataset, self.settings.features, home=home, options=options)
        encoder = row_encoder(self.dataset, features.name, home=home, options=options)
        rows = EditedRows(encoder, features, home, lambda _: None)
        edited = perturbed_of(applier_of(self.dataset, home, SEED), rows, features)
        source = edit_source(self.settings)
        fitted = fitted_filters(specs, self.dataset, features, source)
        return prepare(self.dataset, features, pick_device("cpu"), fitted=fitted, edits=source), edited


def bench_of(options: argparse.Namespace) -> Bench:
    """Return the data set and settings that a command line names."""
    settings = Settings(
        home=options.home,
        dataset=options.dataset,
        features=options.features,
        seeds=options.seeds,
        offline=True,
        set=parse_overrides([f"training.patience={options.patience}", *options.set], ""),
    )
    return Bench(settings, load_dataset(options.dataset, home=options.home, edition=settings.edition))


def main() -> None:
    """Train and measure what the record lacks, writing it after each; then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="clothing")
    parser.add_argument("--features", default="tiny-blip")
    parser.add_argument("--models", nargs="+", default=["vbpr"])
    parser.add_argument("--arms", nargs="+", default=[arm.label for arm in ARMS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--set", nargs="*", default=[], help="further settings, SECTION.KEY=VALUE")
    parser.add_argument("--home", type=Path, default=default_home())
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    set_numerics(1)
    bench = bench_of(options)
    path = options.output / f"robust-training-{bench.dataset.name}-cpu.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"results": []}
    record |= described(bench)
    arms = [arm for arm in ARMS if arm.label in options.arms]
    planned = [(arm, spec) for model in options.models for arm in arms for spec in bench.specs(model, arm)]
    prepared, edited = bench.prepared([spec for _, spec in planned])
    for arm, spec in planned:
        _add(record, arm, spec, prepared, edited, options.home)
        write_atomically(path, json.dumps(record, indent=1) + "\n")
        write_atomically(
            path.with_suffix(".md"),
            page(record, list(dict.fromkeys(each["model"] for each in record["results"]))) + "\n",
        )


@full_precision()
def _add(
    record: dict[str, Any], arm: Arm, spec: SubjectSpec, prepared: Prepared, edited: Perturbed, home: Path
) -> None:
    """Train and measure a subject, unless the record has it."""
    key = run_key(spec, prepared)
    if any(each["key"] == key and each["arm"] == arm.label for each in record["results"]):
        return
    print(f"{spec.model} {arm.label} seed {spec.seed}", file=sys.stderr, flush=True)
    subject = obtain_subject(spec, prepared, home=home)
    training = training_of(subject, "early-stop", spec, len(prepared.positives.users), arm.label)
    result = {
        "key": key,
        "model": spec.model,
        "arm": arm.label,
        "seed": spec.seed,
        "epochs": training.epochs,
        "best_epoch": training.best_epoch,
        "gradients": training.gradients,
        "cut_off": training.cut_off,
        "settings": spec_json(spec),
        "measures": measured(subject, prepared, edited),
    }
    place = (spec.model, arm.label, spec.seed)  # a run of other settings or of an earlier version is replaced
    others = [each for each in record["results"] if (each["model"], each["arm"], each["seed"]) != place]
    record["results"] = [*others, result]


def described(bench: Bench) -> dict[str, Any]:
    """Return what the page says of data and machine."""
    interactions = bench.dataset.interactions
    return {
        "dataset": bench.dataset.name,
        "synthetic": bench.dataset.synthetic,
        "users": interactions.n_users,
        "items": interactions.n_items,
        "trained": int((interactions.labels == TRAIN).sum()),
        "features": bench.settings.features,
        "patience": bench.settings.set["training"]["patience"],
        "machine": {**describe_environment(pick_device("cpu")), "cpu": cpu_name()},
    }


if __name__ == "__main__":
    main()
