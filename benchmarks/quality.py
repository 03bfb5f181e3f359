"""Test quality of every model on one's own data set, under vanilla, with the epochs it took and its settings.

    python -m benchmarks.quality --dataset movielens [--models dragon bm3] [--max-epochs 60] [--patience 5]

Parameters are those of the best validation NDCG@20; the test split is read once, at the end. `--item-graph FILE.npz`
replaces the item graphs of FREEDOM and DRAGON by given neighbours (arrays `image_item`, `image_neighbor`, `text_item`,
`text_neighbor`). Finished models are kept in the result file and not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robustrec.audits.quality import MetricSuite, measure_clean
from robustrec.audits.rows import Intervals, quality_rows
from robustrec.audits.suites import Bootstrap
from robustrec.config import Settings, default_home, parse_overrides
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.files import write_atomically
from robustrec.hardware import cpu_name, describe_environment, pick_device, set_numerics
from robustrec.models import MODELS
from robustrec.models.contract import Graphs, item_graphs, represent
from robustrec.models.graphs import sparse_of, weighted_sum
from robustrec.runs.plan import subject_specs
from robustrec.runs.prepared import Prepared, prepare
from robustrec.runs.specs import SubjectSpec, modalities_read, reads_features, spec_json
from robustrec.runs.subjects import validation_metric
from robustrec.runs.trained import build_model, subject_of
from robustrec.training.trainer import train

METRICS = ("recall@20", "ndcg@20")


def given_graph(path: Path, n_items: int, image_weight: float) -> Graphs:
    """Return the graph of given neighbours, each item's row sharing 1 equally, images and texts mixed."""
    parts = []
    with np.load(path, allow_pickle=False) as archive:
        for modality in ("image", "text"):
            rows, columns = (
                torch.from_numpy(archive[f"{modality}_{side}"].astype(np.int64)) for side in ("item", "neighbor")
            )
            counts = torch.bincount(rows, minlength=n_items).clamp_min(1)
            parts.append(sparse_of(rows, columns, 1.0 / counts[rows].float(), (n_items, n_items)))
    return {"items": weighted_sum([image_weight, 1 - image_weight], parts)}


def measure(spec: SubjectSpec, prepared: Prepared, item_graph: Path | None) -> dict[str, Any]:
    """Train one model and return its test metrics with their intervals, as JSON values."""
    started = time.perf_counter()
    model = build_model(spec, prepared)
    tables = modalities_read(spec.model, prepared.tables)
    graphs = item_graphs(model, tables, prepared.neighbours)
    given = item_graph is not None and spec.model in ("freedom", "dragon")
    if given and item_graph is not None:
        graphs = given_graph(item_graph, prepared.problem.n_items, spec.model_options["image_weight"])
    outcome = train(
        model,
        tables,
        prepared.positives,
        validation_metric(model, tables, prepared, spec.training.validation_metric, graphs),
        config=spec.training,
        strategy_config=spec.strategy,
        seed=spec.seed,
        graphs=graphs,
        progress=partial(_say, spec.model),
    )
    with torch.no_grad():
        representation = represent(model, tables, graphs)
    clean = measure_clean(representation, prepared.test, MetricSuite(METRICS, ()))
    rows = quality_rows(subject_of(spec, prepared), clean.per_user, Intervals(Bootstrap(), spec.seed))
    counters = outcome.counters
    return {
        "model": spec.model,
        "item_graph": "given neighbours" if given else "",
        "settings": spec_json(spec),
        "epochs": counters.epoch,
        "best_epoch": counters.best_epoch,
        "stopped_early": counters.epoch < spec.training.max_epochs,
        "seconds": time.perf_counter() - started,
        "test": {row.metric: [row.clean, row.ci_low, row.ci_high] for row in rows},
    }


