"""How often the intervals of catalogue coverage and of the Gini coefficient of exposure cover the true value.

    nice -n 10 python -m benchmarks.list_coverage            # writes benchmarks/results/list-coverage.md

A sample is n users whose scores are log popularity (a power law over the items) plus independent Gumbel noise, so that
a list is a draw without replacement; a perturbation adds item noise that all users of a draw share, and noise of each
user and item. The truth is the mean over many samples of as many users and one draw. Intervals are those of an audit:
`audits.rows`, with 95 %.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from robustrec.audits.rows import Intervals, drift_rows, quality_rows
from robustrec.audits.suites import Bootstrap
from robustrec.evaluation.beyond import Catalogue
from robustrec.evaluation.kinds import BEYOND
from robustrec.results.conditions import Condition
from robustrec.results.findings import Finding
from robustrec.subject import Subject

RESULT = Path(__file__).parent / "results" / "list-coverage.md"
CONDITION = Condition(kind="other", name="noise")
SUBJECT = Subject(model="made-up", strategy="vanilla", features="none", seed=0)
N_ITEMS, K, DRAWS = 400, 10, 6
NAMES = (f"coverage@{K}", f"gini@{K}")
CATALOGUE = Catalogue(np.ones(N_ITEMS, dtype=np.int64), 1)


class Setting(NamedTuple):
    """Users, exponent of the popularity of items, and size of the perturbation."""

    n: int
    exponent: float
    noise: float


def lists(scores: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the K best items of each row of scores."""
    return np.argpartition(-scores, K, axis=1)[:, :K].astype(np.int32)


def sample(setting: Setting, draws: int, rng: Generator) -> tuple[NDArray[np.int32], list[NDArray[np.int32]]]:
    """Return the lists of a sample of users, clean and under each draw."""
    shape = (setting.n, N_ITEMS)
    scores = -setting.exponent * np.log(np.arange(1, N_ITEMS + 1)) + rng.gumbel(size=shape)
    noisy = (rng.normal(size=N_ITEMS) + rng.normal(size=shape) for _ in range(draws))
    return lists(scores), [lists(scores + setting.noise * each) for each in noisy]


def measured(items: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
    """Return both metrics of lists, [n]."""
    return {name: BEYOND[name.partition("@")[0]].function(items, CATALOGUE, K) for name in NAMES}


def changed(a: NDArray[np.int32], b: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return 1 for each user with other items in the list."""
    return np.asarray((np.sort(a, axis=1) != np.sort(b, axis=1)).any(axis=1), dtype=np.float64)


def findings(setting: Setting, rng: Generator) -> list[Finding]:
    """Return the findings of one audit of a sample."""
    clean, perturbed = sample(setting, DRAWS, rng)
    intervals = Intervals(Bootstrap(replicates=300), int(rng.integers(1 << 31)), N_ITEMS)
    before, after = measured(clean), [measured(each) for each in perturbed]
    equal = {f"changed@{K}": np.zeros(setting.n)}
    moved = {name: np.stack([each[name] for each in after]) for name in NAMES}
    moved[f"changed@{K}"] = np.stack([changed(clean, each) for each in perturbed])
    rows = quality_rows(SUBJECT, before, intervals)
    rows += drift_rows(SUBJECT, "noise", CONDITION, before | equal, moved, intervals)
    return [row for row in rows if row.metric in NAMES]


def truths(setting: Setting, samples: int, rng: Generator) -> dict[tuple[str, str], float]:
    """Return (metric, quantity) -> the expected number."""
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(samples):
        clean, (noisy,) = sample(setting, 1, rng)
        before, after = measured(clean), measured(noisy)
        for name in NAMES:
            found.setdefault((name, "value"), []).append(before[name].mean())
            found.setdefault((name, "drift"), []).append(after[name].mean() - before[name].mean())
    return {key: float(np.mean(values)) for key, values in found.items()}


def results(audits: int, samples: int) -> Iterator[tuple[Setting, dict[tuple[str, str], float]]]:
    """Yield each setting with the share of intervals that cover the truth, by (metric, quantity)."""
    settings = [Setting(*each) for each in itertools.product((100, 400), (0.5, 1.2), (0.03, 0.5))]
    for number, setting in enumerate(settings):
        rng = np.random.default_rng(number)
        true, held = truths(setting, samples, rng), dict[tuple[str, str], int]()
        for _ in range(audits):
            for row in findings(setting, rng):
                key = row.metric, row.quantity
                low, high = (np.nan if end is None else end for end in (row.ci_low, row.ci_high))
                held[key] = held.get(key, 0) + int(low <= true[key] <= high)
        yield setting, {key: count / audits for key, count in held.items()}


def main() -> None:
    """Run the simulation and write its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audits", type=int, default=200, help="simulated audits of each setting")
    parser.add_argument("--samples", type=int, default=1000, help="samples behind the true value")
    given = parser.parse_args()
    keys = [(name, quantity) for name in NAMES for quantity in ("value", "drift")]
    lines = [
        "# Intervals of coverage and of the Gini coefficient: how often they cover the truth",
        "",
        f"`python -m benchmarks.list_coverage --audits {given.audits} --samples {given.samples}`: {N_ITEMS} items,"
        f" lists of {K}, {DRAWS} draws, 95 % intervals. Noise 0.03 changes few lists, 0.5 nearly all.",
        "",
        f"| users | exponent | noise | {' | '.join(f'{name}, {quantity}' for name, quantity in keys)} |",
        "|--:|--:|--:|" + "--:|" * len(keys),
    ]
    shares = []
    for setting, held in results(given.audits, given.samples):
        shares += [held[key] for key in keys]
        cells = " | ".join(f"{100 * held[key]:.1f} %" for key in keys)
        lines.append(f"| {setting.n} | {setting.exponent:g} | {setting.noise:g} | {cells} |")
        print(lines[-1], flush=True)
    lines += ["", f"On average {100 * np.mean(shares):.1f} %, at worst {100 * min(shares):.1f} %."]
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
