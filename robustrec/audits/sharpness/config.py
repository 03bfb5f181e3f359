"""Configuration of the sharpness audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from robustrec.audits.kind import AuditConfig
from robustrec.audits.values import distinct
from robustrec.subject import Record

Sigma = Annotated[float, Field(gt=0, le=10)]
Probes = Annotated[int, Field(ge=2, le=10_000)]
Steps = Annotated[int, Field(ge=2, le=1000)]
Radius = Annotated[float, Field(gt=0, le=100)]


class Density(Record):
    """Spectral density by stochastic Lanczos quadrature."""

    probes: Annotated[int, Field(ge=1, le=1000)] = Field(default=8, description="number of start vectors")
    steps: Steps = Field(default=40, description="Hessian-vector products for each start vector")


class Landscapes(Record):
    """Loss along directions, from forward passes only, for plots."""

    points: int = Field(default=21, ge=3, le=201, description="points along one direction")
    grid: int = Field(
        default=0, ge=0, le=101, description="points along each side of a plane of two directions; 0 for no plane"
    )
    reach: float = Field(
        default=1.0, gt=0, le=10, description="largest step, relative to the norm of each parameter vector"
    )


class EditLandscapes(Record):
    """Loss along merchant edits, from the clean to the edited features."""

    edits: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        description='names of edits, "package.module:function", or combinations of edits'
    )
    severity: int = Field(default=3, ge=1, le=5, description="severity of the edits")
    items: int = Field(default=100, ge=1, le=100_000, description="number of edited items, chosen at random")
    points: int = Field(default=11, ge=3, le=201, description="points along each edit")
    reach: float = Field(default=1.0, gt=0, le=10, description="largest step in both directions; 1 is the full edit")


class ParameterSharpness(Record):
    """Curvature of the audited loss in the parameters, reported but not for gates."""

    eigenvalues: int = Field(default=5, ge=1, le=50, description="number of largest eigenvalues")
    steps: Steps = Field(default=40, description="Hessian-vector products for the eigenvalues")
    probes: Probes = Field(default=32, description="random probes for the trace, in total and by block")
    sam_radius: Radius = Field(default=0.05, description="radius ρ of worst-case sharpness (SAM)")
    asam_radius: Radius = Field(
        default=0.5, description="radius ρ of worst-case sharpness, relative to each parameter (ASAM)"
    )
    ascent_steps: int = Field(
        default=3, ge=1, le=50, description="ascent steps; results after one step and after all steps are reported"
    )
    average_radius: Radius = Field(default=0.1, description="radius ρ of average-case sharpness, scaled by row")
    average_pairs: Probes = Field(default=8, description="antithetic pairs of draws for average-case sharpness")
    curvature_probes: Probes = Field(default=8, description="random probes for the row-adaptive curvature")
    training_loss: bool = Field(default=False, description="also λ₁ and trace of the training loss of the model")
    training_triples: int = Field(default=2048, ge=1, description="number of training triples in this loss, one batch")
    density: Density | None = Field(default=None, description="spectral density, about 300 more gradients")
    landscapes: Landscapes | None = Field(default=None, description="plots of the loss around the parameters")


class SharpnessAudit(AuditConfig):
    """Measure the sharpness of one audited loss, the same for all subjects, in features and parameters."""

    kind: Literal["sharpness"]
    triples: int = Field(
        default=100_000,
        ge=2,
        description="number of training interactions in the audited loss, each with a negative item; the margin of one "
        "alone has no spread to be scaled by",
    )
    sigma: Annotated[tuple[Sigma, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(0.1, 0.3, 1.0),
        description="noise in standard deviations of the features; input sharpness uses the first",
    )
    input_probes: Probes = Field(default=8, description="random probes for input sharpness")
    worst_items: int = Field(
        default=10, ge=0, le=1000, description="number of items with the largest sharpness to measure again"
    )
    worst_probes: Probes = Field(default=8, description="random probes for these items")
    input_steps: int = Field(
        default=12,
        ge=0,
        le=1000,
        description="Hessian-vector products for the top input eigenvalue of each modality; 0 for none",
    )
    flip_draws: int = Field(default=4, ge=0, le=1000, description="draws for the linearised flip rate; 0 for none")
    noise_pairs: int = Field(
        default=3, ge=0, le=1000, description="antithetic pairs of draws for the measured loss and lists"
    )
    raw_margins: bool = Field(
        default=True,
        description="also measure the loss of raw margins, which depends on the scale of the scores",
    )
    # Kept out of dumps, so that suites of former reports are still read and compared.
    score_scale_free: bool = Field(
        default=True, exclude=True, description="unused: standardised margins are always measured"
    )
    precision: Literal["float32", "float64"] = Field(
        default="float32", description="floating-point precision of the audit"
    )
    memory_gib: float = Field(
        default=4.0,
        gt=0,
        le=10_000,
        description="memory limit of the Lanczos vectors in GiB; above it Lanczos restarts",
    )
    parameters: ParameterSharpness | None = Field(
        default=None, description="also measure curvature in the parameters, and its rank correlation with drift"
    )
    edits: EditLandscapes | None = Field(default=None, description="also measure the loss along merchant edits")

    @model_validator(mode="after")
    def _one_pair_says_nothing(self) -> SharpnessAudit:
        if self.noise_pairs == 1:
            raise ValueError("noise_pairs must be 0 or at least 2, because one pair has no standard error")
        return self


def input_gradients(audit: SharpnessAudit, modalities: int) -> int:
    """Return the largest number of gradients and Hessian-vector products for the features of one subject."""
    total = _losses(audit) * (1 + 2 + audit.input_probes)
    total += modalities * audit.worst_probes if audit.worst_items else 0
    total += modalities * (1 + audit.input_steps) if audit.input_steps else 0
    return total + (1 + audit.flip_draws if audit.flip_draws else 0)


def parameter_gradients(audit: SharpnessAudit) -> int:
    """Return the number of gradients and Hessian-vector products for the parameters of one subject."""
    own = audit.parameters
    if own is None:
        return 0
    total = (_losses(audit) + (1 if own.training_loss else 0)) * (1 + 2 + own.steps + own.probes)
    total += _losses(audit) * (own.curvature_probes + 2 * own.ascent_steps)
    return total + (own.density.probes * own.density.steps if own.density else 0)


def _losses(audit: SharpnessAudit) -> int:
    """Return the number of audited losses: with standardised and with raw margins."""
    return 2 if audit.raw_margins else 1


def noisy_lists(audit: SharpnessAudit) -> int:
    """Return the number of representations under noise of one subject, each followed by a ranking."""
    return 2 * audit.noise_pairs * len(audit.sigma)
