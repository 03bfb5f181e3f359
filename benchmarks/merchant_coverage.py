"""How often the intervals of a merchant audit's parts hold the truth, users and items drawn from a larger population.

Each simulated audit draws its own users and items. A user wants 1 to 4 items, popular ones more often; an item's score
for a user who wants it is a sum of what is the user's, the item's and the pair's, and an edit moves it by a sum of what
is the item's (most of it), the draw's, the item's in the draw and the cell's, and one-sided: edits cost more than they
gain. What nobody edited moves by the draw and the cell alone. Places among the items follow from the scores, ndcg@20
and exposure@20 from the places, and rows from the code of a real run (`audits.merchant`).
The truth is the same mean over all audits of a setting, whose own error is small beside an interval.

`--population popular` is another shop: the items edited are popular ones, what an item has of its own has heavy tails
(Student's t with 3 degrees of freedom), and 30 % of the users want only items that are never edited.

    python -m benchmarks.merchant_coverage --output benchmarks/results
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from robustrec.audits.merchant.conditions import EvaluationTargets, Lists, Tally
from robustrec.audits.merchant.items import choose_items
from robustrec.audits.merchant.rows import part_rows
from robustrec.audits.quality import MetricSuite
from robustrec.audits.rows import Intervals
from robustrec.audits.suites import Bootstrap
from robustrec.evaluation.beyond import Catalogue
from robustrec.evaluation.ranking import Pairs, Ranking
from robustrec.files import write_atomically
from robustrec.hardware import cpu_name
from robustrec.results.conditions import Condition
from robustrec.results.findings import Finding
from robustrec.runs.prepared import Split
from robustrec.subject import Subject

Floats = NDArray[np.float64]
SUBJECT = Subject(model="vbpr", strategy="vanilla", features="basic", seed=0)
SHARE, LENGTH = 0.1, 20
LOYAL = 0.3
"""Share of the users of the second population who want items that are never edited."""


class Setting(NamedTuple):
    """What is simulated: sizes, and the standard deviation of what a draw does to all items at once.

    With `valued`, items have values (log-normal, σ = 1), and exposures weighted by them are measured too.
    """

    users: int
    items: int
    draws: int
    of_draw: float = 0.0
    popular: bool = False
    valued: bool = False

    def __str__(self) -> str:
        """Name it in a table's row."""
        return f"{self.users} | {self.items} | {self.draws} | {self.of_draw:g}"


def audit(setting: Setting, rng: np.random.Generator) -> list[Finding]:
    """Return the rows of the parts of one simulated audit."""
    n, n_items = setting.users, setting.items
    strata = np.arange(n_items) * 3 // n_items
    popularity = np.cumsum(1 / np.arange(n_items, 0, -1) ** 0.7)
    wanted = rng.integers(1, 5, n)
    rows = np.repeat(np.arange(n), wanted)
    items = np.searchsorted(popularity, rng.random(len(rows)) * popularity[-1])
    if setting.popular:
        loyal = np.isin(rows, np.flatnonzero(rng.random(n) < LOYAL))
        items[loyal] = rng.integers(0, n_items // 2, int(loyal.sum()))
    pairs = np.unique(np.stack([rows, items]), axis=1)
    rows, items = pairs
    users, own = rng.standard_normal(n), _of_items(setting, rng)
    score = 0.6 * users[rows] + 0.6 * own[items] + 0.8 * rng.standard_normal(len(rows)) + 0.3 * (strata[items] - 1)
    relevant = csr_array((np.ones(len(rows)), (rows, items)), shape=(n, n_items))
    split = Split(np.arange(n), relevant, csr_array((n, n_items)))
    values = np.exp(rng.standard_normal(n_items)) if setting.valued else None
    catalogue = None if values is None else Catalogue(np.ones(n_items, np.int64), n, values=values)
    metric_suite = MetricSuite(("ndcg@20",), (), catalogue)
    targets = EvaluationTargets(split, metric_suite, Pairs(rows, items), strata, "ndcg@20", LENGTH)
    tally = Tally(targets, _lists(targets, score))
    cost = _of_items(setting, rng)
    seed = int(rng.integers(1 << 31))
    for draw in range(setting.draws):
        edited = choose_items(strata, SHARE, seed=seed, draw=draw)
        if setting.popular:
            half, weights = n_items // 2, np.diff(popularity, prepend=0.0)[n_items // 2 :]
            edited = half + rng.choice(n_items - half, len(edited), replace=False, p=weights / weights.sum())
        on = np.isin(items, edited)
        shift = setting.of_draw * rng.standard_normal()
        in_draw = 0.3 * rng.standard_normal(n_items)
        moved = -0.35 + 0.5 * cost[items] + in_draw[items] + 0.2 * rng.standard_normal(len(rows)) + shift
        other = 0.02 + 0.05 * rng.standard_normal(len(rows)) + 0.1 * shift
        tally.add(_lists(targets, score + np.where(on, moved, other)), edited)
    return part_rows(SUBJECT, Condition(kind="other", name="edit"), tally, setting.draws, Intervals(Bootstrap(), 0))


def _of_items(setting: Setting, rng: np.random.Generator) -> Floats:
    """Return what each item has of its own [I], of variance 1."""
    if setting.popular:
        return np.asarray(rng.standard_t(3, setting.items) / np.sqrt(3.0), np.float64)
    return rng.standard_normal(setting.items)


def _lists(targets: EvaluationTargets, score: Floats) -> Lists:
    """Return lists in which a pair's place among the items falls with its score; others fill the list."""
    n, n_items = len(targets.split.users), len(targets.strata)
    places = np.clip(np.exp(3.6 - 1.6 * score), 1, n_items).astype(np.int64)
    gains = np.where(places <= LENGTH, 1 / np.log2(places + 1.0), 0.0)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, 6)))])
    count = np.bincount(targets.wanted.rows, minlength=n)
    ndcg = np.minimum(1.0, np.bincount(targets.wanted.rows, gains, minlength=n) / ideal[count])
    ranking = Ranking(np.arange(n), np.zeros((n, LENGTH), dtype=np.int32))
    return Lists(ranking, {"ndcg@20": ndcg}, places, np.zeros(n_items, dtype=np.int64))


