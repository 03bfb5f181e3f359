"""Results of a recipe race."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robustrec.comparison.budget import Budget
from robustrec.comparison.result import Mean, Training
from robustrec.results.report import DatasetRecord, Environment, Requirement, WeightsRecord
from robustrec.subject import Record


class RungScore(Record):
    """An arm at the end of a rung of the selection."""

    rung: int = Field(ge=0)
    share: float = Field(gt=0, le=1, description="share of the budget of gradient evaluations at the end of the rung")
    arm: str
    epochs: int = Field(ge=1)
    gradients: int = Field(ge=0, description="gradient evaluations of each training until then")
    score: float | None = Field(
        description="mean over the selection seeds of the validation objective; None if a training diverged"
    )
    left: float | None = Field(
        default=None, description="share of the validation quality that is left with mean features; None if unknown"
    )
    dropped: str = Field(default="", description="why the arm does not go on; empty if it does")


class Gain(Record):
    """A finalist against the reference on test, over the fresh seeds."""

    arm: str
    budget: Budget
    objective: Mean = Field(description="value of the objective: quality under edits, or clean quality without edits")
    difference: Mean | None = Field(default=None, description="difference of the objective from the reference, paired")
    degrees: float | None = Field(default=None, description="degrees of freedom of the difference")
    p: float | None = Field(default=None, description="two-sided p-value of no difference")
    p_adjusted: float | None = Field(default=None, description="corrected (Holm) over the finalists at this budget")
    clean: Mean
    clean_difference: Mean | None = Field(
        default=None, description="difference of clean quality from the reference, as a share of the reference's"
    )
    exposure: Mean | None = Field(default=None, description="change of the exposure of edited items under edits")
    overlap: Mean | None = Field(default=None, description="overlap of the lists with and without edits")
    left: Mean | None = Field(default=None, description="share of the clean quality that is left with mean features")
    content_free: bool = False
    content_uncertain: bool = Field(default=False, description="whether the interval of left contains 95 %")
    epochs: int = Field(ge=1, description="mean over the fresh seeds")
    gradients: int = Field(ge=1, description="mean gradient evaluations over the fresh seeds")
    cut_off: int = Field(default=0, ge=0, description="trainings that ended before early stopping")
    conclusion: str = ""

    @property
    def mark(self) -> str:
        """What stands behind the name of an arm that ignores content, or may ignore it; empty of others."""
        if self.content_free:
            return "content-free"
        return "content use uncertain" if self.content_uncertain else ""

    @property
    def name(self) -> str:
        """The arm with its mark."""
        return f"{self.arm} ({self.mark})" if self.mark else self.arm


class ModelRace(Record):
    """The race of one model."""

    model: str
    arms: tuple[str, ...]
    reference: str = Field(description="setting of the reference that validation chose among those of the race")
    given: str = Field(description="how many negatives and gradients the reference was given")
    scores: tuple[RungScore, ...]
    gains: tuple[Gain, ...]
    trainings: tuple[Training, ...]
    chosen: str = Field(default="", description="the recommended arm; empty if none is")
    headline: str
    requirements: tuple[Requirement, ...]


class RaceReport(Record):
    """A recipe race: selection by validation, and a statement on test with fresh training seeds."""

    schema_version: Literal[1] = 1
    kind: Literal["race"] = "race"
    robustrec: str
    command: tuple[str, ...]
    dataset: DatasetRecord
    features: str | None
    weights: tuple[WeightsRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    epochs: int = Field(description="vanilla epochs that define the equal budget")
    objective: str = Field(description="what is compared, in words")
    margin: float = Field(description="largest loss of clean quality that is allowed, as a share of the reference's")
    selection_seeds: tuple[int, ...]
    seeds: tuple[int, ...] = Field(description="fresh training seeds of the statement")
    edits: tuple[str, ...] = ()
    draws: int = Field(default=0, description="draws of edits of the statement, none of which the selection used")
    n_users: int
    level: float
    budgets: tuple[Budget, ...]
    models: tuple[ModelRace, ...]
    settings: dict[str, object] = Field(description="configuration of every arm, with all defaults resolved")
    environment: Environment
