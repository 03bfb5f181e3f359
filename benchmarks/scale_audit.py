"""Processor time and peak memory of one audit of a scorer: a million users, 200,000 items, features 512 wide.

    python -m benchmarks.scale_audit --threads 1 [--scale 0.02] [--sample 20000] [--folder FOLDER]

It writes synthetic data in the MMRec layout, a scorer that gives item and user vectors, and a suite with noise on the
features, and runs `robustrec audit --users SAMPLE` on them in a process of its own, as a user would. Items lie in
clusters, and users take items of one cluster, so that lists find some of what is left out and noise loses it. With
--scale, users, items and the sample are that share of the full size.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from robustrec.files import write_atomically
from robustrec.hardware import cpu_name, describe_environment
from robustrec.results.report import Report, read_report

SEED = 20261
CLUSTER = 50
"""Items of a cluster."""
WIDTH, VECTOR = 512, 64
PER_USER = 6  # training rows 4, validation 1, test 1
ROWS = 16_384
SUITE = """
schema_version = 1
name = "noise on many items"
metrics = ["ndcg@20", "recall@20"]
stability = ["rbo@20"]

[[audits]]
kind = "noise"
sigma2 = [4.0]
draws = 6

[[gates]]
name = "noise"
select = { audit = "noise", metric = "ndcg@20" }
quantity = "relative_drift"
min = -0.05
"""
SCORER = """
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent


class Vectors:
    modalities = ("image",)

    def __init__(self, problem):
        self.projection = np.load(FOLDER / "projection.npy")
        self.users = np.load(FOLDER / "users.npy", mmap_mode="r")

    def item_vectors(self, rows):
        return rows["image"] @ self.projection

    def user_vectors(self, users):
        return self.users[users]