class Coverage(NamedTuple):
    """Of one metric: how often the drift's and the relative drift's interval hold the truth, and of what width."""

    metric: str
    drift: float
    relative: float
    width: float


def coverage(setting: Setting, audits: int, *, seed: int) -> Iterator[Coverage]:
    """Yield how often the intervals of each metric hold the mean over all audits."""
    rng = np.random.default_rng([seed, setting.users, setting.items, setting.draws, int(100 * setting.of_draw)])
    found: dict[str, list[Finding]] = {}
    for _ in range(audits):
        for row in audit(setting, rng):
            if row.quantity == "drift":
                found.setdefault(row.metric, []).append(row)
    for metric, rows in found.items():
        before, after = (np.array([getattr(row, key) for row in rows]) for key in ("clean", "perturbed"))
        drift = float((after - before).mean())
        ratio = float(after.mean() / before.mean()) - 1
        held = [(row.ci_low or 0.0) <= drift <= (row.ci_high or 0.0) for row in rows]
        told = [row for row in rows if row.relative_ci_low is not None and row.relative_ci_high is not None]
        of_ratio = [(row.relative_ci_low or 0.0) <= ratio <= (row.relative_ci_high or 0.0) for row in told]
        width = np.median([(row.relative_ci_high or 0.0) - (row.relative_ci_low or 0.0) for row in told])
        yield Coverage(metric, float(np.mean(held)), float(np.mean(of_ratio)), float(width))


SETTINGS = [
    Setting(users, items, draws, of_draw)
    for users, items, numbers in ((200, 150, (3, 4, 6, 8)), (1200, 400, (3, 4, 6, 8)), (6000, 1500, (3, 6)))
    for draws in numbers
    for of_draw in (0.0, 0.2)
]


def page(lines: Sequence[str], options: argparse.Namespace, seconds: float) -> str:
    """Return the results as a page."""
    return "\n".join(
        [
            "# Coverage of merchant intervals",
            "",
            f"{options.audits} simulated audits a row, 10 % of the items edited, intervals of 95 %; processor "
            f"{cpu_name()}, {seconds:.0f} s.",
            f"Made by `python -m benchmarks.merchant_coverage --audits {options.audits} --seed {options.seed}"
            f"{' --values' if options.values else ''} --output benchmarks/results`,"
            " see its docstring for the simulation.",
            "",
            "| users | items | draws | spread of draws | metric | drift coverage | relative drift coverage"
            " | median width |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
        ]
    )


def main() -> None:
    """Simulate every setting, print the page, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audits", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--population", choices=("even", "popular"), default="even", help="which items are edited")
    parser.add_argument("--values", action="store_true", help="items have values; exposures weighted by them alone")
    parser.add_argument("--output", type=Path, default=None, help="folder for merchant-coverage.md")
    options = parser.parse_args()
    started, lines = time.monotonic(), []
    chosen = {"popular": options.population == "popular", "valued": options.values}
    for setting in (each._replace(**chosen) for each in SETTINGS):
        for each in coverage(setting, options.audits, seed=options.seed):
            if options.values and not each.metric.startswith("value_"):
                continue
            shares = f"{100 * each.drift:.1f} % | {100 * each.relative:.1f} % | {100 * each.width:.1f} %"
            lines.append(f"| {setting} | {each.metric} | {shares} |")
            print(lines[-1], flush=True)
    if options.output is not None:
        text = page(lines, options, time.monotonic() - started)
        name = "merchant-value-coverage.md" if options.values else "merchant-coverage.md"
        write_atomically(options.output / name, text + "\n")


if __name__ == "__main__":
    main()
