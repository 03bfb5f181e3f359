"""The reproduction of a paper as a function."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.comparison.run import ComparisonPlan
from robustrec.engine.chosen import engine_of
from robustrec.engine.names import LOCAL
from robustrec.engine.spread import comparison_message
from robustrec.object_store import shared_results
from robustrec.progress import Progress, silent
from robustrec.reproduce.plan import ReproductionPlan
from robustrec.reproduce.result import Reproduction
from robustrec.reproduce.run import run_reproduction
from robustrec.runs.prepared import Prepared


def run_reproduction_plan(
    plan: ReproductionPlan, *, command: Sequence[str], progress: Progress = silent
) -> Reproduction:
    """Run the plan of a reproduction on the engine of its settings.

    Args:
        plan: the plan.
        command: what the report records as its command, in words.
        progress: called with stage, number done, total and a note.

    Raises:
        RobustrecError: the home folder cannot be written.
    """
    settings = plan.settings
    spread = settings.engine != LOCAL or settings.workers > 1
    with shared_results(settings.store, offline=settings.offline):
        return run_reproduction(plan, command=command, progress=progress, ahead=_ahead if spread else None)


def _ahead(plan: ComparisonPlan, prepared: Prepared, progress: Progress) -> None:
    first = comparison_message(plan)
    with engine_of(plan.settings) as engine, engine.encoding(first, plan.settings, progress):
        engine.train_comparison(plan, prepared, progress)
