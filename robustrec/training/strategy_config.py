"""Names and settings of the strategies; importable without torch."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from robustrec.subject import Record


class StrategySteps(NamedTuple):
    """Which additional steps a strategy takes besides gradient descent.

    Attributes:
        probe: the descent gradient is taken at θ + ρ g/(‖g‖+δ) (sharpness-aware).
        mirror: every beta-th step is followed by a half-step with the opposite sign of the gradient.
    """

    probe: bool
    mirror: bool


STRATEGIES: dict[str, StrategySteps] = {
    "vanilla": StrategySteps(probe=False, mirror=False),
    "sam": StrategySteps(probe=True, mirror=False),
    "mirror": StrategySteps(probe=False, mirror=True),
    "sgbd": StrategySteps(probe=True, mirror=True),
}
STRATEGY_NAMES = tuple(STRATEGIES)


class StrategyConfig(Record):
    """Settings of a training strategy.

    `sgbd` takes the SAM ascent step on mirrored steps only, `sam` on every step. `mirror` and `sgbd` use `alpha1`,
    `alpha2`, `beta` and `counter`; `sam` and `sgbd` use `rho`, `delta` and `probe_features`.
    """

    name: Literal["vanilla", "sam", "mirror", "sgbd"] = Field("vanilla", description="strategy")
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
        description="whether the SAM ascent step also moves fine-tuned feature tables (BM3, FREEDOM, LATTICE, MGCN)",
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

    @property
    def active_steps(self) -> StrategySteps:
        """The additional steps that these settings take; a zero `rho` or `alpha2` disables a step."""
        steps = STRATEGIES[self.name]
        return StrategySteps(probe=steps.probe and self.rho > 0, mirror=steps.mirror and self.alpha2 > 0)

    @property
    def evaluations_per_step(self) -> float:
        """Gradient evaluations per step, mean over `beta` steps: the cost relative to `vanilla`."""
        special = 1 + self.active_steps.probe + self.active_steps.mirror
        return 1 + (special - 1) / (self.beta if STRATEGIES[self.name].mirror else 1)

    @property
    def effective(self) -> tuple[object, ...]:
        """The settings that determine the updates; configurations with equal values train equal parameters.

        The strategy name and settings that a zero `rho` or `alpha2` makes irrelevant are not included.
        """
        active = self.active_steps
        factor = self.alpha1 if STRATEGIES[self.name].mirror else 1.0
        ascent = (self.rho, self.delta, self.probe_features) if active.probe else None
        mirrored = (self.alpha2, self.reading) if active.mirror else None
        special = active.probe or active.mirror or factor != 1.0
        period = self.beta if STRATEGIES[self.name].mirror and special else 1
        return (ascent, mirrored, factor, period, self.counter if period > 1 else None, self.reading == "sgd")
