"""What a comparison of strategies found, as it is written and printed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robustrec.compare.budget import Budget
from robustrec.results.report import DatasetRecord, Environment, WeightsRecord
from robustrec.subject import Record

Better = Literal["higher", "lower", "nearer to 0", "neither"]


class Mean(Record):
    """A mean with its interval; the bounds are None where one level of each factor tells nothing of others."""

    estimate: float
    low: float | None
    high: float | None


class Training(Record):
    """One training of a strategy at a budget."""

    model: str
    budget: Budget
    strategy: str
    seed: int
    epochs: int = Field(ge=1, description="epochs it took")
    best_epoch: int = Field(ge=1, description="epoch whose parameters were kept")
    gradients: int = Field(
        ge=1, description="gradient evaluations it took, ascent steps and second half-steps included"
    )
    cut_off: str = Field(
        default="", description="why it may not have finished: it ended before `patience` ran out; empty where it did"
    )


class Comparison(Record):
    """One measure of one strategy at one budget, and its difference from the reference strategy.

    The intervals cover what varied: training seeds, draws and users, crossed (see `evaluation.components`).
    """

    model: str
    budget: Budget
    strategy: str
    measure: str = Field(description="e.g. ndcg@20, ndcg@20 drift sigma_rel=0.1, input sharpness image")
    better: Better = Field(
        description="which way is better; neither for what depends on the scale of the scores or of the parameters"
    )
    epochs: int = Field(ge=1, description="mean over its trainings")
    gradients: int = Field(ge=1, description="gradient evaluations, mean over its trainings")
    cut_off: int = Field(default=0, ge=0, description="how many of its trainings were cut off")
    value: Mean
    shares: dict[str, float] = Field(
        description="what part of the value's variance is the training seed's, the draw's, the user's, or of several"
    )
    reference: str | None = Field(default=None, description="strategy compared with; None for that strategy itself")
    difference: Mean | None = Field(
        default=None,
        description="value - value of the reference, paired; for drifts the difference of the sizes of the mean drifts",
    )
    ratio: Mean | None = Field(
        default=None,
        description="value over the reference's, for measures that are positive: geometric mean over seeds",
    )
    difference_shares: dict[str, float] = Field(default_factory=dict)
    p: float | None = Field(default=None, description="two-sided p-value of no difference, of this measure alone")
    conclusion: str = Field(
        default="", description="what follows at 95 %, corrected (Holm) over the strategy's measures of the same kind"
    )
    note: str = ""


class StrategyReport(Record):
    """A comparison of strategies at several budgets."""

    schema_version: Literal[1] = 1
    kind: Literal["strategies"] = "strategies"
    robustrec: str
    command: tuple[str, ...]
    dataset: DatasetRecord
    features: str | None
    weights: tuple[WeightsRecord, ...] = Field(default=(), description="weights of the encoder's networks")
    warnings: tuple[str, ...] = ()
    epochs: int = Field(description="epochs of plain training that the equal budgets stand for")
    seeds: tuple[int, ...]
    draws: int
    edit_draws: int = Field(default=0, description="draws of edited items; 0 where no edits were measured")
    n_users: int
    level: float
    rows: tuple[Comparison, ...]
    trainings: tuple[Training, ...] = ()
    sentences: tuple[str, ...]
    environment: Environment
    settings: dict[str, object] = Field(
        default_factory=dict, description="models and strategies with all defaults resolved"
    )
