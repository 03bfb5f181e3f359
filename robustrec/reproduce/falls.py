"""Table 2 read both ways: noise at inference, and noise in training.

The fall of a cell is 1 - (value under noise) / (value of table 3). Both values are printed with four decimals, so that
the printed fall of a small value may be off by a percent: a reading reproduces it if the range of one further training
has a fall that is printed so. At inference the noise is added to the features of a model that was trained on clean
ones; in training, the features have noise before training and stay so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robustrec.reproduce.intervals import FEWEST_SEEDS, OverSeeds, over_seeds
from robustrec.reproduce.measure import SeedResult
from robustrec.reproduce.paper import CLEAN_TABLE, HALF, NOISY_TABLE, RowKey, metrics_of, paper
from robustrec.reproduce.plan import Group, ReproductionPlan
from robustrec.reproduce.result import Fall
from robustrec.reproduce.table import Found, kind_of_difference, seeds_words


class PrintedFall(NamedTuple):
    """A fall of the printed values, and the least and the largest one that are printed so."""

    value: float
    least: float
    most: float


NONE = PrintedFall(0.0, 0.0, 0.0)


def falls_of(plan: ReproductionPlan, found: Found) -> tuple[Fall, ...]:
    """Return the falls of all measured rows of table 2."""
    falls: list[Fall] = []
    for group in plan.groups:
        for key in group.rows:
            results = found.get((key.dataset, group.kind, key.model, key.strategy), {})
            if key.table == NOISY_TABLE and results.get("early-stop"):
                clean, noisy = results["early-stop"], results.get("noise", [])
                falls += [_fall(group, key, metric, clean, noisy) for metric in metrics_of(NOISY_TABLE)]
    return tuple(falls)


def _fall(group: Group, key: RowKey, metric: str, clean: Sequence[SeedResult], trained: Sequence[SeedResult]) -> Fall:
    before = {each.seed: each.values[metric] for each in clean if each.values[metric] > 0}
    inference = [1 - each.noisy[metric] / before[each.seed] for each in clean if each.noisy and each.seed in before]
    training = [1 - each.values[metric] / before[each.seed] for each in trained if each.seed in before]
    values = list(before.values())
    spread = float(np.std(values, ddof=1) / np.mean(values)) if len(values) > 1 else None
    one, other = (over_seeds(each) if each else None for each in (inference, training))
    printed = printed_fall(key, metric)
    cut = any(each.training.cut_off for each in (*clean, *trained))
    return Fall(
        model=key.model,
        features=group.kind,
        strategy=key.strategy,
        metric=metric,
        printed=printed.value if printed else None,
        inference=one.mean if one else None,
        inference_low=one.low if one else None,
        inference_high=one.high if one else None,
        training=other.mean if other else None,
        training_low=other.low if other else None,
        training_high=other.high if other else None,
        spread=spread,
        conclusion=_conclusion(printed, one, other, min(len(inference), len(training)), group, cut=cut),
    )


def printed_fall(key: RowKey, metric: str) -> PrintedFall | None:
    """Return the fall from table 3 to table 2; None if a cell is not sound."""
    clean, noisy = (paper().rows[key._replace(table=table)][metric] for table in (CLEAN_TABLE, NOISY_TABLE))
    if not (clean.sound and noisy.sound) or not clean.value or noisy.value is None:
        return None
    least, most = (
        1 - (noisy.value + shift) / (clean.value - shift) if clean.value > shift else -math.inf
        for shift in (HALF, -HALF)
    )
    return PrintedFall(1 - noisy.value / clean.value, least, most)


def _conclusion(
    printed: PrintedFall | None, one: OverSeeds | None, other: OverSeeds | None, seeds: int, group: Group, *, cut: bool
) -> str:
    faults = [
        *(["not usable: a printed cell is not sound"] if printed is None else []),
        *([f"not usable: {', '.join(map(kind_of_difference, unlike))}"] if (unlike := group.inputs.unlike) else []),
        *(["not usable: trainings ended before early stopping"] if cut else []),
    ]
    if faults or printed is None:
        return faults[0]
    if one is None or other is None or seeds < FEWEST_SEEDS:
        return f"not decided: {seeds_words(seeds)}"
    by_chance = ", and so does the spread over trainings without any noise" if _holds(other, NONE) else ""
    return {
        (False, False): "neither reading reproduces it",
        (True, True): "both readings are compatible with it",
        (True, False): "noise at inference reproduces it",
        (False, True): f"noise in training reproduces it{by_chance}",
    }[_holds(one, printed), _holds(other, printed)]


def _holds(found: OverSeeds, fall: PrintedFall) -> bool:
    """Return whether the range of one further training has a fall that is printed so."""
    if found.one_low is None or found.one_high is None:
        return False
    return found.one_low <= fall.most and fall.least <= found.one_high
