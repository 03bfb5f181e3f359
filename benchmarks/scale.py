"""Time and peak memory of one training step and one full evaluation against the size of the data.

    python -m benchmarks.scale [--models dragon bm3] [--sizes eighth electronics] [--threads 2]

Each model and size runs in a process of its own, so that its peak of resident memory is its own. Times are of single
runs: graphs and model are built, then one step is taken to warm up and one is timed, then one evaluation of the test
split. The features themselves are part of the peak; what the data take before a model is built stands beside it. The
nearest items are the same for all models of a size, so they are searched once, in a process and a row of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import cpu_name
from benchmarks.train import peak_resident_bytes
from benchmarks.workload import Size, Workload, make_workload
from robustrec.config import Settings
from robustrec.datasets.interactions import TEST, TRAIN
from robustrec.evaluation.metrics import evaluated_users, per_user_metrics
from robustrec.evaluation.ranking import rank
from robustrec.files import write_atomically
from robustrec.hardware import describe_environment, set_numerics
from robustrec.models import MODELS, model_class
from robustrec.models.contract import Graphs, Problem, item_graphs, represent
from robustrec.models.graphs import Neighbours, cosine_neighbours
from robustrec.runs.plan import subject_specs
from robustrec.seeds import torch_generator
from robustrec.training.sampling import batches_of, positives_of, sample_epoch
from robustrec.training.strategies import Strategy, StrategyConfig
from robustrec.training.trainer import make_optimizer, run_epoch

# Amazon Electronics (spec 1.1), and parts of it: an eighth of users, items and interactions, and that with one doubled.
ELECTRONICS = Size(192_403, 63_001, 1_254_441, 217_000, 217_747, 4096, 384, 2048)
EIGHTH = Size(24_050, 7_875, 156_805, 27_125, 27_218, 4096, 384, 2048)
SIZES = {
    "eighth": EIGHTH,
    "twice the users": EIGHTH._replace(n_users=48_100, train=313_610, validation=54_250, test=54_436),
    "twice the items": EIGHTH._replace(n_items=15_750),
    "quarter": Size(48_100, 15_750, 313_610, 54_250, 54_436, 4096, 384, 2048),
    "electronics": ELECTRONICS,
}


NEIGHBOURS = "nearest items"
K = 10


def search(work: Workload, found: Path) -> dict[str, Any]:
    """Find each item's nearest by both modalities, keep them for the models, and return seconds and peak bytes."""
    before = peak_resident_bytes()
    seconds = {}
    for modality, table in work.features.items():
        started = time.perf_counter()
        items = cosine_neighbours(table, K).items
        seconds[modality] = time.perf_counter() - started
        np.save(found / f"{modality}.npy", items.numpy(), allow_pickle=False)
    return {"seconds": seconds, "peak_bytes": peak_resident_bytes(), "peak_bytes_before": before}


def measure(name: str, work: Workload, found: Path) -> dict[str, Any]:
    """Return seconds and peak bytes of one model on one workload, as JSON values."""

    def neighbours(x: torch.Tensor, k: int) -> Neighbours:
        modality = next(modality for modality, table in work.features.items() if table is x)
        return Neighbours(torch.from_numpy(np.load(found / f"{modality}.npy", allow_pickle=False))[:, :k])

    before = peak_resident_bytes()
    seconds: dict[str, float] = {}
    started = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal started
        now = time.perf_counter()
        seconds[stage], started = now - started, now

    spec = subject_specs(Settings(model=(name,), strategy=("vanilla",), dataset="electronics"), "full")[0]
    edges = torch.stack([torch.from_numpy(ids) for ids in work.interactions.pairs(TRAIN)])
    widths = {modality: table.shape[1] for modality, table in work.features.items()}
    problem = Problem(work.size.n_users, work.size.n_items, edges, widths)
    kind = model_class(name)
    model = kind(problem, kind.Config(**spec.model_options), torch_generator(0, "model"))
    lap("model")
    graphs: Graphs | None = item_graphs(model, work.features, neighbours)
    lap("item_graphs")
    optimizer = make_optimizer(model, spec.training)
    strategy = Strategy(StrategyConfig(), optimizer)
    positives = positives_of(edges, work.size.n_items, torch.device("cpu"))
    batches = list(batches_of(sample_epoch(positives, torch_generator(0, "triples")), work.size.batch))
    lap("sampling")
    model.train()
    for stage in ("first_step", "step"):
        run_epoch(model, work.features, batches[:1], strategy, 0, graphs=graphs)
        lap(stage)
    model.eval()
    with torch.no_grad():
        representation = represent(model, work.features, graphs)
    lap("represent")
    users = evaluated_users(work.interactions, TEST)
    ranking = rank(representation, users, work.interactions.csr(TRAIN), k=50)
    per_user_metrics(ranking, work.interactions.csr(TEST), ["recall@20", "ndcg@20"])
    lap("ranking")
    return {"seconds": seconds, "peak_bytes": peak_resident_bytes(), "peak_bytes_before": before}


