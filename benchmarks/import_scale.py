"""Processor time and peak memory of `robustrec data import` of Parquet files against the number of rows.

    python -m benchmarks.import_scale [--rows 1000000 10000000] [--items 1000000] [--users 1000000]

The interactions (user int64, item text, rating float32, time in milliseconds) and a catalog with titles are drawn and
written in row groups; every item occurs, and popularity follows a power law. The whole command is measured in a process
of its own: reading, numbering, k-core with k = 1, split, writing, the digest and the description.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robustrec.files import write_atomically
from robustrec.hardware import cpu_name

pa, pq = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))  # neither has types

RESULT = Path(__file__).parent / "results" / "import-scale-cpu.md"
GROUP_ROWS = 1_000_000
WORDS = ("soft", "red", "cotton", "large", "steel", "kids", "light", "travel", "garden", "set", "case", "lamp")
GOAL_ROWS, GOAL_GIB = 1_000_000, 24


class Measured(NamedTuple):
    """Rows, items and bytes of the files, processor and wall-clock seconds, and the peak of resident memory in GiB."""

    rows: int
    items: int
    size: int
    processor: float
    wall: float
    peak: float
    said: str


def write_shop(folder: Path, rows: int, items: int, users: int) -> None:
    """Write interactions.parquet and items.parquet."""
    random = np.random.default_rng(0)
    schema = pa.schema(
        [("user_id", pa.int64()), ("item_id", pa.string()), ("rating", pa.float32()), ("timestamp", pa.timestamp("ms"))]
    )
    names = np.array([f"I{row:07}" for row in range(items)])
    with pq.ParquetWriter(folder / "interactions.parquet", schema) as writer:
        for first in range(0, rows, GROUP_ROWS):
            n = min(GROUP_ROWS, rows - first)
            drawn = (items * random.random(n) ** 2.5).astype(np.int64)
            every = np.arange(first, min(first + n, items))  # each item once
            drawn[: len(every)] = every
            columns = [
                pa.array(random.integers(0, users, n)),
                pa.array(names[drawn]),
                pa.array(random.integers(1, 6, n).astype(np.float32)),
                pa.array(1_500_000_000_000 + random.integers(0, 10**11, n), pa.timestamp("ms")),
            ]
            writer.write_table(pa.table(columns, schema=schema))
    titles = [" ".join(WORDS[at] for at in random.integers(0, len(WORDS), 6)) for _ in range(items)]
    pq.write_table(pa.table({"item_id": names, "title": titles}), folder / "items.parquet", row_group_size=GROUP_ROWS)


def measure(rows: int, items: int, users: int) -> Measured:
    """Write the files and import them in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "shop"
        folder.mkdir()
        write_shop(folder, rows, items, users)
        size = sum(path.stat().st_size for path in folder.iterdir())
        command = [sys.executable, "-m", "robustrec", "data", "import", str(folder), "--name", "scale", "--k", "1"]
        began = time.perf_counter()
        child = subprocess.Popen(
            [*command, "--home", f"{place}/home"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        said = child.stderr.read() if child.stderr is not None else ""
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(said)
        line = next((each.strip() for each in said.splitlines() if each.startswith("Parquet")), "")
        spent = usage.ru_utime + usage.ru_stime
        return Measured(rows, items, size, spent, time.perf_counter() - began, usage.ru_maxrss / 2**20, line)


def page(found: list[Measured], command: str) -> str:
    """Return the result page."""
    lines = [
        "# Import of Parquet files by size, on a CPU",
        "",
        f"`{command}` on {cpu_name()}, Python {platform.python_version()}. Interactions and a catalog",
        "with titles, both Parquet; the whole command is measured, with k-core (k = 1), split, digest and description.",
        "Other work ran on the machine, so rows per minute are of **processor time**. Goal at 10 million rows and",
        "1 million items:",
        f"at least {GOAL_ROWS:,} rows a minute, at most {GOAL_GIB} GiB.",
        "",
        "| interactions | items | files, MB | processor time, s | rows per minute | wall-clock time, s | peak, GiB |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {each.rows:,} | {each.items:,} | {each.size / 1e6:.0f} | {each.processor:.0f} |"
            f" {60 * each.rows / each.processor:,.0f} | {each.wall:.0f} | {each.peak:.2f} |"
            for each in found
        ),
        "",
        f"The command says, for example: `{found[-1].said}`.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, default=RESULT)
    given = parser.parse_args()
    found = [measure(rows, min(given.items, rows), given.users) for rows in given.rows]
    words = f"python -m benchmarks.import_scale --rows {' '.join(map(str, given.rows))} --items {given.items}"
    text = page(found, words)
    write_atomically(given.output, text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
