"""Extreme eigenvalues by Lanczos, each with its residual ‖Hv - λv‖.

Golub & Van Loan, Matrix Computations, chapter 10. The vectors of all steps are kept while they fit; else the best of
them are, and the steps go on from there (`krylov`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.curvature.krylov import CLOSED, INTERVAL, Krylov, krylov
from robustrec.curvature.operators import Operator
from robustrec.curvature.products import finite
from robustrec.curvature.sums import inner, norm

FEWEST = 12
"""Vectors that are kept however little memory there is."""


class Eigenvalue(NamedTuple):
    """λ, a bound of its residual ‖Hv - λv‖ (an eigenvalue lies that close), and v [N] of length 1.

    H is what the products are, at their precision; what the recurrence and its rounding left out is in the bound.
    """

    value: float
    residual: float
    vector: Tensor


class Extremes(NamedTuple):
    """The ends of a spectrum.

    Attributes:
        largest: algebraically, descending.
        smallest: algebraically.
        products: Hessian products taken.
        restarts: how often only the best vectors were kept.
        overlaps: inner products that reorthogonalisation took.
    """

    largest: tuple[Eigenvalue, ...]
    smallest: Eigenvalue
    products: int
    restarts: int
    overlaps: int

    @property
    def by_magnitude(self) -> Eigenvalue:
        """The eigenvalue farthest from 0."""
        return max(self.largest[0], self.smallest, key=lambda each: abs(each.value))


def extremes(
    operator: Operator,
    generator: torch.Generator,
    *,
    count: int = 5,
    steps: int = 40,
    memory: float = math.inf,
    interval: int | None = None,
) -> Extremes:
    """Return the largest eigenvalues and the smallest.

    From one start, an eigenvalue that occurs several times is found once until the span is closed.

    Args:
        operator: H.
        generator: of the start, on the CPU or the device of the space.
        count: how many of the largest.
        steps: products taken.
        memory: bytes that vectors may take.
        interval: see `krylov`.

    Raises:
        RobustrecError: a product is not finite.
    """
    space = operator.space
    start = space.normal(generator)
    fits = max(FEWEST, count + 7, int(min(memory / max(1, space.size * start.element_size()), steps)))
    found = krylov(operator, start, steps, generator, capacity=fits, keep=count + 2, interval=interval)
    values, rotation = np.linalg.eigh(found.matrix)
    order = [*range(len(values) - 1, max(-1, len(values) - 1 - count), -1), 0]
    pairs = _pairs(found, values[order], np.ascontiguousarray(rotation[:, order].T))
    return Extremes(tuple(pairs[:-1]), pairs[-1], found.products, found.restarts, found.overlaps)


def tridiagonal(
    operator: Operator, start: Tensor, steps: int, generator: torch.Generator, *, memory: float = math.inf
) -> NDArray[np.float64]:
    """Return H on a Krylov sequence [m, m]: with all vectors kept where they fit, else by the recurrence alone.

    Without the vectors, eigenvalues may be found twice; as nodes and weights of an integral they stay right.
    """
    steps = min(steps, start.numel())
    if steps * start.numel() * start.element_size() <= memory:
        return krylov(operator, start, steps, generator, capacity=steps).matrix
    return _without_vectors(operator, start / norm(start), steps)


def _without_vectors(operator: Operator, current: Tensor, steps: int) -> NDArray[np.float64]:
    """Return what the recurrence alone gives, up to where the span is closed; the host looks as seldom as `krylov`."""
    interval = 1 if current.device.type == "cpu" else INTERVAL
    matrix, before, beta = np.zeros((steps + 1, steps + 1)), torch.zeros_like(current), current.new_zeros(())
    taken: list[Tensor] = []
    for step in range(steps):
        image = operator(current)
        alpha = inner(current, image)
        image = torch.addcmul(image, current, alpha.to(image.dtype), value=-1).addcmul_(before, beta, value=-1)
        length = norm(image)
        before, current, beta = current, image / length, length.to(image.dtype)
        taken.append(torch.stack([alpha, length]))
        if len(taken) < interval and step + 1 < steps:
            continue
        for place, pair in enumerate(torch.stack(taken).cpu(), start=step + 1 - len(taken)):
            matrix[place, place], out = finite(pair, "a product with the Hessian").tolist()
            if out <= CLOSED[image.dtype] * float(np.abs(matrix).max()):
                return matrix[: place + 1, : place + 1]
            matrix[place, place + 1] = matrix[place + 1, place] = out
        taken.clear()
    return matrix[:steps, :steps]


def _pairs(found: Krylov, values: NDArray[np.float64], weights: NDArray[np.float64]) -> list[Eigenvalue]:
    """Return the eigenvalues at some weights of the basis [k, m]; the basis is read once."""
    bounds = np.abs(found.out * weights[:, -1]) + found.left_out(weights)
    vectors = torch.from_numpy(weights).to(found.basis) @ found.basis
    lengths = torch.stack([norm(each) for each in vectors])
    vectors /= lengths.to(vectors.dtype)[:, None]
    return [
        Eigenvalue(float(value), float(bound / length), vector)
        for value, bound, length, vector in zip(values, bounds, lengths.tolist(), vectors, strict=True)
    ]
