"""Names and settings of the strategies; importable without torch."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field


class StrategySteps(NamedTuple):
    """Which of the two moves a strategy makes beside the plain descent.

    Attributes:
        probe: the descent gradient is taken at θ + ρ g/(‖g‖+δ) (sharpness-aware).
        mirror: every beta-th step is followed by a half-step with the gradient's sign turned.
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


class StrategyConfig(BaseModel):
    """Settings of a training strategy.

    With `sgbd` the probe is made on mirrored steps only, with `sam` on every step. `mirror` and `sgbd` read
    `alpha1`, `alpha2`, `beta` and `counter`; `sam` and `sgbd` read `rho`,
    `delta` and `probe_features`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
    def moves(self) -> StrategySteps:
        """Which moves the strategy makes, those that a zero `rho` or `alpha2` leaves out not counted."""
        moves = STRATEGIES[self.name]
        return StrategySteps(probe=moves.probe and self.rho > 0, mirror=moves.mirror and self.alpha2 > 0)

    @property
    def passes_per_step(self) -> float:
        """Forward and backward passes per step, mean over `beta` steps: the cost relative to `vanilla`."""
        special = 1 + self.moves.probe + self.moves.mirror
        return 1 + (special - 1) / (self.beta if STRATEGIES[self.name].mirror else 1)

    @property
    def effective(self) -> tuple[object, ...]:
        """What decides over the updates; two configurations with equal values train equal parameters.

        Settings that a zero `rho` or `alpha2` makes irrelevant are left out, and so is the strategy's name.
        """
        moves = self.moves
        factor = self.alpha1 if STRATEGIES[self.name].mirror else 1.0
        ascent = (self.rho, self.delta, self.probe_features) if moves.probe else None
        mirrored = (self.alpha2, self.reading) if moves.mirror else None
        special = moves.probe or moves.mirror or factor != 1.0
        period = self.beta if STRATEGIES[self.name].mirror and special else 1
        return (ascent, mirrored, factor, period, self.counter if period > 1 else None, self.reading == "sgd")