def main(arguments: list[str] | None = None) -> None:
    """Measure every model at every size in a process of its own, print the table and write the results."""
    options = parse(arguments)
    set_numerics(options.threads)
    if options.worker:
        name, size, folder = options.worker
        work, found = make_workload(SIZES[size]), Path(folder)
        print(json.dumps(search(work, found) if name == NEIGHBOURS else measure(name, work, found)))
        return
    path = options.output / "scale-cpu.json"
    rows = json.loads(path.read_text())["results"] if path.is_file() else []
    done = {(row["model"], row["size"]) for row in rows}
    machine = {**describe_environment(torch.device("cpu")), "cpu": cpu_name(), "cores": os.cpu_count() or 0}
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            wanted = [name for name in options.models if (name, size) not in done]
            derives = any(hasattr(model_class(name), "item_graphs") for name in wanted)
            for name in [NEIGHBOURS, *wanted] if derives else wanted:
                row = {"model": name, "size": size, **_in_process(name, size, folder)}
                rows = [other for other in rows if (other["model"], other["size"]) != (name, size)] + [row]
                sizes = {each: SIZES[each]._asdict() for each in SIZES}
                record = {"sizes": sizes, "machine": machine, "results": rows}
                write_atomically(path, json.dumps(record, indent=1) + "\n")
                write_atomically(path.with_suffix(".md"), markdown(rows, machine) + "\n")
    print(markdown(rows, machine))


def _in_process(name: str, size: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale", "--worker", name, size, folder]
    command += ["--threads", str(torch.get_num_threads())]
    print(f"measuring {name}, {size} …", file=sys.stderr, flush=True)
    finished = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    return json.loads(finished.stdout) if finished.returncode == 0 else {"failed": finished.returncode}


def markdown(rows: list[dict[str, Any]], machine: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    lines = [
        "# Time and memory by size, on a CPU",
        "",
        ", ".join(f"{key} {value}" for key, value in machine.items()) + ".",
        "Synthetic data, features 4096 and 384 wide, batches of 2,048. Seconds of single runs: building the "
        "model with its graphs, one training step (the second), and an evaluation of the test split. The exact search "
        f"of the {K} nearest items by both modalities has a separate row. Peak: resident memory of the process; in "
        "brackets, the memory of data and libraries before the model was built.",
        "",
        "| size | users | items | training rows | model | build | step | evaluation | peak |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        size = SIZES[row["size"]]
        cells = [row["size"], f"{size.n_users:,}", f"{size.n_items:,}", f"{size.train:,}", row["model"]]
        if "failed" in row:
            cells += [f"ended with code {row['failed']}", "", "", ""]
        else:
            seconds = row["seconds"]
            if row["model"] == NEIGHBOURS:
                cells += [f"{sum(seconds.values()):.1f}", "", ""]
            else:
                evaluation = seconds["represent"] + seconds["ranking"]
                times = (seconds["model"] + seconds["item_graphs"], seconds["step"], evaluation)
                cells += [f"{value:.2f}" for value in times]
            cells.append(
                "{:.1f} GiB ({:.1f})".format(*(row[key] / 2**30 for key in ("peak_bytes", "peak_bytes_before")))
            )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; torch's choice by default")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--worker", nargs=3, metavar=("MODEL", "SIZE", "FOLDER"), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
