"""The recipe race as a function."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from robustrec.api.settings import CommonOptions, Names, settings_of
from robustrec.comparison.budget import Budget
from robustrec.comparison.race.arms import read_arms
from robustrec.comparison.race.plan import (
    DECISIVE,
    EDIT_DRAWS,
    FINALISTS,
    MARGIN,
    RACED_EDITS,
    SELECTION_SEEDS,
    plan_race,
)
from robustrec.comparison.race.result import RaceReport
from robustrec.comparison.race.run import run_race
from robustrec.datasets.registry import Dataset
from robustrec.object_store import check_store, shared_results
from robustrec.progress import Progress, silent
from robustrec.training.strategy_names import RACED


class RaceOptions(CommonOptions, total=False):
    """Arguments of a race, see `race`."""

    dataset: str | Path | Dataset | None
    strategy: str | Sequence[str]
    seeds: int
    epochs: int
    reference: str
    budgets: Sequence[Budget]
    arms: str | Path | None
    finalists: int
    selection_seeds: int
    margin: float
    edits: Sequence[str]
    edit_draws: int
    progress: Progress


def race(
    model: Names,
    dataset: str | Path | Dataset | None = None,
    *,
    strategy: str | Sequence[str] = RACED,
    seeds: int = 3,
    epochs: int = 30,
    reference: str = "vanilla",
    budgets: Sequence[Budget] = DECISIVE,
    arms: str | Path | None = None,
    finalists: int = FINALISTS,
    selection_seeds: int = SELECTION_SEEDS,
    margin: float = MARGIN,
    edits: Sequence[str] = RACED_EDITS,
    edit_draws: int = EDIT_DRAWS,
    progress: Progress = silent,
    **options: Unpack[CommonOptions],
) -> RaceReport:
    """Choose among strategies and settings, as `robustrec compare --model --race`; an interrupted race resumes.

    Args:
        model: names or classes of recommenders.
        dataset: a data set, its name, or its folder.
        strategy: training strategies; lists in `set`, as {"strategy": {"rho": [0.02, 0.05]}}, are grids of settings.
        seeds: number of fresh training seeds of the statement.
        epochs: epochs of vanilla training, from which the equal budget follows.
        reference: strategy that the others are compared with.
        budgets: of the statement: gradients, epochs or early-stop; the first decides.
        arms: TOML file of arms in the place of `strategy`.
        finalists: arms other than the reference in the statement.
        selection_seeds: number of training seeds of the selection.
        margin: largest loss of clean quality, as a share of the reference's.
        edits: merchant edits of the objective; empty for clean quality.
        edit_draws: random draws of each edit, in the selection and in the statement each.
        progress: called with stage, number done, total and a note.
        options: see `CommonOptions`.

    Raises:
        RobustrecError: as `robustrec compare --race`.
    """
    settings = settings_of({"model": model, "dataset": dataset, "strategy": strategy, "seeds": seeds, **options})
    check_store(settings.store, offline=settings.offline)
    plan = plan_race(
        settings,
        epochs,
        reference,
        listed=read_arms(Path(arms)) if arms is not None else (),
        finalists=finalists,
        selection_seeds=selection_seeds,
        edits=tuple(edits),
        draws=edit_draws,
        margin=margin,
        budgets=tuple(budgets),
        progress=progress,
    )
    with shared_results(settings.store, offline=settings.offline):
        return run_race(plan, command=[sys.argv[0] or "python"], progress=progress)
