"""What a suite can ask of the noise audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from robustrec.audits.values import Draws, QualityMetric, Share, Variance, distinct
from robustrec.subject import Record


class BreakPoint(Record):
    """Search, on a logarithmic scale, for the smallest noise that costs more than is tolerated."""

    metric: QualityMetric = Field(default="ndcg@20", description="whose loss is looked at")
    max_relative_drop: float = Field(
        default=0.05, gt=0, lt=1, description="tolerated loss, as a share of the clean value"
    )
    sigma2_min: float = Field(default=1e-8, gt=0, description="smallest variance tried")
    sigma2_max: float = Field(default=1.0, gt=0, le=1e6, description="largest variance tried")
    draws: Draws = Field(default=4, description="random draws of the noise at each variance tried")
    steps: int = Field(default=12, ge=1, le=60, description="bisection steps")

    @model_validator(mode="after")
    def _ordered(self) -> BreakPoint:
        if self.sigma2_min >= self.sigma2_max:
            raise ValueError(f"sigma2_min {self.sigma2_min} must be smaller than sigma2_max {self.sigma2_max}")
        return self


class TrainingNoise(Record):
    """Noise that was there from the start: train once more on noisy features and serve on the same."""

    sigma2: Annotated[tuple[Variance, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        description="variances of the noise"
    )
    draws: Draws = Field(default=1, description="trainings per variance, each with its own noise")


class NoiseAudit(Record):
    """Gaussian noise on the item features before any normalisation inside the model."""

    kind: Literal["noise"]
    sigma2: Annotated[tuple[Variance, ...], AfterValidator(distinct)] = Field(
        default=(1e-6,), description="variances of the noise; 0 is an A/A audit and must find nothing"
    )
    relative: Annotated[tuple[Share, ...], AfterValidator(distinct)] = Field(
        default=(),
        description="expected length of the noise, as a share of each feature vector's norm",
    )
    scopes: Annotated[tuple[Literal["all", "image", "text"], ...], Field(min_length=1), AfterValidator(distinct)] = (
        Field(default=("all",), description="modalities that get the noise")
    )
    graphs: Annotated[tuple[Literal["rebuilt", "frozen"], ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("rebuilt",),
        description="item graphs rebuilt from the noisy features (the pipeline ran again), or kept as they were",
    )
    draws: Draws = Field(default=10, description="random draws of the noise under each condition")
    break_point: BreakPoint | None = Field(
        default=None, description="search for the smallest noise that costs too much"
    )
    training: TrainingNoise | None = Field(default=None, description="train once more on noisy features")

    @model_validator(mode="after")
    def _measures_something(self) -> NoiseAudit:
        if not (self.sigma2 or self.relative or self.break_point or self.training):
            raise ValueError("a noise audit needs sigma2, relative, break_point or training")
        return self
