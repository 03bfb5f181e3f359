"""Processor time of commands that compute nothing; the first run of each prepares caches and is left out.

python -m benchmarks.startup --output benchmarks/results
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from robustrec.files import write_atomically
from robustrec.hardware import cpu_name

COMMANDS = (
    "--version",
    "list models",
    "list suites",
    "list encoders",
    "list edits",
    "config show",
    "config show --model slmrec --suite quick",
    "audit --dry-run --suite quick --dataset clothing",
    "audit --dry-run --suite merchant --dataset clothing",
)


def seconds(command: str, home: str) -> float:
    """Return the processor time of one run, user and system, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # An installation has compiled files; without them, the sources would be compiled in each run.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"ROBUSTREC_HOME": home, "PYTHONPYCACHEPREFIX": str(Path(home) / "compiled")}
    subprocess.run(
        [sys.executable, "-m", "robustrec", *command.split()], stdout=subprocess.DEVNULL, env=environment, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="runs of each command")
    parser.add_argument("--output", type=Path, help="folder of the page")
    given = parser.parse_args()
    lines = [
        "# Processor time of commands that compute nothing",
        "",
        f"`python -m benchmarks.startup --output benchmarks/results`, {cpu_name()}, Python {sys.version.split()[0]}:"
        f" user and system time of the whole process, {given.runs} runs after one that prepares the sample edition and"
        " the digests.",
        "",
        "| command | smallest, s | median, s |",
        "|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as home:
        for command in COMMANDS:
            seconds(command, home)
            found = [seconds(command, home) for _ in range(given.runs)]
            lines.append(f"| `robustrec {command}` | {min(found):.2f} | {statistics.median(found):.2f} |")
    page = "\n".join(lines) + "\n"
    print(page)
    if given.output is not None:
        write_atomically(given.output / "startup-cpu.md", page)


if __name__ == "__main__":
    main()