"""


class Size(NamedTuple):
    """Users U, items I, and users ranked."""

    n_users: int
    n_items: int
    sample: int


def make_data(folder: Path, size: Size) -> None:
    """Write interactions, features, user vectors, the scorer and the suite into a folder; the same on every call."""
    rng = np.random.default_rng(SEED)
    n_clusters = max(1, size.n_items // CLUSTER)
    # Near in feature space within a cluster; item i is in cluster i mod n.
    centres = rng.standard_normal((n_clusters, WIDTH), np.float32)
    data = folder / "shop"
    data.mkdir()
    features = np.lib.format.open_memmap(data / "image_feat.npy", "w+", np.float32, (size.n_items, WIDTH))
    projection = rng.standard_normal((WIDTH, VECTOR), np.float32) / np.float32(np.sqrt(WIDTH))
    vectors = np.empty((size.n_items, VECTOR), np.float32)
    for start in range(0, size.n_items, ROWS):
        items = np.arange(start, min(start + ROWS, size.n_items))
        own = rng.standard_normal((len(items), WIDTH), np.float32)
        features[items] = centres[items % n_clusters] + np.float32(0.5) * own
        vectors[items] = features[items] @ projection
    features.flush()
    taken = _taken(size, n_clusters, rng)
    mean = vectors[taken[:, :4]].mean(axis=1)
    np.save(folder / "projection.npy", projection)
    np.save(folder / "users.npy", mean / np.linalg.norm(mean, axis=1, keepdims=True))
    labels = (0, 0, 0, 0, 1, 2)
    with (data / "shop.inter").open("w", encoding="utf-8") as file:
        file.write("userID\titemID\tx_label\n")
        for start in range(0, size.n_users, ROWS):
            rows = taken[start : start + ROWS].tolist()
            file.writelines(
                f"{start + user}\t{item}\t{label}\n"
                for user, items in enumerate(rows)
                for item, label in zip(items, labels, strict=True)
            )
    (folder / "many_items.py").write_text(SCORER, encoding="utf-8")
    (folder / "suite.toml").write_text(SUITE, encoding="utf-8")


def _taken(size: Size, n_clusters: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return distinct items [U, 6] of one cluster for each user; every item is in training."""
    inside = size.n_items // n_clusters
    users = np.arange(size.n_users)
    # The first training items run through the catalog; the others are steps further in the same cluster.
    first = users % (inside * n_clusters)
    steps = 1 + rng.permuted(np.tile(np.arange(inside - 1), (min(size.n_users, ROWS), 1)), axis=1)[:, : PER_USER - 1]
    places = np.concatenate([np.zeros((len(steps), 1), np.int64), steps], axis=1)[users % len(steps)]
    within = (first[:, None] // n_clusters + places) % inside
    return np.asarray(within * n_clusters + first[:, None] % n_clusters, dtype=np.int64)


def run_audit(folder: Path, size: Size, threads: int) -> dict[str, Any]:
    """Run the audit in a process of its own; return its seconds of processor and clock, peak bytes and report."""
    made = folder / "report.json"
    command = [sys.executable, "-m", "robustrec", "audit", "--model", "many_items:Vectors", "--dataset", "shop"]
    command += ["--suite", "suite.toml", "--users", str(size.sample), "--threads", str(threads), "--home", "home"]
    command += ["--device", "cpu", "--quiet", "--fail-on", "never", "--output-format", f"json:{made}"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    _run(command, folder, threads)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "processor_seconds": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
        "clock_seconds": time.perf_counter() - started,
        "peak_bytes": used.ru_maxrss * unit,
        **_found(read_report(made)),
    }


def _run(command: list[str], folder: Path, threads: int) -> None:
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    changed = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    subprocess.run(command, check=True, cwd=folder, env={**os.environ, **changed})


def _found(report: Report) -> dict[str, Any]:
    drifts = {
        row.condition.label: [row.relative_drift, row.relative_ci_low, row.relative_ci_high]
        for row in report.findings
        if row.audit == "noise" and row.metric == "ndcg@20"
    }
    clean = next(row.clean for row in report.findings if row.audit == "clean" and row.metric == "ndcg@20")
    return {
        "verdict": report.verdict,
        "ndcg@20": clean,
        "relative drift": drifts,
        "rankings": report.costs.rankings,
        "durations": report.durations,
    }


def markdown(size: Size, row: dict[str, Any], machine: dict[str, Any], command: str) -> str:
    """Return the result as a Markdown page."""
    features = size.n_items * WIDTH * 4 / 2**30
    drifts = "; ".join(
        f"{label}: {100 * drift:+.1f} % [{100 * low:+.1f}, {100 * high:+.1f}]"
        for label, (drift, low, high) in row["relative drift"].items()
    )
    lines = [
        "# One audit of a scorer by size, on a CPU",
        "",
        f"    {command}",
        "",
        ", ".join(f"{key} {value}" for key, value in machine.items()) + ".",
        "",
        "| users | items | feature width | features | users ranked | rankings | processor time | clock | peak memory |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| {size.n_users:,} | {size.n_items:,} | {WIDTH} | {features:.2f} GiB | {size.sample:,} | {row['rankings']} "
        f"| {row['processor_seconds']:.0f} s | {row['clock_seconds']:.0f} s | {row['peak_bytes'] / 2**30:.2f} GiB |",
        "",
        f"Synthetic data; item vectors {VECTOR} wide, computed by chunks of rows. Clean ndcg@20 {row['ndcg@20']:.3f}; "
        f"relative drift of ndcg@20: {drifts}. Verdict {row['verdict']}.",
        "Seconds of the clock by stage: "
        + ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in row["durations"].items())
        + "; the rest is reading the data, the start and writing the report.",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Make the data, run the audit and write the result."""
    options = parse(arguments)
    share = options.scale
    size = Size(*(round(share * full) for full in (options.users, options.items, options.sample)))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(f"making {size.n_users:,} users and {size.n_items:,} items …", file=sys.stderr, flush=True)
        make_data(Path(folder), size)
        row = run_audit(Path(folder), size, options.threads)
    threads = {"threads": options.threads, "cpu": cpu_name(), "cores": os.cpu_count() or 0}
    machine = {**describe_environment(torch.device("cpu")), **threads}
    command = " ".join(["python -m benchmarks.scale_audit", *(sys.argv[1:] if arguments is None else arguments)])
    text = markdown(size, row, machine, command)
    print(text)
    if options.output is not None:
        record = {"size": size._asdict(), "machine": machine, "result": row}
        write_atomically(options.output / "scale-audit-cpu.json", json.dumps(record, indent=1) + "\n")
        write_atomically(options.output / "scale-audit-cpu.md", text + "\n")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale_audit", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--sample", type=int, default=20_000, help="test users to rank")
    parser.add_argument("--scale", type=float, default=1.0, help="share of users, items and sample")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None, help="where the data are written; 2 GiB at full size")
    parser.add_argument("--output", type=Path, default=None, help="folder for scale-audit-cpu.json and .md")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
