"""What a suite can ask of the sharpness audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from robustrec.audits.values import distinct
from robustrec.subject import Record

Sigma = Annotated[float, Field(gt=0, le=10)]
Probes = Annotated[int, Field(ge=2, le=10_000)]
Steps = Annotated[int, Field(ge=2, le=1000)]
Radius = Annotated[float, Field(gt=0, le=100)]


class Density(Record):
    """The whole spectrum, by stochastic Lanczos quadrature."""

    probes: Annotated[int, Field(ge=1, le=1000)] = Field(default=8, description="start vectors")
    steps: Steps = Field(default=40, description="Hessian products from each")


class Landscapes(Record):
    """The loss along directions: forward passes only, for pictures."""

    points: int = Field(default=21, ge=3, le=201, description="along one direction")
    grid: int = Field(default=0, ge=0, le=101, description="along each side of a plane of two directions; 0 for none")
    reach: float = Field(default=1.0, gt=0, le=10, description="how far, in lengths of the parameters' own vectors")


class EditLandscapes(Record):
    """The loss along merchant edits, from the clean features to the edited ones."""

    edits: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        description='names of edits, "package.module:function", or combinations of them'
    )
    severity: int = Field(default=3, ge=1, le=5, description="of the edits")
    items: int = Field(default=100, ge=1, le=100_000, description="items edited, chosen at random")
    points: int = Field(default=11, ge=3, le=201, description="along each edit")
    reach: float = Field(default=1.0, gt=0, le=10, description="how far to both sides; 1 is the edit itself")


class ParameterSharpness(Record):
    """Curvature of the audited loss in the parameters: reported, no basis for gates."""

    eigenvalues: int = Field(default=5, ge=1, le=50, description="largest eigenvalues reported")
    steps: Steps = Field(default=40, description="Hessian products for the eigenvalues")
    probes: Probes = Field(default=32, description="probes of the trace, whole and by block")
    sam_radius: Radius = Field(default=0.05, description="ρ of the worst case")
    asam_radius: Radius = Field(default=0.5, description="ρ of the worst case relative to each parameter's size")
    ascent_steps: int = Field(
        default=3, ge=1, le=50, description="steps of ascent; after one and after all is reported"
    )
    average_radius: Radius = Field(default=0.1, description="ρ of the average case, scaled row by row")
    average_pairs: Probes = Field(default=8, description="pairs of opposite draws of the average case")
    curvature_probes: Probes = Field(default=8, description="probes of the row-adaptive curvature")
    training_loss: bool = Field(default=False, description="λ₁ and trace of the model's own training loss too")
    training_triples: int = Field(default=2048, ge=1, description="triples of that loss: one batch")
    density: Density | None = Field(default=None, description="the spectral density, some 300 gradients more")
    landscapes: Landscapes | None = Field(default=None, description="pictures of the loss around the parameters")


class SharpnessAudit(Record):
    """How sharply one loss, the same for all subjects, rises with noise on the features and on the parameters."""

    kind: Literal["sharpness"]
    triples: int = Field(default=100_000, ge=1, description="training interactions averaged over, each with a negative")
    sigma: Annotated[tuple[Sigma, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(0.1, 0.3, 1.0),
        description="noise as a share of the features' standard deviation; the first is that of the input sharpness",
    )
    input_probes: Probes = Field(default=8, description="probes of the input sharpness")
    worst_items: int = Field(default=10, ge=0, le=1000, description="items of largest sharpness measured once more")
    worst_probes: Probes = Field(default=8, description="probes of those")
    input_steps: int = Field(
        default=12, ge=0, le=1000, description="products for the top input eigenvalue of each modality; 0 for none"
    )
    flip_draws: int = Field(default=4, ge=0, le=1000, description="draws of the linearised flip rate; 0 for none")
    noise_pairs: int = Field(
        default=3, ge=0, le=1000, description="pairs of opposite draws under which loss and lists are measured"
    )
    raw_margins: bool = Field(
        default=True,
        description="also measure the loss of the margins as they are, which depends on the scale of the scores",
    )
    # Kept out of dumps, so that suites of former reports are still read and compared.
    score_scale_free: bool = Field(
        default=True, exclude=True, description="not used any more: standardised margins are always measured"
    )
    precision: Literal["float32", "float64"] = Field(default="float32", description="what everything is computed in")
    memory_gib: float = Field(default=4.0, gt=0, le=10_000, description="what Lanczos vectors may take; then restarts")
    parameters: ParameterSharpness | None = Field(
        default=None, description="curvature in the parameters too, and flatness against drift"
    )
    edits: EditLandscapes | None = Field(default=None, description="the loss along merchant edits too")

    @model_validator(mode="after")
    def _one_pair_says_nothing(self) -> SharpnessAudit:
        if self.noise_pairs == 1:
            raise ValueError("one pair has no standard error: noise_pairs is 0 or at least 2")
        return self


def input_gradients(audit: SharpnessAudit, modalities: int) -> int:
    """Return the gradients and products that the features of one subject take at most."""
    total = _losses(audit) * (1 + 2 + audit.input_probes)
    total += modalities * audit.worst_probes if audit.worst_items else 0
    total += modalities * (1 + audit.input_steps) if audit.input_steps else 0
    return total + (1 + audit.flip_draws if audit.flip_draws else 0)


def parameter_gradients(audit: SharpnessAudit) -> int:
    """Return the gradients and products that the parameters of one subject take."""
    own = audit.parameters
    if own is None:
        return 0
    total = (_losses(audit) + (1 if own.training_loss else 0)) * (1 + 2 + own.steps + own.probes)
    total += _losses(audit) * (own.curvature_probes + 2 * own.ascent_steps)
    return total + (own.density.probes * own.density.steps if own.density else 0)


def _losses(audit: SharpnessAudit) -> int:
    """Return how many audited losses are measured: of standardised margins, and of the margins as they are."""
    return 2 if audit.raw_margins else 1


def noisy_lists(audit: SharpnessAudit) -> int:
    """Return the representations under noise of one subject in one world, each followed by a ranking."""
    return 2 * audit.noise_pairs * len(audit.sigma)