def _say(model: str, stage: str, done: int, total: int, note: str = "", /) -> None:
    print(f"{stage} {model}: {done} of {total} {note}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Train and test the models that the result file lacks, and write it anew after each."""
    options = parse(arguments)
    set_numerics(options.threads)
    overrides = parse_overrides([f"training.{key}={value}" for key, value in loop_settings(options).items()], "")
    settings = Settings(model=tuple(options.models), strategy=("vanilla",), dataset=options.dataset, set=overrides)
    dataset = load_dataset(options.dataset, home=options.home, edition="full")
    specs = subject_specs(settings, dataset.edition, dataset.name)
    features = item_features(dataset, "auto", home=options.home) if any(map(reads_features, specs)) else None
    prepared = prepare(dataset, features, pick_device("cpu"))
    path = options.output / f"quality-{dataset.name}-cpu.json"
    record = json.loads(path.read_text()) if path.is_file() else {"results": []}
    record["dataset"] = {
        "name": dataset.name,
        "users": prepared.problem.n_users,
        "items": prepared.problem.n_items,
        "training rows": prepared.problem.edges.shape[1],
        "features": {name: table.shape[1] for name, table in prepared.tables.items()},
        "encoder": features.name if features else "none",
    }
    record["machine"] = {**describe_environment(prepared.device), "cpu": cpu_name(), "cores": os.cpu_count() or 0}
    done = {(result["model"], result["item_graph"]) for result in record["results"]}
    for spec in specs:
        given = options.item_graph and spec.model in ("freedom", "dragon")
        if (spec.model, "given neighbours" if given else "") in done:
            continue
        record["results"].append(measure(spec, prepared, options.item_graph))
        write_atomically(path, json.dumps(record, indent=1) + "\n")
        write_atomically(path.with_suffix(".md"), markdown(record) + "\n")
    print(markdown(record))


def loop_settings(options: argparse.Namespace) -> dict[str, int]:
    """Return the settings of the training loop that the options give."""
    names = ("max_epochs", "patience", "evaluate_every")
    return {name: getattr(options, name) for name in names}


def markdown(record: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    about, machine = record["dataset"], record["machine"]
    widths = ", ".join(f"{name} {width} wide" for name, width in about["features"].items())
    lines = [
        f"# Quality on {about['name']}",
        "",
        f"{about['users']:,} users, {about['items']:,} items, {about['training rows']:,} training rows; features "
        f"{about['encoder']}: {widths}. Strategy vanilla, one training seed; the settings of "
        "`robustrec/models/defaults.toml` (the JSON file has all of them) except the training settings in the table. "
        "Parameters are selected by validation NDCG@20; 95 % intervals over users. Trainings marked + were cut off "
        "before early stopping, so their numbers may be too low.",
        "",
        f"{machine['cpu']}, torch {machine['torch']}; other work ran on the machine, so times are omitted.",
        "",
        "| model | best epoch / epochs | evaluated every | learning rate | Recall@20 | NDCG@20 |",
        "|---|---|---|---|---|---|",
    ]
    for result in sorted(record["results"], key=lambda each: -each["test"]["ndcg@20"][0]):
        loop = result["settings"]["training"]
        name = result["model"] + (f" ({result['item_graph']})" if result["item_graph"] else "")
        epochs = f"{result['best_epoch']} / {result['epochs']}{'' if result['stopped_early'] else '+'}"
        tests = ["{:.4f} [{:.4f}, {:.4f}]".format(*result["test"][metric]) for metric in METRICS]
        cells = [name, epochs, f"{loop['evaluate_every']}", f"{loop['learning_rate']:g}", *tests]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dataset", required=True, help="an imported data set")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--max-epochs", type=int, default=60)
    parser.add_argument("--patience", type=int, default=5, help="evaluations without improvement")
    parser.add_argument("--evaluate-every", type=int, default=2)
    parser.add_argument("--item-graph", type=Path, default=None, help="neighbours for FREEDOM and DRAGON, npz")
    parser.add_argument("--home", type=Path, default=default_home())
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
