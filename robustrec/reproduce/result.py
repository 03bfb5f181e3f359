"""Results of a reproduction, as JSON has them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robustrec.comparison.result import Training
from robustrec.results.report import DatasetRecord, Environment, WeightsRecord
from robustrec.subject import Record

Verdict = Literal["agrees", "differs", "not decided", "not usable", "not in the paper", "missing", "left", "failed"]
Noise = Literal["", "inference", "training"]


class Value(Record):
    """A metric of a row, beside the printed cell."""

    metric: str
    mean: float = Field(description="mean over the training seeds")
    low: float | None = Field(description="95 % interval of the mean, Student's t over the training seeds")
    high: float | None
    one_low: float | None = Field(
        default=None, description="range of one further training, which the printed value is compared with"
    )
    one_high: float | None = None
    by_seed: tuple[float, ...] = Field(description="one value a training seed")
    printed: float | None = Field(default=None, description="the printed value; None if the scan cannot be read")
    flags: dict[str, str] = Field(default_factory=dict, description="faults of the printed cell, each with a sentence")
    difference: float | None = Field(default=None, description="mean minus the printed value, over the printed value")
    verdict: Verdict = "not in the paper"


class Row(Record):
    """A row of a table: one model, strategy and kind of features on one data set."""

    table: int = Field(description="table of the paper; 0 for a row that the paper does not have")
    dataset: str
    model: str
    features: str = Field(description="kind of features, as the paper has it")
    encoder: str = Field(description="encoder that made the features")
    strategy: str
    noise: Noise = Field(default="", description="table 2: where the noise is added; empty for clean features")
    values: tuple[Value, ...] = ()
    verdict: Verdict
    why: str = Field(default="", description="why there is no verdict, or the cells it rests on")
    reason: str = Field(default="", description="most likely reason of a difference")
    experiment: str = Field(default="", description="experiment that would decide whether it is the reason")
    substitutes: tuple[str, ...] = Field(default=(), description="what differs from the experiment of the paper")
    missing: str = Field(default="", description="input that is not at hand")
    fix: str = Field(default="", description="command that prepares it")
    trainings: tuple[Training, ...] = ()
    chosen: dict[str, float] = Field(default_factory=dict, description="settings chosen on validation")

    @property
    def label(self) -> str:
        """The row in one line: "slmrec/blip/sgbd"."""
        return f"{self.model}/{self.features}/{self.strategy}"


class Claim(Record):
    """A claim of the paper as a test over training seeds."""

    claim: str = Field(description="the claim in words")
    dataset: str = Field(description="data set, or the data sets of a mean over several")
    model: str = Field(description="model, or the models of a mean over several")
    features: str
    encoder: str
    better: str
    reference: str
    budget: Literal["early-stop", "epochs", "gradients"]
    metric: str
    pooled: bool = Field(description="mean over models and data sets")
    estimate: float | None = Field(default=None, description="mean relative difference")
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = Field(default=None, description="corrected by Holm's method over the claims of a kind")
    seeds: int = 0
    printed: float | None = Field(
        default=None, description="the same difference of the printed cells, if both are sound"
    )
    conclusion: Literal["holds", "the opposite holds", "no significant difference", "not decided"]
    why: str = ""


class Improvement(Record):
    """An improvement line: the best row of each model over its vanilla row, averaged over the models."""

    table: int
    dataset: str
    model: str = Field(description='model, or "average"')
    metric: str
    ours: float | None = Field(description="from our means, in percent")
    rows: int = Field(description="rows beside vanilla that were measured, of 8")
    best: str = Field(default="", description="the best row, which is chosen on test")
    chance: float | None = Field(
        default=None, description="what choosing the best row adds where no row differs from another, in percent"
    )
    cut_off: int = Field(default=0, description="trainings that ended before early stopping")
    printed: float | None
    flags: dict[str, str] = Field(default_factory=dict)
    cells: float | None = Field(default=None, description="the same from the sound printed cells")
    note: str = ""


class Fall(Record):
    """How far noise lowers a metric of a row, in two readings of table 2."""

    model: str
    features: str
    strategy: str
    metric: str
    printed: float | None = Field(description="fall from table 3 to table 2, as a share; None if a cell is not sound")
    inference: float | None
    inference_low: float | None
    inference_high: float | None
    training: float | None
    training_low: float | None
    training_high: float | None
    spread: float | None = Field(
        description="standard deviation of the clean value over the training seeds, as a share of its mean"
    )
    conclusion: str


class Tuned(Record):
    """The search of one strategy's settings on validation."""

    dataset: str
    model: str
    features: str
    strategy: str
    trials: int
    pruned: int
    gradients: int = Field(description="gradient evaluations of all trials")
    most_gradients: int = Field(description="largest number that a trial may take, the same for every strategy")
    chosen: dict[str, float]
    validation: float | None = Field(description="best validation value; None if --set gives all settings")
    metric: str


class Reproduction(Record):
    """The tables of the paper beside what was measured."""

    schema_version: Literal[1] = 1
    robustrec: str
    paper: str = "sgbd"
    command: tuple[str, ...]
    datasets: tuple[DatasetRecord, ...]
    weights: tuple[WeightsRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    seeds: tuple[int, ...]
    level: float
    metric: str = Field(description="metric of the claims")
    epochs: int = Field(description="epochs of plain training at equal budgets; 0 if these were omitted")
    tuning: Literal["none", "optuna"] = Field(
        default="none", description="whether settings of strategies were chosen on validation"
    )
    settings: dict[str, dict[str, object]] = Field(description="settings of each subject")
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...] = ()
    improvements: tuple[Improvement, ...] = ()
    falls: tuple[Fall, ...] = ()
    tuned: tuple[Tuned, ...] = ()
    left: tuple[str, ...] = Field(default=(), description="trainings that were not started within the budget")
    environment: Environment | None = None
