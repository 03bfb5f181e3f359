"""Results of a benchmark as JSON and as a table for people."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from robustrec.files import write_atomically
from robustrec.hardware import cpu_name

HEAD = (
    "| model | strategy | s/epoch | s/evaluation | time over vanilla (min-max) | processor time | bound "
    "| forward + backward | peak |\n|---|---|---|---|---|---|---|---|---|"
)


def save_results(
    results: list[dict[str, Any]],
    settings: dict[str, Any],
    environment: dict[str, Any],
    device: torch.device,
    folder: Path | None,
) -> None:
    """Print the table, and write train-DEVICE.json and .md into the folder if one is given."""
    machine = {**environment, "cpu": cpu_name(), "cores": os.cpu_count() or 0}
    text = markdown(results, settings, machine)
    print(text)
    if folder is not None:
        record = {"settings": settings, "machine": machine, "results": results}
        write_atomically(folder / f"train-{device.type}.json", json.dumps(record, indent=1) + "\n")
        write_atomically(folder / f"train-{device.type}.md", text + "\n")


def markdown(results: list[dict[str, Any]], settings: dict[str, Any], machine: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    size = settings["size"]
    lines = [
        f"# Training cost on {machine['device']}",
        "",
        ", ".join(f"{key} {value}" for key, value in machine.items()) + ".",
        f"{size['n_users']:,} users, {size['n_items']:,} items, {size['train']:,} training rows, features "
        f"{size['image_width']} and {size['text_width']} wide, batches of {size['batch']:,}; "
        f"{settings['rounds']} epochs per strategy, alternating every {settings['block']} batches.",
        "Passes are those of the first measured epoch (+n: forward passes without gradient that test whether a "
        "mirrored step raised the loss). Bound: average gradient evaluations per step. Peak: memory of the "
        "device under that strategy; on a CPU, of the whole process with all strategies.",
        "",
        HEAD,
    ]
    for result in results:
        lines += [_row(result, strategy, values) for strategy, values in result["strategies"].items()]
    return "\n".join(lines)


def _row(result: dict[str, Any], strategy: str, values: dict[str, Any]) -> str:
    peak = values["peak_device_bytes"] if result["peak_bytes"] is None else result["peak_bytes"]
    probes = f" +{values['probe_passes']}" if values["probe_passes"] else ""
    ratio = f"{values['ratio']:.2f} ({values['ratio_min']:.2f}-{values['ratio_max']:.2f})"
    cells = (
        result["model"],
        strategy,
        f"{values['seconds_per_epoch']:.2f}",
        f"{values['seconds_per_evaluation']:.2f}",
        "1" if strategy == "vanilla" else ratio,
        "1" if strategy == "vanilla" else f"{values['cpu_ratio']:.2f}",
        f"{values['ratio_bound']:.2f}",
        f"{values['forward_passes']} + {values['backward_passes']}{probes}",
        f"{peak / 2**20:,.0f} MiB",
    )
    return "| " + " | ".join(cells) + " |"
