"""Configuration of the noise audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from robustrec.audits.kind import AuditConfig
from robustrec.audits.values import AccuracyMetric, Draws, Share, Variance, distinct
from robustrec.modalities import modality_fault
from robustrec.results.conditions import ALL
from robustrec.subject import Record

BREAK_POINT = "sigma2"
"""Metric of the break point."""


def _scope(name: str) -> str:
    fault = "" if name == ALL else modality_fault(name)
    if fault:
        raise ValueError(f"{name!r} is neither {ALL!r} nor the name of a modality: it {fault}")
    return name


Scope = Annotated[str, AfterValidator(_scope)]


class BreakPointSearch(Record):
    """Search for the noise tolerance on a logarithmic scale: the smallest noise with more than the allowed loss."""

    metric: AccuracyMetric = Field(default="ndcg@20", description="metric of the search")
    max_relative_drop: float = Field(
        default=0.05, gt=0, lt=1, description="allowed loss, as a share of the clean value"
    )
    sigma2_min: float = Field(default=1e-8, gt=0, description="smallest variance of the search")
    sigma2_max: float = Field(default=1.0, gt=0, le=1e6, description="largest variance of the search")
    draws: Draws = Field(default=4, description="random draws of the noise at each variance of the search")
    steps: int = Field(default=12, ge=1, le=60, description="bisection steps")

    @model_validator(mode="after")
    def _ordered(self) -> BreakPointSearch:
        if self.sigma2_min >= self.sigma2_max:
            raise ValueError(f"sigma2_min {self.sigma2_min} must be smaller than sigma2_max {self.sigma2_max}")
        return self


class TrainingNoise(Record):
    """Noise in training: train again on noisy features and evaluate on the same features."""

    sigma2: Annotated[tuple[Variance, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        description="noise variances"
    )
    draws: Draws = Field(default=1, description="trainings per variance, each with other noise")


class NoiseAudit(AuditConfig):
    """Add Gaussian noise to the item features, before any normalisation inside the model."""

    kind: Literal["noise"]
    sigma2: Annotated[tuple[Variance, ...], AfterValidator(distinct)] = Field(
        default=(1e-6,), description="noise variances; 0 is an A/A audit, which must measure no change"
    )
    relative: Annotated[tuple[Share, ...], AfterValidator(distinct)] = Field(
        default=(),
        description="expected norm of the noise, as a share of the norm of each feature vector",
    )
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("all",),
        description="modalities with noise: all together, or image, text or any other of the data set by its name",
    )
    graphs: Annotated[tuple[Literal["rebuilt", "frozen"], ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("rebuilt",),
        description="rebuilt: build item graphs from the noisy features; frozen: keep the clean item graphs",
    )
    draws: Draws = Field(default=10, description="random draws of the noise for each condition")
    break_point: BreakPointSearch | None = Field(
        default=None, description="search for the noise tolerance: the smallest noise with more than the allowed loss"
    )
    training: TrainingNoise | None = Field(default=None, description="also train on noisy features")

    @model_validator(mode="after")
    def _measures_something(self) -> NoiseAudit:
        if not (self.sigma2 or self.relative or self.break_point or self.training):
            raise ValueError("a noise audit needs sigma2, relative, break_point or training")
        return self
