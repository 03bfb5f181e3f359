"""Traces by Hutchinson's estimator with standard errors, and the spectral density by Lanczos quadrature."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr

from robustrec.curvature.lanczos import tridiagonal
from robustrec.curvature.operators import Operator
from robustrec.curvature.products import finite

WHOLE = "all"
"""The block of everything."""


class Estimate(NamedTuple):
    """A mean over independent draws with its standard error; 0 draws where nothing is random, NaN error for one."""

    value: float
    error: float
    draws: int

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate times a factor."""
        return Estimate(self.value * factor, self.error * abs(factor), self.draws)


def estimate(values: Sequence[float] | NDArray[np.float64]) -> Estimate:
    """Return the mean of independent values with its standard error."""
    table = np.asarray(values, dtype=np.float64)
    error = float(table.std(ddof=1) / math.sqrt(len(table))) if len(table) > 1 else math.nan
    return Estimate(float(table.mean()), error, len(table))


def traces(
    operator: Operator,
    blocks: Mapping[str, Sequence[str]],
    *,
    probes: int,
    generator: torch.Generator,
) -> dict[str, Estimate]:
    """Return the trace of the whole Hessian under "all", and of the diagonal block of each group of tensors.

    Hutchinson, Commun. Stat. 19 (1990): E[zᵀHz] = tr H for z of random signs; restricted to a block's entries of z and
    Hz it is that block's trace. All blocks share the probes. Every probe is taken: there is no early stopping.

    Args:
        operator: H.
        blocks: name -> names of its tensors.
        probes: how many.
        generator: of the probes, on the CPU or the device of the space.

    Raises:
        RobustrecError: a product is not finite.
    """
    space, sums = operator.space, []
    names = list(space.shapes)
    for _ in range(probes):
        signs = space.signs(generator)
        images = space.unpack(signs * operator(signs))
        sums.append(torch.stack([image.sum(dtype=torch.float64) for image in images.values()]))
    # Read once, so that a device is never waited for in between.
    table = finite(torch.stack(sums).cpu(), "a trace of the Hessian").numpy()
    found = {WHOLE: estimate(table.sum(axis=1))}
    for block, members in blocks.items():
        found[block] = estimate(table[:, [names.index(each) for each in members]].sum(axis=1))
    return found


class SpectralDensity(NamedTuple):
    """The spectrum of a Hessian as a weighted set of points.

    Attributes:
        nodes: float64 [probes, m], padded with zeros of no weight.
        weights: the same shape; each row sums to 1.
    """

    nodes: NDArray[np.float64]
    weights: NDArray[np.float64]

    def mean(self) -> Estimate:
        """Return the mean eigenvalue, which is the trace over N."""
        return estimate((self.nodes * self.weights).sum(axis=1))

    def on_grid(self, points: int = 121, width: float = 0.01) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return points and the density there, smoothed by a normal kernel; it integrates to 1.

        Args:
            points: of the grid.
            width: standard deviation of the kernel, as a share of the spectrum's length.
        """
        inside = self.nodes[self.weights > 0]
        low, high = float(inside.min()), float(inside.max())
        sigma = max(width * (high - low), 1e-12 * max(1.0, abs(low), abs(high)))
        grid = np.linspace(low - 4 * sigma, high + 4 * sigma, points)
        # The kernel's mass in each cell rather than its height there: no node falls between two points.
        edges = np.concatenate([[-np.inf], (grid[1:] + grid[:-1]) / 2, [np.inf]])
        reached = ndtr((edges[:, None] - self.nodes.reshape(1, -1)) / sigma)
        mass = np.diff(reached, axis=0) @ self.weights.reshape(-1) / len(self.nodes)
        return grid, mass / _cells(grid)


def density(
    operator: Operator,
    *,
    probes: int,
    steps: int,
    generator: torch.Generator,
    memory: float = math.inf,
) -> SpectralDensity:
    """Return the spectral density by stochastic Lanczos quadrature (Ghorbani et al., arXiv 1901.10159).

    Args:
        operator: H.
        probes: start vectors of random signs.
        steps: Lanczos steps from each.
        generator: of the probes, on the CPU or the device of the space.
        memory: bytes that vectors may take.

    Raises:
        RobustrecError: a product is not finite.
    """
    steps = min(steps, operator.space.size)
    nodes, weights = np.zeros((probes, steps)), np.zeros((probes, steps))
    for probe in range(probes):
        matrix = tridiagonal(operator, operator.space.signs(generator), steps, generator, memory=memory)
        values, rotation = np.linalg.eigh(matrix)
        nodes[probe, : len(values)] = values
        weights[probe, : len(values)] = rotation[0] ** 2
    return SpectralDensity(nodes, weights)


def _cells(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the width of each point's cell as the trapezoid rule has it."""
    steps = np.diff(grid, prepend=grid[0], append=grid[-1])
    return np.asarray((steps[1:] + steps[:-1]) / 2, dtype=np.float64)
