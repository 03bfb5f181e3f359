"""Average improvement as the paper computes it, beside the same from our values.

The paper's improvement of a model is its best row over its vanilla row on minilm+cnn features, and the average is the
mean over the models. The best of eight rows is chosen on test: where no row differs from another, the largest of
eight means of n trainings still lies above, by about 1.42 s/√n with s the standard deviation over trainings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robustrec.reproduce.measure import SeedResult
from robustrec.reproduce.paper import AVERAGE, FEATURES, MODELS, STRATEGIES, Cell, RowKey, metrics_of, paper
from robustrec.reproduce.plan import ReproductionPlan
from robustrec.reproduce.result import Improvement
from robustrec.reproduce.table import Found, kind_of_difference

_LARGEST = (0.0, 0.0, 0.5642, 0.8463, 1.0294, 1.1630, 1.2672, 1.3522, 1.4236)
"""Expectation of the largest of n standard normal values, by n: David and Nagaraja 2003, "Order statistics"."""


def improvements_of(plan: ReproductionPlan, found: Found) -> tuple[Improvement, ...]:
    """Return the improvement lines of the tables and data sets of which a model has its vanilla row and another."""
    lines: list[Improvement] = []
    unlike: dict[str, list[str]] = {}
    for group in plan.groups:
        unlike.setdefault(group.place.name, []).extend(map(kind_of_difference, group.inputs.unlike))
    for table, dataset in dict.fromkeys((key.table, key.dataset) for key in plan.rows):
        if (table, dataset, AVERAGE) not in paper().improvements:
            continue
        for metric in metrics_of(table):
            own = [
                line
                for model in MODELS
                if any((key.table, key.dataset, key.model) == (table, dataset, model) for key in plan.rows)
                and (line := _line(table, dataset, model, metric, found)) is not None
            ]
            if own:
                own.append(_average(table, dataset, metric, own))
            note = ", ".join(dict.fromkeys(unlike.get(dataset, ())))
            lines += [
                each.model_copy(update={"note": "; ".join(filter(None, (each.note, note)))}) if note else each
                for each in own
            ]
    return tuple(lines)


def _line(table: int, dataset: str, model: str, metric: str, found: Found) -> Improvement | None:
    results = {
        (kind, strategy): found.get((dataset, kind, model, strategy), {}).get("early-stop", [])
        for kind in FEATURES
        for strategy in STRATEGIES
    }
    base = results.pop((FEATURES[0], "vanilla"))
    others = {name: each for name, each in results.items() if each}
    before = _mean(base, metric)
    if not others or not before:
        return None
    best = max(others, key=lambda name: _mean(others[name], metric))
    cut = sum(bool(each.training.cut_off) for each in (*base, *(one for each in others.values() for one in each)))
    n_seeds = min(len(base), *(len(each) for each in others.values()))
    spreads = [float(np.std([one.values[metric] for one in each], ddof=1)) for each in others.values() if len(each) > 1]
    chance = None
    if spreads and len(others) > 1:
        error = float(np.sqrt(np.mean(np.square(spreads)))) / math.sqrt(n_seeds)
        chance = 100 * _LARGEST[len(others)] * error / before
    cell = paper().improvements[table, dataset, model][metric]
    return Improvement(
        table=table,
        dataset=dataset,
        model=model,
        metric=metric,
        ours=100 * (_mean(others[best], metric) / before - 1),
        rows=len(others),
        printed=cell.value,
        flags=dict(cell.flags),
        cells=_from_cells(table, dataset, model, metric),
        best="/".join(best),
        chance=chance,
        cut_off=cut,
    )


def _average(table: int, dataset: str, metric: str, own: Sequence[Improvement]) -> Improvement:
    cell = paper().improvements[table, dataset, AVERAGE][metric]
    models = [each.model for each in own]
    every = [_from_cells(table, dataset, model, metric) for model in MODELS]
    lacking = [name for name in MODELS if name not in models]
    return Improvement(
        table=table,
        dataset=dataset,
        model=AVERAGE,
        metric=metric,
        ours=sum(each.ours or 0.0 for each in own) / len(own) if not lacking else None,
        rows=min(each.rows for each in own),
        printed=cell.value,
        flags=dict(cell.flags),
        cells=sum(each for each in every if each is not None) / len(every) if None not in every else None,
        cut_off=sum(each.cut_off for each in own),
        note=f"no average: {', '.join(lacking)} not measured" if lacking else "",
    )


def _from_cells(table: int, dataset: str, model: str, metric: str) -> float | None:
    """Return the improvement of the sound printed cells; None if the vanilla cell is not sound."""

    def cell(kind: str, strategy: str) -> Cell:
        return paper().rows[RowKey(table, dataset, model, kind, strategy)][metric]

    base = cell(FEATURES[0], "vanilla")
    others = [
        each.value
        for kind in FEATURES
        for strategy in STRATEGIES
        if (kind, strategy) != (FEATURES[0], "vanilla") and (each := cell(kind, strategy)).sound and each.value
    ]
    return 100 * (max(others) / base.value - 1) if base.sound and base.value and others else None


def _mean(results: Sequence[SeedResult], metric: str) -> float:
    return sum(each.values[metric] for each in results) / len(results) if results else 0.0
