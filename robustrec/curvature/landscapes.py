"""The loss along one or two directions: random and row-normalised, an eigenvector, or a merchant's edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from robustrec.curvature.loss import LossFunction
from robustrec.curvature.spaces import Space, length_of


class Direction(NamedTuple):
    """Where to walk: steps of 1 in parameters, features or both; what is not named stays.

    Attributes:
        parameters: name -> shape of the parameter.
        tables: modality -> [I, D_m].
    """

    parameters: Mapping[str, Tensor] = {}
    tables: Mapping[str, Tensor] = {}


def random_direction(space: Space, scales: Mapping[str, Tensor], generator: torch.Generator) -> Direction:
    """Return a random direction in which every latent vector is as long as the parameters' own.

    Li et al., arXiv 1712.09913, with latent vectors (see `spaces.latent_scales`) for filters.
    """
    drawn = space.unpack(space.normal(generator))
    return Direction({name: _normalised(drawn[name], scale) for name, scale in scales.items()})


def eigenvector_direction(space: Space, vector: Tensor, parameters: Mapping[str, Tensor]) -> Direction:
    """Return an eigenvector [N] scaled to the length of all parameters together."""
    length = torch.stack([each.double().square().sum() for each in parameters.values()]).sum().sqrt()
    return Direction(space.unpack(vector / length_of(vector) * float(length)))


def line(loss: LossFunction, direction: Direction, steps: Sequence[float]) -> tuple[float, ...]:
    """Return the loss at each multiple of a direction."""
    values = [_at(loss, [(step, direction)]) for step in steps]
    return tuple(torch.stack(values).tolist())


def plane(
    loss: LossFunction, first: Direction, second: Direction, across: Sequence[float], up: Sequence[float]
) -> tuple[tuple[float, ...], ...]:
    """Return the loss at a·first + b·second: row j holds b = up[j], column i holds a = across[i]."""
    rows = [torch.stack([_at(loss, [(a, first), (b, second)]) for a in across]) for b in up]
    return tuple(tuple(row) for row in torch.stack(rows).tolist())


def _normalised(drawn: Tensor, scale: Tensor) -> Tensor:
    """Return a draw whose latent vectors have the root mean squares `scale`."""
    axes = tuple(axis for axis in range(drawn.dim()) if scale.shape[axis] == 1 and drawn.shape[axis] > 1)
    if not axes:
        return drawn.sign() * scale
    own = drawn.square().mean(dim=axes, keepdim=True).sqrt()
    return drawn * (scale / own.clamp_min(torch.finfo(drawn.dtype).tiny))


def _at(loss: LossFunction, walks: Sequence[tuple[float, Direction]]) -> Tensor:
    """Return the loss, a scalar that no host has waited for."""
    parameters, tables = dict(loss.parameters), dict(loss.tables)
    for step, direction in walks:
        for name, each in direction.parameters.items():
            parameters[name] = parameters[name] + step * each
        for name, each in direction.tables.items():
            tables[name] = tables[name] + step * each
    with torch.no_grad():
        return loss.value(parameters, tables)
