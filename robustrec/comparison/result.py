"""Results of a comparison of strategies."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robustrec.comparison.budget import Budget
from robustrec.results.report import DatasetRecord, Environment, WeightsRecord
from robustrec.subject import Record

Better = Literal["higher", "lower", "nearer to 0", "neither"]


class Mean(Record):
    """A mean with its interval; the bounds are None if each factor has only one level."""

    estimate: float
    low: float | None
    high: float | None


class Training(Record):
    """One training of a strategy at a budget."""

    model: str
    budget: Budget
    strategy: str
    seed: int
    epochs: int = Field(ge=1, description="number of epochs")
    best_epoch: int = Field(ge=1, description="epoch of the kept parameters")
    gradients: int = Field(ge=1, description="gradient evaluations, including SAM ascent steps and mirrored half-steps")
    cut_off: str = Field(
        default="",
        description="why training may not have converged: it ended before early stopping; empty if it converged",
    )


class Comparison(Record):
    """One measure of one strategy at one budget, and its difference from the reference strategy.

    The intervals cover what varied: training seeds, draws and users, crossed (see `evaluation.components`).
    """

    model: str
    budget: Budget
    strategy: str
    measure: str = Field(
        description="measure, for example ndcg@20, ndcg@20 drift sigma_rel=0.1 or input sharpness image"
    )
    kind: Literal["quality", "content", "drift", "stability", "flatness"] = Field(
        description="quality, the same with mean features (content), drift or list stability under a condition, or "
        "flatness"
    )
    better: Better = Field(
        description="better direction; neither if the measure depends on the scale of the scores or parameters"
    )
    epochs: int = Field(ge=1, description="mean epochs over the trainings")
    gradients: int = Field(ge=1, description="mean gradient evaluations over the trainings")
    cut_off: int = Field(default=0, ge=0, description="number of trainings that ended before early stopping")
    value: Mean
    shares: dict[str, float] = Field(
        description="shares of the variance of the value from training seed, draw, user, and their interactions"
    )
    reference: str | None = Field(default=None, description="reference strategy; None for the reference itself")
    difference: Mean | None = Field(
        default=None,
        description="value minus value of the reference, paired; for drifts, the difference of the "
        "absolute mean drifts",
    )
    ratio: Mean | None = Field(
        default=None,
        description="ratio of the value to that of the reference, for positive measures: geometric mean over seeds",
    )
    difference_shares: dict[str, float] = Field(default_factory=dict)
    p: float | None = Field(default=None, description="two-sided p-value of no difference, without correction")
    conclusion: str = Field(
        default="",
        description="conclusion at 95 %, corrected (Holm) over the measures of the same kind of the strategy",
    )
    note: str = ""
    left: Mean | None = Field(
        default=None, description="share of the clean quality of the strategy that is left with mean features"
    )
    trivial: str = Field(
        default="",
        description="why there is no conclusion: the strategy or its reference is content-free, at least 95 % of its "
        "quality is left with mean features",
    )


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
    epochs: int = Field(description="number of vanilla epochs that defines the equal budgets")
    seeds: tuple[int, ...]
    draws: int
    edit_draws: int = Field(default=0, description="draws of edited items; 0 if no edits were measured")
    n_users: int
    level: float
    rows: tuple[Comparison, ...]
    trainings: tuple[Training, ...] = ()
    sentences: tuple[str, ...]
    environment: Environment
    settings: dict[str, object] = Field(
        default_factory=dict, description="configuration of models and strategies, with all defaults resolved"
    )
