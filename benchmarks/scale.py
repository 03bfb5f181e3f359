"""Processor time and peak memory of training and evaluation against the size of the data.

    python -m benchmarks.scale --threads 1 [--models dragon bm3] [--sizes eighth electronics] [--minutes 25]

Each model and size runs in a process of its own, so that its peak of resident memory is its own. Times are processor
time of single runs, which other load hardly stretches: graphs and model are built, an epoch is begun (LATTICE learns
its item graph then), its first step is taken, one step warms up and the next one is timed; an epoch is the beginning,
the first step and as many later steps as batches remain. A sample of test users is ranked and the time scaled to all of
them. The features themselves are part of the peak; what the data take before a model is built stands beside it. The
nearest items are the same for all models of a size, and so are the users who share most items: each is searched once,
in a process and a row of its own.

Rows in the results that were measured by the same method at the same size and number of threads are kept, so that an
interrupted run goes on where it stopped; --again measures them again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.train import peak_resident_bytes
from benchmarks.workload import Size, Workload, make_workload
from robustrec.config import Settings
from robustrec.datasets.interactions import TEST, TRAIN
from robustrec.evaluation.metrics import evaluated_users, per_user_metrics
from robustrec.evaluation.ranking import rank
from robustrec.files import write_atomically
from robustrec.hardware import cpu_name, describe_environment, set_numerics
from robustrec.models import MODELS, model_class
from robustrec.models.contract import Graphs, Problem, item_graphs, represent
from robustrec.models.graphs import Neighbours, UserGraph, co_occurrence, cosine_neighbours
from robustrec.runs.plan import subject_specs
from robustrec.seeds import numpy_generator, torch_generator
from robustrec.training.content import Content
from robustrec.training.sampling import batches_of, positives_of, sample_epoch
from robustrec.training.strategies import Strategy, StrategyConfig
from robustrec.training.trainer import begin_epoch, make_optimizer, take_steps

# Amazon Electronics (spec 1.1), and an eighth of its users, items and interactions, with one of them two and four times
# as many: interactions grow with users, and items alone make the data sparser.
ELECTRONICS = Size(192_403, 63_001, 1_254_441, 217_000, 217_747, 4096, 384, 2048)
EIGHTH = Size(24_050, 7_875, 156_805, 27_125, 27_218, 4096, 384, 2048)
SIZES = {
    "eighth": EIGHTH,
    "users x2": EIGHTH._replace(n_users=48_100, train=313_610, validation=54_250, test=54_436),
    "users x4": EIGHTH._replace(n_users=96_200, train=627_220, validation=108_500, test=108_872),
    "items x2": EIGHTH._replace(n_items=15_750),
    "items x4": EIGHTH._replace(n_items=31_500),
    "electronics": ELECTRONICS,
}
GROWTH = ("bpr", "slmrec", "dragon", "freedom", "lattice")
"""Models whose growth is measured; the others at Electronics' size only."""

NEIGHBOURS = "nearest items"
K = 10
USERS = "nearest users"
SHARED = ("dualgnn", "dragon")
"""Models that use the users who share most items."""
K_USERS = 40
RANKED = 2_000
"""Test users that are ranked at most."""
COLUMNS = (
    *("size", "users", "items", "training rows", "model"),
    *("build", "begin + first step", "step", "epoch", "evaluation", "peak"),
)
METHOD = 2
"""Version of what is timed; rows of other versions are measured again."""


def search(work: Workload, found: Path) -> dict[str, Any]:
    """Find each item's nearest by both modalities, keep them for the models, and return seconds and peak bytes."""
    before = peak_resident_bytes()
    seconds = {}
    for modality, table in work.features.items():
        started = time.process_time()
        items = cosine_neighbours(table, K).items
        seconds[modality] = time.process_time() - started
        np.save(found / f"{modality}.npy", items.numpy(), allow_pickle=False)
    return {"seconds": seconds, "peak_bytes": peak_resident_bytes(), "peak_bytes_before": before}


def search_users(work: Workload, found: Path) -> dict[str, Any]:
    """Find the users who share most items with each user, keep them for the models, and return seconds and bytes."""
    before, started = peak_resident_bytes(), time.process_time()
    edges = torch.stack([torch.from_numpy(ids) for ids in work.interactions.pairs(TRAIN)])
    graph = co_occurrence(edges, work.size.n_users, work.size.n_items, K_USERS)
    seconds = {"users": time.process_time() - started}
    np.savez(found / "users.npz", allow_pickle=False, **graph._asdict())
    return {"seconds": seconds, "peak_bytes": peak_resident_bytes(), "peak_bytes_before": before}


