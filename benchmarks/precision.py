"""Test quality of trainings with bf16 inputs beside float32, over training seeds.

    python -m benchmarks.precision [--models vbpr slmrec] [--dataset clothing] [--seeds 5] [--output DIR]

Each seed trains twice, with the same initial parameters and triples. On a CPU inputs are rounded to bf16 and multiplied
in float32: the same results as on a GPU except for the order of summation, and no measure of speed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

from scipy import stats

from benchmarks.quality import measure
from robustrec.config import Settings, default_home
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.files import write_atomically
from robustrec.hardware import describe_environment, pick_device, set_numerics
from robustrec.runs.plan import subject_specs
from robustrec.runs.prepared import prepare

METRIC = "ndcg@20"
PRECISIONS = ("float32", "bf16")


def compare(values: dict[str, list[float]]) -> dict[str, float]:
    """Return means, float32's standard deviation over seeds, and the mean difference with its 95 % interval (t)."""
    differences = [b - a for a, b in zip(values["float32"], values["bf16"], strict=True)]
    n = len(differences)
    mean = statistics.fmean(differences)
    half = float(stats.t.ppf(0.975, n - 1)) * statistics.stdev(differences) / math.sqrt(n)
    return {
        "float32": statistics.fmean(values["float32"]),
        "bf16": statistics.fmean(values["bf16"]),
        "seed_sd": statistics.stdev(values["float32"]),
        "difference": mean,
        "low": mean - half,
        "high": mean + half,
    }


def page(results: list[dict[str, Any]], command: str, machine: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    lines = [
        "# Quality of trainings with bf16 inputs",
        "",
        f"`{command}`",
        "",
        f"Test {METRIC.upper()}, means over {len(results[0]['values']['float32'])} training seeds. The difference is "
        "bf16 minus float32 of the same seed, with its 95 % interval (t); the standard deviation is that of float32 "
        "over the seeds. On a CPU bf16 is rounding of the inputs before a float32 product.",
        "",
        ", ".join(f"{key} {value}" for key, value in machine.items()) + ".",
        "",
        "| model | float32 | bf16 | difference (95 %) | standard deviation over seeds | within it |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        found = compare(result["values"])
        within = "yes" if abs(found["difference"]) <= found["seed_sd"] else "no"
        interval = f"{found['difference']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"
        cells = [result["model"], f"{found['float32']:.4f}", f"{found['bf16']:.4f}", interval]
        lines.append("| " + " | ".join([*cells, f"{found['seed_sd']:.4f}", within]) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Train every model under both precisions for every seed, and print the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", default=["vbpr", "slmrec"])
    parser.add_argument("--dataset", default="clothing", help="data set; a name of a sample uses its sample edition")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--home", type=Path, default=default_home())
    parser.add_argument("--output", type=Path, help="folder to write precision-DEVICE.md and .json to")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error("--seeds must be at least 2")
    set_numerics(1)
    device = pick_device(options.device)
    dataset = load_dataset(options.dataset, home=options.home, edition="auto")
    prepared = prepare(dataset, item_features(dataset, "auto", home=options.home), device)
    results = []
    started = time.process_time()
    for model in options.models:
        values: dict[str, list[float]] = {}
        for precision in PRECISIONS:
            settings = Settings(model=(model,), strategy=("vanilla",), seeds=options.seeds)
            settings = settings.model_copy(update={"set": {"training": {"precision": precision}}})
            specs = subject_specs(settings, dataset.edition, dataset.name)
            values[precision] = [measure(spec, prepared, None)["test"][METRIC][0] for spec in specs]
        results.append({"model": model, "values": values})
    machine = {**describe_environment(device), "seconds of processor time": round(time.process_time() - started)}
    command = f"python -m benchmarks.precision --models {' '.join(options.models)} --dataset {options.dataset}"
    command += f" --seeds {options.seeds} --device {options.device}"
    text = page(results, command, machine)
    print(text)
    if options.output is not None:
        record = {"command": command, "machine": machine, "results": results}
        write_atomically(options.output / f"precision-{device.type}.json", json.dumps(record, indent=1) + "\n")
        write_atomically(options.output / f"precision-{device.type}.md", text + "\n")


if __name__ == "__main__":
    main()
