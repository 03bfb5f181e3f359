"""Sharpness of the parameters: the worst step within a radius (SAM, ASAM) and the average one, scaled row by row."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from robustrec.curvature.loss import LossFunction
from robustrec.curvature.operators import Operator
from robustrec.curvature.products import parameter_gradient
from robustrec.curvature.spaces import Space
from robustrec.curvature.sums import inner
from robustrec.curvature.traces import Estimate, estimate

Named = dict[str, Tensor]


def worst_case(loss: LossFunction, *, radius: float, steps: int = 1, adaptive: bool = False) -> tuple[float, ...]:
    """Return the largest increase of the loss found within a radius after each step of ascent.

    Every step goes to the boundary along the gradient found at the step before, which for one step is what the
    strategies take: ε = ρ g/‖g‖ (Foret et al., arXiv 2010.01412), or adaptively ε = ρ θ²g/‖θg‖, the steepest of length
    ρ where every entry counts relative to its own size (Kwon et al., arXiv 2102.11600). What is found is a lower bound
    of the maximum.

    Args:
        loss: audited.
        radius: ρ.
        steps: of ascent; each costs a gradient, and the last a forward pass.
        adaptive: scale by |θ|.
    """
    start = loss.parameters
    sizes = {name: each.abs() for name, each in start.items()} if adaptive else None
    base, gradient = parameter_gradient(loss)
    best, found = 0.0, []
    for step in range(steps):
        moved = _plus(start, _steepest(gradient, sizes, radius))
        if step + 1 < steps:
            value, gradient = parameter_gradient(loss, moved)
        else:
            value = float(_value(loss, moved))
        best = max(best, value - base)
        found.append(best)
    return tuple(found)


def average_case(
    loss: LossFunction,
    scales: Mapping[str, Tensor],
    space: Space,
    *,
    radius: float,
    pairs: int,
    generator: torch.Generator,
) -> Estimate:
    """Return E[L(θ + ρ s⊙z)] - L(θ), z normal, from pairs of opposite draws (Andriushchenko et al., arXiv 2302.07011).

    Args:
        loss: audited.
        scales: s, see `spaces.latent_scales`.
        space: of the parameters.
        radius: ρ.
        pairs: of draws; each costs two forward passes.
        generator: of the draws, on the CPU or the device of the space.
    """
    start = loss.parameters
    base = _value(loss, start)
    found = []
    for _ in range(pairs):
        step = _scaled(space.unpack(space.normal(generator)), scales, radius)
        up, down = _value(loss, _plus(start, step)), _value(loss, _plus(start, step, -1.0))
        found.append((up + down) / 2 - base)
    return estimate(torch.stack(found).tolist())


def average_curvature(
    operator: Operator,
    scales: Mapping[str, Tensor],
    *,
    radius: float,
    probes: int,
    generator: torch.Generator,
) -> Estimate:
    """Return ½ρ² E[(s⊙z)ᵀ H (s⊙z)], z normal: what `average_case` is to second order.

    With the same generator it has the same draws, so that the two differ by orders above the third alone.
    """
    space, found = operator.space, []
    for _ in range(probes):
        step = space.pack(_scaled(space.unpack(space.normal(generator)), scales, radius).values())
        found.append(inner(step, operator(step)) / 2)
    return estimate(torch.stack(found).tolist())


def _steepest(gradient: Named, sizes: Named | None, radius: float) -> Named:
    weighed = gradient if sizes is None else {name: sizes[name] * each for name, each in gradient.items()}
    length = torch.stack([each.double().square().sum() for each in weighed.values()]).sum().sqrt()
    if float(length) == 0.0:
        return {name: torch.zeros_like(each) for name, each in gradient.items()}
    factor = radius / float(length)
    return {name: factor * (each if sizes is None else sizes[name] * each) for name, each in weighed.items()}


def _scaled(draws: Named, scales: Mapping[str, Tensor], radius: float) -> Named:
    return {name: radius * scales[name] * draw for name, draw in draws.items()}


def _plus(start: Mapping[str, Tensor], step: Named, sign: float = 1.0) -> Named:
    return {name: each + sign * step[name] for name, each in start.items()}


def _value(loss: LossFunction, parameters: Mapping[str, Tensor]) -> Tensor:
    """Return the loss, a float64 scalar that no host has waited for."""
    with torch.no_grad():
        return loss.value(parameters=parameters).double()
