"""Settings of the strategies; importable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from robustrec.errors import RobustrecError
from robustrec.subject import Record
from robustrec.training.strategy_names import (
    STRATEGIES,
    STRATEGY_NAMES,
    StrategyParts,
    StrategySteps,
    canonical_strategy,
    parse_strategy,
)

__all__ = [
    "OWN_SETTINGS",
    "STRATEGIES",
    "STRATEGY_NAMES",
    "StrategyConfig",
    "StrategyParts",
    "StrategySteps",
    "canonical_strategy",
    "parse_strategy",
]

OWN_SETTINGS: dict[str, tuple[str, ...]] = {
    "edit-aug": (
        "edit_share",
        "edit_pools",
        "edit_severities",
        "edit_only",
        "edit_without",
        "edit_seed",
        "consistency",
    ),
    "asam": ("asam_rho", "asam_eta"),
    "gsam": ("gsam_alpha",),
    "looksam": ("looksam_every", "looksam_alpha"),
    "noise-aug": ("noise_sigma", "redraw"),
    "modality-dropout": ("dropout_rate", "dropout_of", "redraw"),
    "amr": ("amr_epsilon", "amr_unit", "amr_weight", "amr_steps", "amr_direction"),
    "swa": ("swa_start",),
    "ema": ("ema_decay",),
}
"""Part of a strategy -> the settings that it alone reads, which are in the key of a run only if it has this part."""

_OWNERS: dict[str, frozenset[str]] = {
    key: frozenset(part for part, keys in OWN_SETTINGS.items() if key in keys)
    for keys in OWN_SETTINGS.values()
    for key in keys
}

STRENGTHS: dict[str, str] = {
    "edit-aug": "edit_share",
    "noise-aug": "noise_sigma",
    "modality-dropout": "dropout_rate",
    "amr": "amr_weight",
    "ema": "ema_decay",
}
"""Part of a strategy -> the setting of which 0 disables it."""


LATER: dict[str, float] = {"consistency": 0.0}
"""Settings newer than stored runs -> the value at which they change nothing and are in no key of a run."""


def owners_of(key: str) -> frozenset[str]:
    """Return the parts that alone read a setting; none if any strategy may read it."""
    return _OWNERS.get(key, frozenset())


class StrategyConfig(Record):
    """Settings of a training strategy.

    `sgbd` takes the SAM ascent step on mirrored steps only, `sam` on every step. `mirror` and `sgbd` use `alpha1`,
    `alpha2`, `beta` and `counter`; `sam`, `sgbd`, `gsam` and `looksam` use `rho`, and these and `asam` use `delta` and
    `probe_features`. Settings of a part that
    the strategy does not have are not in its JSON, so that new parts do not change the key of stored runs.
    """

    name: str = Field("vanilla", description="strategy: a step rule, treatments of the content and an average")
    alpha1: float = Field(
        1.0,
        gt=0,
        description="loss factor α1 of the first half of a mirrored step, multiplied with the learning rate",
    )
    alpha2: float = Field(
        0.1,
        ge=0,
        description="loss factor α2 of the second half with opposite sign; 0 disables the second half",
    )
    rho: float = Field(0.05, ge=0, description="radius ρ of the SAM ascent step, in parameter units; 0 disables it")
    delta: float = Field(1e-12, gt=0, description="constant δ added to the gradient norm in the SAM ascent step")
    probe_features: bool = Field(
        True,
        description="whether the SAM ascent step also moves fine-tuned feature tables (BM3, FREEDOM, LATTICE, MGCN,"
        " SMORE, PGL)",
    )
    beta: int = Field(
        3, ge=1, description="number of steps β between mirrored steps; the first step is a mirrored step"
    )
    reading: Literal["shared", "preconditioned", "sgd"] = Field(
        "shared",
        description=(
            "optimizer of the half-steps: shared = both half-steps use one optimizer state (as published);"
            " preconditioned = the second half-step is a gradient ascent with Adam's scaling, without updating its"
            " state; sgd = every step is plain gradient descent, without optimizer state"
        ),
    )
    counter: Literal["global", "per_epoch"] = Field(
        "global", description="whether the step counter continues over epochs or restarts in each epoch"
    )

    asam_rho: float = Field(0.5, ge=0, description="radius ρ of the ascent step of asam; 0 disables it")
    asam_eta: float = Field(0.01, ge=0, description="constant η added to the absolute value of each parameter in asam")
    gsam_alpha: float = Field(
        0.4, ge=0, description="weight α of the orthogonal gradient that gsam subtracts; 0 makes it sam"
    )
    looksam_every: int = Field(
        5, ge=1, description="number of steps of looksam between two ascent steps; 1 makes it sam"
    )
    looksam_alpha: float = Field(
        0.7, ge=0, description="length α of the stored direction in the other steps of looksam, in gradient norms"
    )
    redraw: Literal["epoch", "step"] = Field("epoch", description="how often noise-aug and modality-dropout draw again")
    noise_sigma: float = Field(
        0.1,
        ge=0,
        description="expected norm of the noise of noise-aug, relative to the norm of each row; 0 disables it",
    )
    dropout_rate: float = Field(
        0.2, ge=0, le=1, description="probability that modality-dropout replaces one modality of an item; 0 disables it"
    )
    dropout_of: Literal["rows", "modality"] = Field(
        "rows", description="whether modality-dropout draws each item, or one modality for all items"
    )
    amr_epsilon: float = Field(
        0.03, gt=0, description="length ε of the adversarial change of each feature row, in the unit of amr_unit"
    )
    amr_unit: Literal["norm", "spread", "absolute"] = Field(
        "norm",
        description="unit of amr_epsilon: the mean norm of the rows of a modality, their spread (root mean square"
        " distance from the mean row), or absolute",
    )
    amr_weight: float = Field(1.0, ge=0, description="weight λ of the loss on the changed features; 0 disables amr")
    amr_steps: int = Field(
        1, ge=1, le=100, description="gradient steps to the adversarial change: 1 is FGSM, more are PGD"
    )
    amr_direction: Literal["gradient", "random"] = Field(
        "gradient", description="direction of the change; random is a control of the same length"
    )
    swa_start: int = Field(
        10,
        ge=1,
        le=10**9,
        description="first epoch whose parameters enter the mean of swa; it is judged from the next on",
    )
    ema_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="decay d of ema; step t (from 0) has min(d, (1 + t)/(10 + t)), which forgets the first steps;"
        " 0 disables it",
    )

    edit_share: float = Field(
        0.5, ge=0, le=1, description="edit-aug: share of the items with edited content in an epoch; 0 disables it"
    )
    edit_pools: int = Field(
        2,
        ge=1,
        le=1000,
        description="edit-aug: number of edited versions of the catalog, of which an epoch takes one for each edited"
        " item; each version costs one encoding of the catalog",
    )
    edit_severities: Annotated[tuple[Annotated[int, Field(ge=1, le=5)], ...], Field(min_length=1)] = Field(
        (3,), description="edit-aug: severities of the edits, of which each edit gets one"
    )
    edit_only: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ("all",),
        description='edit-aug: names of edits, "package.module:function", or "all" for the built-in ones without upload'
        " faults; an item gets one edit of its text and one of its picture",
    )
    edit_without: tuple[str, ...] = Field(
        (), description="edit-aug: edits that training leaves out, as names or patterns such as promo_*"
    )
    edit_seed: int = Field(
        0, ge=0, le=2**63 - 1, description="edit-aug: seed of the edits; the same for all training seeds"
    )
    consistency: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="edit-aug: weight λ of the mean squared difference between the margins of a batch's pairs on clean"
        " and on edited content; 0 disables it",
    )

    @field_validator("edit_only", "edit_without", mode="before")
    @classmethod
    def _one_name(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("edit_severities", mode="before")
    @classmethod
    def _one_severity(cls, value: object) -> object:
        return (value,) if isinstance(value, int) else value

    @field_validator("name")
    @classmethod
    def _canonical(cls, name: str) -> str:
        try:
            return parse_strategy(name).name
        except RobustrecError as error:
            raise ValueError(f"{error.what}; {error.fix}") from error

    @model_serializer(mode="wrap")
    def _without_other_parts(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        own = self.own(handler(self))
        return {key: value for key, value in own.items() if self._is_set(key)}

    def own(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings without those that only parts read which this strategy does not have."""
        names = self.parts.names
        return {key: value for key, value in values.items() if not owners_of(key) or owners_of(key) & names}

    @property
    def parts(self) -> StrategyParts:
        """The step rule, the treatments and the average."""
        return parse_strategy(self.name)

    @property
    def steps(self) -> StrategySteps:
        """The additional steps of the step rule."""
        return STRATEGIES[self.parts.step]

    @property
    def active_steps(self) -> StrategySteps:
        """The additional steps that these settings take; a zero `rho` or `alpha2` disables a step."""
        steps = self.steps
        radius = self.asam_rho if self.parts.step == "asam" else self.rho
        return StrategySteps(probe=steps.probe and radius > 0, mirror=steps.mirror and self.alpha2 > 0)

    def check_epochs(self, most: int) -> None:
        """Check that a training is long enough for its average.

        Args:
            most: the maximum number of epochs.

        Raises:
            RobustrecError: it ends before there is a mean of two epochs.
        """
        if self.parts.averaging == "swa" and self.swa_start >= most:
            raise RobustrecError(
                f"swa starts in epoch {self.swa_start}, but training ends after {most}, so that there is no mean",
                where="strategy.swa_start",
                fix=f"--set strategy.swa_start={most // 2 or 1}, or train for more epochs",
            )

    @property
    def idle_parts(self) -> tuple[str, ...]:
        """Treatments and average that these settings disable."""
        return tuple(part for part, key in STRENGTHS.items() if part in self.parts.names and not getattr(self, key))

    @property
    def active_treatments(self) -> tuple[str, ...]:
        """The treatments of the content that these settings do not disable."""
        return tuple(each for each in self.parts.treatments if each not in self.idle_parts)

    @property
    def period(self) -> int:
        """Number of steps between two steps with an additional step; the first step has one."""
        if self.parts.step == "looksam":
            return self.looksam_every
        return self.beta if self.steps.mirror else 1

    @property
    def evaluations_per_loss(self) -> int:
        """Gradient evaluations of one loss with its gradient, including those of treatments.

        `amr` takes a gradient in the features for each of its steps (none for a random direction), and one more loss;
        `consistency` takes the scores of two views.
        """
        count = 1
        if "amr" in self.active_treatments:
            count += 1 + (self.amr_steps if self.amr_direction == "gradient" else 0)
        if "edit-aug" in self.active_treatments and self.consistency:
            count += 2
        return count

    @property
    def evaluations_per_step(self) -> float:
        """Gradient evaluations per step, mean over `period` steps: the cost relative to `vanilla`."""
        additional = self.active_steps.probe + self.active_steps.mirror
        return (1 + additional / self.period) * self.evaluations_per_loss

    def gradient_evaluations(self, epochs: int, steps_per_epoch: int) -> int:
        """Return the gradient evaluations of some epochs: the first step, and every `period`-th after it, takes more.

        A counter that restarts in each epoch makes these steps more frequent than `evaluations_per_step` says.
        """
        restarts = self.counter == "per_epoch"
        steps = epochs * steps_per_epoch
        due = epochs * -(-steps_per_epoch // self.period) if restarts else -(-steps // self.period)
        return (steps + (self.active_steps.probe + self.active_steps.mirror) * due) * self.evaluations_per_loss

    @property
    def effective(self) -> tuple[object, ...]:
        """The settings that determine the updates; configurations with equal values train equal parameters.

        The strategy name and settings that a zero `rho` or `alpha2` makes irrelevant are not included.
        """
        active = self.active_steps
        factor = self.alpha1 if self.steps.mirror else 1.0
        ascent = (self.rho, self.delta, self.probe_features, *self._variant) if active.probe else None
        mirrored = (self.alpha2, self.reading) if active.mirror else None
        special = active.probe or active.mirror or factor != 1.0
        period = self.period if special else 1
        counter = self.counter if period > 1 else None
        return (ascent, mirrored, factor, period, counter, self.reading == "sgd", self._effective_parts)

    @property
    def _variant(self) -> tuple[object, ...]:
        """What an ascent step has beyond that of sam; empty if nothing."""
        step = self.parts.step
        if (step == "gsam" and self.gsam_alpha == 0) or (step == "looksam" and self.looksam_every == 1):
            return ()
        return tuple(getattr(self, key) for key in OWN_SETTINGS.get(step, ()))

    @property
    def _effective_parts(self) -> tuple[object, ...]:
        """Treatments and average that are active, each with its settings."""
        names = (*self.active_treatments, *([self.parts.averaging] if self.parts.averaging else []))
        return tuple(
            (name, *(getattr(self, key) for key in OWN_SETTINGS.get(name, ()) if self._is_set(key)))
            for name in names
            if name not in self.idle_parts
        )

    def _is_set(self, key: str) -> bool:
        return key not in LATER or getattr(self, key) != LATER[key]