def measure(name: str, work: Workload, found: Path) -> dict[str, Any]:
    """Return seconds and peak bytes of one model on one workload, as JSON values."""

    def neighbours(x: torch.Tensor, k: int) -> Neighbours:
        modality = next(modality for modality, table in work.features.items() if table is x)
        return Neighbours(torch.from_numpy(np.load(found / f"{modality}.npy", allow_pickle=False))[:, :k])

    before = peak_resident_bytes()
    seconds: dict[str, float] = {}
    started = time.process_time()

    def lap(stage: str) -> None:
        nonlocal started
        now = time.process_time()
        seconds[stage], started = now - started, now

    spec = subject_specs(Settings(model=(name,), strategy=("vanilla",), dataset="electronics"), "full")[0]
    edges = torch.stack([torch.from_numpy(ids) for ids in work.interactions.pairs(TRAIN)])
    widths = {modality: table.shape[1] for modality, table in work.features.items()}
    users_file = found / "users.npz"
    with np.load(users_file, allow_pickle=False) if users_file.is_file() else nullcontext() as stored:
        graph = UserGraph(*(stored[each] for each in UserGraph._fields)) if stored is not None else None
    problem = Problem(work.size.n_users, work.size.n_items, edges, widths, graph)
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
    state = begin_epoch(model, work.features, edges.device, 0, 0)
    lap("begin_epoch")
    for place, stage in enumerate(("first_step", "warm_up", "step")):
        batch = batches[place % len(batches)]._replace(epoch=state, step=place, seed=place)
        take_steps(Content(model, work.features, graphs), [batch], strategy, place)
        lap(stage)
    model.eval()
    with torch.no_grad():
        representation = represent(model, work.features, graphs)
    lap("represent")
    everyone = evaluated_users(work.interactions, TEST)
    users = np.sort(numpy_generator(0, "ranked users").permutation(everyone)[:RANKED])
    ranking = rank(representation, users, work.interactions.csr(TRAIN), k=50)
    per_user_metrics(ranking, work.interactions.csr(TEST), ["recall@20", "ndcg@20"])
    lap("ranking")
    seconds["ranking"] *= len(everyone) / len(users)
    return {
        "seconds": seconds,
        "batches": len(batches),
        "peak_bytes": peak_resident_bytes(),
        "peak_bytes_before": before,
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure every model at every size in a process of its own, print the table and write the results."""
    options = parse(arguments)
    set_numerics(options.threads)
    if options.worker:
        name, size, folder = options.worker
        work, found = make_workload(SIZES[size]), Path(folder)
        searches = {NEIGHBOURS: search, USERS: search_users}
        print(json.dumps(searches[name](work, found) if name in searches else measure(name, work, found)))
        return
    path, threads = options.output / "scale-cpu.json", torch.get_num_threads()
    rows = kept_rows(json.loads(path.read_text())["results"] if path.is_file() else [], threads)
    done = set() if options.again else {(row["model"], row["size"]) for row in rows if "failed" not in row}
    machine = {**describe_environment(torch.device("cpu")), "cpu": cpu_name(), "cores": os.cpu_count() or 0}
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            wanted = [name for name in models_at(size, options.models) if (name, size) not in done]
            shared = [USERS] if {*SHARED} & {*wanted} else []
            for name in [*([NEIGHBOURS] if _derive_graphs(wanted) else []), *shared, *wanted]:
                if processor_minutes() > options.minutes:
                    print(f"stopped before {name}, {size}, after {options.minutes:g} minutes", file=sys.stderr)
                    break
                row = {
                    "model": name,
                    "size": size,
                    "method": METHOD,
                    "threads": threads,
                    "data": SIZES[size]._asdict(),
                    **_in_process(name, size, folder),
                }
                rows = [other for other in rows if (other["model"], other["size"]) != (name, size)] + [row]
                rows.sort(key=_place)
                write_atomically(path, json.dumps({"machine": machine, "results": rows}, indent=1) + "\n")
                write_atomically(path.with_suffix(".md"), markdown(rows, machine) + "\n")
    print(markdown(rows, machine))


def kept_rows(rows: list[dict[str, Any]], threads: int) -> list[dict[str, Any]]:
    """Return the rows that were measured by this method, at the same sizes and with as many threads."""
    return [
        row
        for row in rows
        if (row.get("method"), row.get("threads")) == (METHOD, threads)
        and row["size"] in SIZES
        and row["data"] == SIZES[row["size"]]._asdict()
    ]


def models_at(size: str, models: list[str] | None) -> list[str]:
    """Return the models to measure at a size: those asked for, else all at Electronics' size and some elsewhere."""
    if models:
        return models
    return list(MODELS) if size == "electronics" else list(GROWTH)


def processor_minutes() -> float:
    """Return the processor time of this process and of those that it waited for, in minutes."""
    used = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used) / 60


