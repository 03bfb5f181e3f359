"""Strategies compared on the sample, as a page of results.

    python -m benchmarks.strategies [--models slmrec dragon dualgnn] [--seeds 3] [--epochs 20] [--home FOLDER]

runs `robustrec compare` for each model and writes benchmarks/results/strategies-DATASET-cpu.md. Trainings that are in
the home folder already are not repeated.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from robustrec.comparison.budget import BUDGET_WORDS
from robustrec.comparison.result import Comparison, StrategyReport
from robustrec.comparison.rows import against
from robustrec.config import default_home
from robustrec.files import write_atomically
from robustrec.hardware import cpu_name
from robustrec.results.numbers import plain

COLUMNS = ("budget", "measure", "strategy", "epochs", "gradients", "value", "against the reference", "conclusion")


def main() -> None:
    """Compare, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["slmrec", "dragon", "dualgnn"])
    parser.add_argument("--dataset", default="clothing")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--home", type=Path, default=default_home())
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    found = []
    for model in options.models:
        command = ["compare", "--model", model, "--dataset", options.dataset]
        command += ["--seeds", str(options.seeds), "--epochs", str(options.epochs)]
        started = time.monotonic()
        found.append((command, _compared(command, options.home), time.monotonic() - started))
    output = options.output or Path(f"benchmarks/results/strategies-{options.dataset}-cpu.md")
    write_atomically(output, page(found))


def page(found: list[tuple[list[str], StrategyReport, float]]) -> str:
    """Return the results of several comparisons as Markdown."""
    first = found[0][1]
    kind = "SYNTHETIC sample edition" if first.dataset.synthetic else "Real data"
    lines = [
        f"# Strategies compared, {first.dataset.name}",
        "",
        f"{kind}; features {first.features}; {len(first.seeds)} training seeds, {first.draws} noise draws, "
        f"{first.edit_draws} draws of edited items, {first.n_users:,} users; 95 % intervals over all of them. "
        f"{first.epochs} epochs of plain training at equal budgets.",
        "",
    ]
    lines += [f"    robustrec {' '.join(command)}" for command, *_ in found]
    seconds = ", ".join(f"{spent:.0f} s" for *_, spent in found)
    lines += ["", f"{cpu_name()}, torch {first.environment.torch}; {seconds}, trainings included where not stored.", ""]
    for command, report, _ in found:
        lines += [f"## {command[2]}", "", *(f"- {sentence}" for sentence in report.sentences), ""]
        lines += [_row(COLUMNS), _row("---" for _ in COLUMNS)]
        lines += [_row(_cells(row)) for row in report.rows]
        lines.append("")
    return "\n".join(lines)


def _cells(row: Comparison) -> Iterator[str]:
    yield BUDGET_WORDS[row.budget]
    yield row.measure
    yield row.strategy
    yield f"{row.epochs}{f' ({row.cut_off} cut off)' if row.cut_off else ''}"
    yield str(row.gradients)
    yield plain(row.value.estimate)
    yield against(row)
    yield row.conclusion


def _row(cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"  # type: ignore[call-overload]


def _compared(command: list[str], home: Path) -> StrategyReport:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        full = [sys.executable, "-m", "robustrec", *command, "--home", str(home), "--output", str(path)]
        subprocess.run(full, check=True, stdout=subprocess.DEVNULL)
        return StrategyReport.model_validate_json(path.read_text(encoding="utf-8"), strict=True)


if __name__ == "__main__":
    main()
