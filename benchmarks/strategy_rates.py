"""How often equal strategies are told apart by `robustrec compare`, and what the interval of two drifts' sizes covers.

    python -m benchmarks.strategy_rates [--comparisons 1000] [--output FILE]

Two strategies are drawn from one population: training seeds of their own, draws and users in common, drifts under five
conditions (four noise and edit conditions and one mean over edited items), list stability under four, and four measures
of flatness, as a comparison has them. A sentence that calls one of them flatter, sharper, drifting less or more is then
wrong. The second table has drifts of known means, also at zero and at equal sizes of opposite sign.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.noise.condition import NoiseCondition
from robustrec.comparison.differences import of_magnitudes
from robustrec.comparison.measure import Measure
from robustrec.comparison.rows import NO_DIFFERENCE, compared
from robustrec.files import write_atomically
from robustrec.results.conditions import Condition

Floats = NDArray[np.float64]
LEVEL = 0.95
EDITED = Condition(kind="edit", edit="truncation", severity=3, share=0.1, graphs="rebuilt")
SHAPES = tuple(itertools.product((3, 5), (4, 6), (60, 300)))
"""Training seeds, draws, users."""

POPULATIONS = {"users matter": (0.1, 0.1, 1.0, 1.0), "seeds matter": (0.5, 0.2, 0.5, 1.0)}
"""Standard deviations of the training seed, the draw, the user, and of what is left."""

MEANS = ((0.0, 0.0), (0.3, 0.3), (0.3, -0.3), (1.0, 0.0), (0.2, -0.1), (2.0, 1.0))
KINDS = ("drift", "flatness", "stability")


def drifts(
    rng: np.random.Generator, shape: tuple[int, int, int], sizes: tuple[float, ...], means: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Return the tables [S, D, U] of two strategies that share draws and users."""
    seeds, draws, users = shape
    shared = rng.normal(0, sizes[1], (1, draws, 1)) + rng.normal(0, sizes[2], (1, 1, users))
    first, second = (
        mean + shared + rng.normal(0, sizes[0], (seeds, 1, 1)) + rng.normal(0, sizes[3], shape) for mean in means
    )
    return first, second


def told_apart(rng: np.random.Generator, shape: tuple[int, int, int], sizes: tuple[float, ...]) -> set[str]:
    """Return the kinds of measure in which a comparison of two equal strategies finds a difference."""
    seeds, draws, _ = shape
    tables: tuple[dict[Measure, Floats], dict[Measure, Floats]] = ({}, {})
    mean = float(rng.choice([0.0, 0.2, -1.0]))
    for place in range(4):
        where = NoiseCondition(place).condition
        for measure in (Measure("drift", "ndcg@20", where), Measure("stability", "overlap@20", where)):
            for own, values in zip(tables, drifts(rng, shape, sizes, (mean, mean)), strict=True):
                own[measure] = values
    of_draw = rng.normal(0, sizes[1], (1, draws))
    for own in tables:
        noise = rng.normal(0, sizes[0], (seeds, 1)) + rng.normal(0, 0.1, (seeds, draws))
        own[Measure("drift", "exposure@20", EDITED, "edited")] = mean + of_draw + noise
        common = rng.normal(0, 0.1, seeds)
        for place in range(4):
            own[Measure("flatness", f"input sharpness {place}")] = np.exp(common + rng.normal(0, 0.05, seeds))
    rows = compared("m", "epochs", "b", (1, 1), tables[0], ("a", tables[1]), level=LEVEL)
    return {row.kind for row in rows if row.conclusion != NO_DIFFERENCE}


def page(comparisons: int, seed: int) -> str:
    """Return both tables as Markdown."""
    return "\n".join([*_rates(comparisons, seed), "", *_coverage(comparisons, seed), ""])


def _rates(comparisons: int, seed: int) -> Iterator[str]:
    yield "# False conclusions about equal strategies, simulated"
    yield ""
    yield f"    python -m benchmarks.strategy_rates --comparisons {comparisons}"
    yield ""
    yield (
        f"Each row is {comparisons:,} comparisons of two equal strategies: the share with any conclusion of a kind. It"
        f" should be at most {1 - LEVEL:.0%}; the standard error is {math.sqrt(LEVEL * (1 - LEVEL) / comparisons):.1%}."
        " Conclusions are corrected (Holm) over the measures of one kind."
    )
    yield ""
    yield f"| population | seeds | draws | users | {' | '.join(KINDS)} |"
    yield f"|---|---|---|---|{'---|' * len(KINDS)}"
    for (name, sizes), shape in itertools.product(POPULATIONS.items(), SHAPES):
        rng = np.random.default_rng([seed, *shape])
        found = [told_apart(rng, shape, sizes) for _ in range(comparisons)]
        shares = (sum(kind in each for each in found) / comparisons for kind in KINDS)
        yield f"| {name} | {' | '.join(map(str, shape))} | {' | '.join(f'{share:.1%}' for share in shares)} |"


def _coverage(comparisons: int, seed: int) -> Iterator[str]:
    yield "Drifts with known means: how often the 95 % interval of |mean| − |mean| contains the true difference,"
    yield "and how often the smaller drift is called smaller (right) or larger (wrong). Population: users matter."
    yield ""
    yield "| first mean | second mean | seeds | draws | users | covered | right | wrong |"
    yield "|---|---|---|---|---|---|---|---|"
    sizes = POPULATIONS["users matter"]
    for means, shape in itertools.product(MEANS, ((3, 4, 60), (3, 6, 300), (5, 6, 300))):
        rng = np.random.default_rng([seed, *shape, 1])
        truth = abs(means[0]) - abs(means[1])
        covered = right = wrong = 0
        for _ in range(comparisons):
            found = of_magnitudes(*drifts(rng, shape, sizes, means), ("seed", "draw", "user"), level=LEVEL).interval
            covered += found.low - 1e-12 <= truth <= found.high + 1e-12
            right += found.low > 0 < truth or found.high < 0 > truth
            wrong += found.low > 0 >= truth or found.high < 0 <= truth
        counts = (f"{count / comparisons:.1%}" for count in (covered, right, wrong))
        yield f"| {means[0]:g} | {means[1]:g} | {' | '.join(map(str, shape))} | {' | '.join(counts)} |"


def main() -> None:
    """Simulate and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/compare-strategies-simulated.md"))
    options = parser.parse_args()
    write_atomically(options.output, page(options.comparisons, options.seed))


if __name__ == "__main__":
    main()
