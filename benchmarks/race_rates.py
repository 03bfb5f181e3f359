"""How often a recipe race names an arm that is no better, and how far the score that chose the winner is off.

Each simulated race has a reference and arms of planted quality. An arm's quality of a training seed, a draw of edits
and a user is its mean, plus what is the training's, the user's (shared by all arms), the user's in one training, and
the draw's (shared by all arms). Validation scores have the same parts with other users. The selection is `promoted`
over the rungs of a real race, and the statement is the code of a real race (`comparison.race.statement`).

- equal: no arm differs from the reference. An arm that is named is an error.
- better: one arm is better by `GAIN`.
- content-free: one arm is better by `GAIN`, but all its quality is left without content; the others are equal. It must
  never be named. In the selection it is not known to be content-free, so that it takes a place of a finalist.

The condition on clean quality is off (a margin of 100 %), so that it hides no error.

    python -m benchmarks.race_rates --races 2000 --output benchmarks/results
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.comparison.measure import Measure
from robustrec.comparison.race.rungs import promoted, rungs_of
from robustrec.comparison.race.statement import Finalist, statement
from robustrec.comparison.result import Training
from robustrec.files import write_atomically
from robustrec.results.conditions import MEAN_FEATURES, Condition

Floats = NDArray[np.float64]
METRIC, REFERENCE, MARGIN, LEVEL = "ndcg@20", "vanilla", 1.0, 0.95
EDIT = Condition(kind="edit", edit="truncation", severity=3, share=1, graphs="rebuilt")
GAIN, CLEAN, LOSS = 0.02, 0.2, -0.02
SCENARIOS = ("equal", "better", "content-free")


class Setting(NamedTuple):
    """Arms besides the reference, fresh seeds, and the standard deviation of a training's quality."""

    arms: int
    seeds: int
    of_seed: float


class Rates(NamedTuple):
    """Shares of races: an arm is named, the better arm is named, the content-free one is.

    `winner` is the mean excess over its truth of the best arm's validation score at the last rung, and `fresh` that of
    its estimate on test with fresh seeds.
    """

    named: float
    better: float
    content_free: float
    winner: float
    fresh: float


SETTINGS = tuple(Setting(arms, seeds, of_seed) for arms in (4, 12) for seeds in (3, 5) for of_seed in (0.001, 0.004))


def tables_of(
    rng: np.random.Generator, gain: float, setting: Setting, taste: Floats, draws: Floats, *, free: bool
) -> dict[Measure, Floats]:
    """Return the tables of an arm over its fresh seeds, as a race measures them."""
    s, n = setting.seeds, len(taste)
    level = CLEAN + setting.of_seed * rng.standard_normal((s, 1))
    clean = np.clip(level + taste + 0.02 * rng.standard_normal((s, n)), 0, 1)
    own = setting.of_seed * rng.standard_normal((s, 1, 1)) / 2
    drift = LOSS + gain + draws[None, :, None] + own + 0.03 * rng.standard_normal((s, len(draws), n))
    left = clean * (1.0 if free else 0.4)
    return {
        Measure("quality", METRIC): clean,
        Measure("content", METRIC, MEAN_FEATURES): left,
        Measure("drift", METRIC, EDIT): drift,
    }


def raced(scenario: str, setting: Setting, seed: int, users: int = 200, n_draws: int = 3) -> tuple[str, float, float]:
    """Return the arm that one simulated race names, and the winner's excess by validation and on fresh seeds."""
    rng = np.random.default_rng([seed, SCENARIOS.index(scenario)])
    planted = {REFERENCE: 0.0} | {f"arm {place}": 0.0 for place in range(setting.arms)}
    if scenario != "equal":
        planted["arm 1"] = GAIN
    racing = list(planted)
    taste = 0.1 * rng.standard_normal(users)
    for rung in rungs_of(setting.arms, 3):
        # Two seeds of the selection; validation has as many users as test.
        noise = np.hypot(setting.of_seed, 0.02 / np.sqrt(users)) / np.sqrt(2)
        scores = {name: planted[name] + noise * rng.standard_normal() for name in racing}
        racing = promoted(scores, [REFERENCE], rung.kept)
    others = [name for name in racing if name != REFERENCE]
    winner = max(others, key=lambda name: scores[name])
    draws = 0.002 * rng.standard_normal(n_draws)
    finalists = {}
    for name in racing:
        free = scenario == "content-free" and name == "arm 1"
        training = {"model": "m", "budget": "gradients", "strategy": name, "seed": 0}
        trainings = [
            Training.model_validate({**training, "epochs": 9, "best_epoch": 5, "gradients": 90})
        ] * setting.seeds
        finalists[name] = Finalist(tables_of(rng, planted[name], setting, taste, draws, free=free), trainings)
    found = statement({"gradients": finalists}, REFERENCE, METRIC, margin=MARGIN, level=LEVEL)
    gain = next(each.difference for each in found.gains if each.arm == winner)
    assert gain is not None
    return found.chosen, scores[winner] - planted[winner], gain.estimate - planted[winner]


def rates(scenario: str, setting: Setting, races: int, *, seed: int = 0) -> Rates:
    """Return the rates over simulated races."""
    found = [raced(scenario, setting, seed * races + place) for place in range(races)]
    chosen = [name for name, _, _ in found]
    better = sum(name == "arm 1" for name in chosen)
    return Rates(
        sum(bool(name) for name in chosen) / races,
        better / races if scenario == "better" else 0.0,
        better / races if scenario == "content-free" else 0.0,
        float(np.mean([own for _, own, _ in found])),
        float(np.mean([fresh for _, _, fresh in found])),
    )


def main() -> None:
    """Simulate all settings and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--races", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    lines = [
        "# Error rates of recipe races",
        "",
        f"{given.races} simulated races a row, corrected at 95 %, 3 finalists (`benchmarks/race_rates.py`).",
        f"Made by `python -m benchmarks.race_rates --races {given.races} --seed {given.seed} --output"
        " benchmarks/results`.",
        "",
        "An arm named where all are equal, or the content-free one, is an error. The last two columns are the mean",
        "excess of the winner over its truth: by the validation scores that chose it, and on test with fresh seeds.",
        "",
        "| arms | fresh seeds | spread of trainings | scenario | an arm is named | the better | the content-free |"
        " excess by validation | excess on fresh seeds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for setting in SETTINGS:
        for scenario in SCENARIOS:
            found = rates(scenario, setting, given.races, seed=given.seed)
            lines.append(
                f"| {setting.arms} | {setting.seeds} | {setting.of_seed:g} | {scenario} | {100 * found.named:.1f} % |"
                f" {100 * found.better:.1f} % | {100 * found.content_free:.1f} % | {found.winner:+.4f} |"
                f" {found.fresh:+.4f} |"
            )
            print(lines[-1], flush=True)
    write_atomically(given.output / "race-rates.md", "\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
