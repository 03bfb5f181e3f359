"""The comparison of training strategies at equal budget as a function."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from robustrec.api.settings import CommonOptions, Names, settings_of
from robustrec.audits.noise.condition import NoiseCondition
from robustrec.comparison.budget import BUDGETS, Budget
from robustrec.comparison.edits import DRAWS, EDITS
from robustrec.comparison.result import StrategyReport
from robustrec.comparison.run import ComparisonPlan, Effort, plan_comparison, run_comparison
from robustrec.datasets.registry import Dataset
from robustrec.engine.chosen import engine_of
from robustrec.engine.spread import comparison_message
from robustrec.object_store import shared_results
from robustrec.progress import Progress, silent
from robustrec.training.strategy_names import STRATEGY_NAMES


def compare_strategies(
    model: Names,
    dataset: str | Path | Dataset | None = None,
    *,
    strategy: str | Sequence[str] = STRATEGY_NAMES,
    seeds: int = 3,
    epochs: int = 30,
    reference: str = "vanilla",
    budgets: Sequence[Budget] = BUDGETS,
    sigma2: Sequence[float] = (1e-6,),
    relative: Sequence[float] = (0.1,),
    draws: int = 6,
    edits: Sequence[str] = EDITS,
    edit_draws: int = DRAWS,
    triples: int = 20_000,
    probes: int = 16,
    steps: int = 20,
    progress: Progress = silent,
    **options: Unpack[CommonOptions],
) -> StrategyReport:
    """Compare training strategies at equal budget over several seeds, as `robustrec compare --model`.

    Args:
        model: names or classes of recommenders.
        dataset: a data set, its name, or its folder.
        strategy: training strategies.
        seeds: number of training seeds.
        epochs: epochs of vanilla training; the budgets are derived from it.
        reference: strategy that the others are compared with.
        budgets: epochs, gradients or early-stop.
        sigma2: variances of noise at inference.
        relative: noise norms relative to the norm of each feature vector.
        draws: random draws of each noise condition.
        edits: merchant edits applied to 10 % of the items.
        edit_draws: random choices of the edited items, for each edit.
        triples: training triples of the loss that the Hessian is taken of.
        probes: random probes of the trace of the Hessian.
        steps: Hessian-vector products for the largest eigenvalue.
        progress: called with stage, number done, total and a note.
        options: see `CommonOptions`.

    Raises:
        RobustrecError: as `robustrec compare --model`.
    """
    settings = settings_of({"model": model, "dataset": dataset, "strategy": strategy, "seeds": seeds, **options})
    found = plan_comparison(settings, epochs, reference, budgets=tuple(budgets), progress=progress)
    conditions = (
        *(NoiseCondition(amount) for amount in sigma2),
        *(NoiseCondition(amount, relative=True) for amount in relative),
    )
    effort = Effort(conditions, draws, triples, probes, steps, tuple(edits), edit_draws)
    return run_comparison_plan(found, effort, command=[sys.argv[0] or "python"], progress=progress)


def run_comparison_plan(
    plan: ComparisonPlan, effort: Effort, *, command: Sequence[str], progress: Progress = silent
) -> StrategyReport:
    """Run the plan of a comparison on the engine of its settings.

    Args:
        plan: the plan.
        effort: what is measured of every subject.
        command: what the report records as its command, in words.
        progress: called with stage, number done, total and a note.

    Raises:
        RobustrecError: encoding or training failed, or two strategies trained equal parameters.
    """
    first, settings = comparison_message(plan), plan.settings
    with (
        shared_results(settings.store, offline=settings.offline),
        engine_of(settings) as engine,
        engine.encoding(first, settings, progress),
    ):
        return run_comparison(plan, effort, command=command, progress=progress, train=engine.train_comparison)