def _derive_graphs(models: list[str]) -> bool:
    return any(hasattr(model_class(name), "item_graphs") for name in models)


def _place(row: dict[str, Any]) -> tuple[int, int]:
    names = [NEIGHBOURS, USERS, *MODELS]
    return list(SIZES).index(row["size"]), names.index(row["model"])


def _in_process(name: str, size: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale", "--worker", name, size, folder]
    command += ["--threads", str(torch.get_num_threads())]
    print(f"measuring {name}, {size} …", file=sys.stderr, flush=True)
    finished = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    return json.loads(finished.stdout) if finished.returncode == 0 else {"failed": finished.returncode}


def markdown(rows: list[dict[str, Any]], machine: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    lines = [
        "# Processor time and memory by size, on a CPU",
        "",
        ", ".join(f"{key} {value}" for key, value in machine.items()) + ".",
        "Synthetic data, features 4096 and 384 wide, batches of 2,048. Seconds of processor time, of single runs: "
        "building the model with its graphs; beginning an epoch and its first step (in which LATTICE learns its item "
        "graph); a later step; an epoch of these; and an evaluation of the test split, of which at most "
        f"{RANKED:,} users were ranked and the time scaled to all. The search of the {K} nearest items by both "
        f"modalities, and of the {K_USERS} users who share most items with each, have rows of their own and are part "
        "of no other. Peak: resident memory of the process; in brackets, the "
        "memory of data and libraries before the model was built.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    for row in rows:
        data = row["data"]
        cells = [row["size"], *(f"{data[key]:,}" for key in ("n_users", "n_items", "train")), row["model"]]
        if "failed" in row:
            cells += [f"ended with code {row['failed']}", "", "", "", "", ""]
        else:
            cells += _times(row)
            cells.append(
                "{:.1f} GiB ({:.1f})".format(*(row[key] / 2**30 for key in ("peak_bytes", "peak_bytes_before")))
            )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *growth(rows)])


def _times(row: dict[str, Any]) -> list[str]:
    if row["model"] in (NEIGHBOURS, USERS):
        return [f"{sum(row['seconds'].values()):.1f}", "", "", "", ""]
    return [f"{value:.2f}" for value in times_of(row).values()]


def times_of(row: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of a model's row as the table has them."""
    seconds = row["seconds"]
    begin = seconds["begin_epoch"] + seconds["first_step"]
    return {
        "build": seconds["model"] + seconds["item_graphs"],
        "begin": begin,
        "step": seconds["step"],
        "epoch": begin + seconds["step"] * (row["batches"] - 1),
        "evaluation": seconds["represent"] + seconds["ranking"],
    }


def growth(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table of what an epoch, an evaluation and the peak grow by where users or items do."""
    found = {(row["model"], row["size"]): row for row in rows if "failed" not in row}
    lines = []
    for name in GROWTH:
        base = found.get((name, "eighth"))
        for size in SIZES:
            row = found.get((name, size))
            if base is None or row is None or " x" not in size:
                continue
            ours, first = times_of(row), times_of(base)
            ratios = [ours[each] / first[each] for each in ("epoch", "evaluation")]
            ratios.append(row["peak_bytes"] / base["peak_bytes"])
            lines.append(f"| {name} | {size} | " + " | ".join(f"{ratio:.1f}" for ratio in ratios) + " |")
    head = [
        "Growth over the size `eighth`:",
        "",
        "| model | size | epoch | evaluation | peak |",
        "|---|---|---|---|---|",
    ]
    return [*head, *lines] if lines else []


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=list(MODELS))
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; torch's choice by default")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no row after this processor time")
    parser.add_argument("--again", action="store_true", help="also measure rows that the results have")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--worker", nargs=3, metavar=("MODEL", "SIZE", "FOLDER"), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
