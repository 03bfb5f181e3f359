"""The plan of a recipe race: arms, rungs, seeds and budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robustrec.comparison.budget import Budget, epochs_within
from robustrec.comparison.race.arms import Arm, Wanted, arms_of
from robustrec.comparison.race.rungs import Rung, rungs_of
from robustrec.comparison.run import ComparisonPlan, plan_of_specs
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.progress import Progress, silent
from robustrec.runs.specs import SubjectSpec

DECISIVE: tuple[Budget, ...] = ("gradients", "early-stop")
"""Budgets of the statement; the first decides."""
FIRST_SELECTION_SEED = 10_000
"""Offset of the seeds of the selection, so that they are never those of a statement."""
FINALISTS, SELECTION_SEEDS, MARGIN = 3, 2, 0.02
RACED_EDITS: tuple[str, ...] = ("truncation", "promo_badge")
EDIT_DRAWS = 3


@dataclass(frozen=True)
class RacePlan:
    """Plan of a race.

    Attributes:
        base: data, encoder and weights, with the subject of every arm.
        arms: model -> its arms.
        finalists: arms other than the reference in the statement.
        selection_seeds: training seeds of the selection.
        seeds: fresh training seeds of the statement.
        edits: merchant edits of the objective; empty for clean quality.
        draws: of the edits, in the selection and in the statement each.
        margin: largest loss of clean quality, as a share of the reference's.
        budgets: of the statement; the first decides.
    """

    base: ComparisonPlan
    arms: Mapping[str, tuple[Arm, ...]]
    finalists: int
    selection_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    edits: tuple[str, ...]
    draws: int
    margin: float
    budgets: tuple[Budget, ...] = DECISIVE

    def rungs(self, model: str) -> tuple[Rung, ...]:
        """Return the rungs of a model."""
        return rungs_of(sum(not arm.reference for arm in self.arms[model]), self.finalists)

    def epochs_at(self, arm: Arm, share: float) -> int:
        """Return the epochs of an arm within a share of the budget of gradient evaluations."""
        return judged_epochs(arm.spec, share * self.base.epochs)


def judged_epochs(spec: SubjectSpec, epochs: float) -> int:
    """Return as `epochs_within`, in whole numbers of validations, where not every epoch has one."""
    every = spec.training.evaluate_every
    return max(every, epochs_within(spec, epochs) // every * every)


def plan_race(
    settings: Settings,
    epochs: int,
    reference: str = "vanilla",
    *,
    listed: Sequence[Wanted] = (),
    finalists: int = FINALISTS,
    selection_seeds: int = SELECTION_SEEDS,
    edits: Sequence[str] = RACED_EDITS,
    draws: int = EDIT_DRAWS,
    margin: float = MARGIN,
    budgets: Sequence[Budget] = DECISIVE,
    progress: Progress = silent,
) -> RacePlan:
    """Resolve settings into a race; nothing is encoded or trained.

    Args:
        settings: models, strategies, features, overrides; `seeds` are the fresh seeds.
        epochs: of plain training, from which the equal budget follows.
        reference: strategy that the others are compared with.
        listed: arms of a file; the strategies of the settings race if there are none.
        finalists: arms other than the reference in the statement.
        selection_seeds: number of training seeds of the selection.
        edits: merchant edits of the objective; none for clean quality.
        draws: of the edits.
        margin: largest loss of clean quality, as a share of the reference's.
        budgets: of the statement; the first decides.
        progress: callback while data are loaded.

    Raises:
        RobustrecError: unknown names, too few arms, or a model that cannot be trained.
    """
    if settings.engine != "local" or settings.workers > 1:
        raise RobustrecError(
            "a race trains in one process",
            where=f"--engine {settings.engine}, --workers {settings.workers}",
            fix="omit them, or compare without --race",
        )
    found: dict[str, tuple[Arm, ...]] = {}

    def specs(edition: str, dataset: str, encoder: str) -> list[SubjectSpec]:
        for model in dict.fromkeys(settings.model):
            found[model] = arms_of(settings, model, edition, dataset, encoder, reference=reference, listed=listed)
        return [arm.spec for arms in found.values() for arm in arms]

    base = plan_of_specs(settings, specs, epochs, reference, tuple(budgets), progress)
    first = settings.seed
    return RacePlan(
        base,
        found,
        finalists,
        tuple(first + FIRST_SELECTION_SEED + place for place in range(selection_seeds)),
        tuple(first + place for place in range(settings.seeds)),
        tuple(edits),
        draws,
        margin,
        tuple(budgets),
    )
