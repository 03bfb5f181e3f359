"""How often intervals hold the truth with few draws and with few users who differ, and how often stated losses fail.

Draws: normal effects of users, draws and cells in equal parts, or of the draws alone. Users: three in ten have a value,
a perturbation takes all of it from a few (or, mixed, gives as many a new place), and the number who differ is random.
Power: one run states what it detects; the truth is moved there and another run is judged by the same gate, with the
correction for eight findings.

    python -m benchmarks.few --output benchmarks/results
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from robustrec.audits.rows import Intervals, drift_rows
from robustrec.audits.suites import Bootstrap
from robustrec.evaluation.sparse import FEWEST_CHANGED
from robustrec.evaluation.statistics import paired_intervals
from robustrec.files import write_atomically
from robustrec.hardware import cpu_name
from robustrec.results.conditions import Condition
from robustrec.results.findings import Finding
from robustrec.results.gates import Gate
from robustrec.results.judging import judge
from robustrec.subject import Subject

SUBJECT = Subject(model="vbpr", strategy="vanilla", features="basic", seed=0)
PLACES = 1 / np.log2(np.arange(2, 22))
HIT = 0.3
BATCH = 50
FAMILY = 8


def of_draws(audits: int, rng: np.random.Generator) -> Iterator[str]:
    """Yield a row of the table of coverage by number of draws."""
    n = 200
    for shares, name in (((1 / 3, 1 / 3, 1 / 3), "users, draws and cells alike"), ((0.01, 0.98, 0.01), "draws alone")):
        for draws in (2, 3, 4, 6, 8, 12):
            held, widths = 0, []
            for start in range(0, audits, BATCH):
                clean, moved = {}, {}
                for key in range(BATCH):
                    spreads = np.sqrt(np.array(shares) * [n, draws, draws * n])
                    effects = spreads[0] * rng.standard_normal(n) + spreads[1] * rng.standard_normal((draws, 1))
                    clean[key] = np.zeros(n)
                    moved[key] = effects + spreads[2] * rng.standard_normal((draws, n))
                for each in paired_intervals(clean, moved, seed=start, replicates=400).values():
                    held += each.drift.low <= 0 <= each.drift.high
                    widths.append(each.drift.high - each.drift.low)
            yield f"| {name} | {draws} | {100 * held / audits:.1f} % | {np.median(widths):.1f} |"


def of_users(audits: int, rng: np.random.Generator) -> Iterator[str]:
    """Yield a row of the table of coverage by number of users who differ."""
    base = HIT * PLACES.mean()
    for n in (100, 1000, 5000):
        for expected in (0.5, 3, 8, 12, 20):
            for mixed in (False, True):
                share, held, few, widths = expected / n, 0, 0, []
                gained = (PLACES.mean() - base) / 2 - base / 2
                truth = share * (gained if mixed else -base)
                for start in range(0, audits, BATCH):
                    clean, moved = {}, {}
                    for key in range(BATCH):
                        clean[key] = (rng.random(n) < HIT) * rng.choice(PLACES, n)
                        other = np.where(rng.random(n) < 0.5, rng.choice(PLACES, n), 0.0) if mixed else np.zeros(n)
                        moved[key] = np.tile(np.where(rng.random(n) < share, other, clean[key]), (4, 1))
                    for each in paired_intervals(clean, moved, seed=start, replicates=400).values():
                        held += each.drift.low <= truth <= each.drift.high
                        few += each.n_changed is not None and each.n_changed < FEWEST_CHANGED
                        widths.append(each.drift.high - each.drift.low)
                kind = "losses and gains" if mixed else "losses"
                yield (
                    f"| {n} | {expected:g} | {kind} | {100 * held / audits:.1f} % | {100 * few / audits:.0f} % |"
                    f" {np.median(widths) * n:.1f} |"
                )


def of_power(runs: int, rng: np.random.Generator) -> Iterator[str]:
    """Yield a row of the table of power by number of draws."""
    limit = {"quantity": "relative_drift", "min": -0.1}
    gates = [
        Gate.model_validate({"name": f"g{n}", "select": {"metric": "ndcg@20", "name": f"c{n}"}, **limit})
        for n in range(FAMILY)
    ]
    for draws in (4, 6, 8, 12):
        for of_draws in (1.0, 0.3):
            caught = 0
            for _ in range(runs):
                stated = judge(gates, _rows(draws, of_draws, -0.1, rng), correction="holm")[0].detects_below or 0.0
                caught += judge(gates, _rows(draws, of_draws, stated, rng), correction="holm")[0].status == "fail"
            yield f"| {draws} | {of_draws:g} | {100 * caught / runs:.0f} % |"


def _rows(draws: int, of_draws: float, truth: float, rng: np.random.Generator) -> list[Finding]:
    """Return a finding with a true drift, and others that keep the limit."""
    n = 100
    clean = 0.3 + 0.4 * rng.random(n)
    rows: list[Finding] = []
    for number in range(FAMILY):
        mean = truth if number == 0 else 0.0
        noise = 0.05 * of_draws * rng.standard_normal((draws, 1)) + 0.05 * rng.standard_normal((draws, n))
        perturbed = clean * (1 + mean + noise)
        intervals = Intervals(Bootstrap(replicates=200), int(rng.integers(1 << 31)))
        condition = Condition(kind="other", name=f"c{number}")
        rows += drift_rows(SUBJECT, "noise", condition, {"ndcg@20": clean}, {"ndcg@20": perturbed}, intervals)
    return rows


def main() -> None:
    """Simulate, print the page, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audits", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=400, help="of the simulation of power")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=None, help="folder for few-draws-and-users.md")
    options = parser.parse_args()
    rng, started = np.random.default_rng(options.seed), time.monotonic()
    lines = [
        "# Few draws, few users who differ, and power",
        "",
        f"{options.audits} simulated audits a row of coverage, {options.runs} runs a row of power, intervals of 95 %; "
        f"processor {cpu_name()}.",
        f"Made by `python -m benchmarks.few --audits {options.audits} --runs {options.runs} --seed {options.seed}"
        " --output benchmarks/results`, see its docstring for the simulation.",
        "",
        "| source of variance | draws | coverage | median width |",
        "|---|---|---|---|",
        *of_draws(options.audits, rng),
        "",
        "Below four draws reports say that the interval may be too narrow, and power is unknown.",
        "",
        "| users | users expected to differ | change | coverage"
        f" | audits with fewer than {FEWEST_CHANGED} differing | median width, × users |",
        "|---|---|---|---|---|---|",
        *of_users(options.audits, rng),
        "",
        "Stated by one run, planted, judged in another; 80 % are stated.",
        "",
        "| draws | spread of draws over that of cells | failed |",
        "|---|---|---|",
        *of_power(options.runs, rng),
        "",
        f"{time.monotonic() - started:.0f} s.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output is not None:
        write_atomically(options.output / "few-draws-and-users.md", text)


if __name__ == "__main__":
    main()
