"""Extreme eigenvalues by Lanczos with full reorthogonalisation, each with its residual ‖Hv - λv‖.

Golub & Van Loan, Matrix Computations, chapter 10; restarts as in Wu & Simon, SIAM J. Matrix Anal. Appl. 22 (2000).
The vectors of all steps are kept while they fit; else the best of them are, and the steps go on from there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.curvature.products import Multiply, finite
from robustrec.curvature.spaces import Space, length_of

FEWEST = 12
"""Vectors that are kept however little memory there is."""

BLOCK = 2**15
"""Entries that are summed in float32 before their sum goes into one in float64."""

COLUMNS = 2**18
"""Columns of the basis that are turned at once when it is restarted."""

# Below this share of the largest number seen, a next direction is rounding: what was spanned is closed under H.
_CLOSED = {torch.float32: 1e-6, torch.float64: 1e-13}


class Eigenvalue(NamedTuple):
    """λ, its residual ‖Hv - λv‖ (an eigenvalue lies that close), and v [N] of length 1."""

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
    """

    largest: tuple[Eigenvalue, ...]
    smallest: Eigenvalue
    products: int
    restarts: int

    @property
    def by_magnitude(self) -> Eigenvalue:
        """The eigenvalue farthest from 0."""
        return max(self.largest[0], self.smallest, key=lambda each: abs(each.value))


class Krylov(NamedTuple):
    """H on the span of some orthonormal vectors.

    Attributes:
        matrix: float64 [m, m], H in their basis.
        out: length of what the last product leads out of the span by.
        basis: [m, N]; empty where they were not kept.
        restarts: how often the span was cut.
    """

    matrix: NDArray[np.float64]
    out: float
    basis: Tensor
    restarts: int


def krylov(
    multiply: Multiply, start: Tensor, steps: int, generator: torch.Generator, *, capacity: int, keep: int = 0
) -> Krylov:
    """Take Lanczos steps from a start vector [N], every one orthogonalised twice against all before.

    Where the span closes early, as with an eigenvalue that occurs several times, a fresh direction goes on.

    Args:
        multiply: the symmetric product.
        start: any vector but 0.
        steps: products to take; never more than N.
        generator: of fresh directions, on the CPU.
        capacity: vectors that fit; at fewer than `steps` the span is cut to the best when it is full.
        keep: how many of the best at the upper end survive a cut, with half as many of the lower end.

    Raises:
        RobustrecError: a product is not finite.
    """
    steps = min(steps, start.numel())
    capacity = min(capacity, steps)
    basis = start.new_zeros(capacity, start.numel())
    matrix = np.zeros((capacity, capacity))
    current, held, restarts, scale, out = start / length_of(start), 0, 0, 0.0, 0.0
    for step in range(steps):
        if held == capacity:
            held = _cut(basis, matrix, keep)
            restarts += 1
        basis[held] = current
        held += 1
        image = finite(multiply(current), "a product with the Hessian")
        middle = float(torch.dot(current.double(), image.double()))
        image, row = _orthogonal(image, basis[:held])
        matrix[held - 1, :held] = matrix[:held, held - 1] = row
        matrix[held - 1, held - 1] = middle
        out = length_of(image)
        scale = max(scale, float(np.abs(row).max()), out)
        if out <= _CLOSED[start.dtype] * scale:
            out = 0.0
            image, _ = _orthogonal(torch.randn(start.numel(), generator=generator).to(start), basis[:held])
        if step + 1 < steps:
            current = image / length_of(image)
    return Krylov(matrix[:held, :held], out, basis[:held], restarts)


def tridiagonal(
    multiply: Multiply, start: Tensor, steps: int, generator: torch.Generator, *, memory: float = math.inf
) -> NDArray[np.float64]:
    """Return H on a Krylov sequence [m, m]: with all vectors kept where they fit, else by the recurrence alone.

    Without the vectors, eigenvalues may be found twice; as nodes and weights of an integral they stay right.
    """
    steps = min(steps, start.numel())
    if steps * start.numel() * start.element_size() <= memory:
        return krylov(multiply, start, steps, generator, capacity=steps).matrix
    matrix = np.zeros((steps, steps))
    before, current, beside = torch.zeros_like(start), start / length_of(start), 0.0
    for step in range(steps):
        image = finite(multiply(current), "a product with the Hessian") - beside * before
        matrix[step, step] = float(torch.dot(current.double(), image.double()))
        image = image - matrix[step, step] * current
        beside = length_of(image)
        if step + 1 == steps or beside <= _CLOSED[start.dtype] * float(np.abs(matrix).max()):
            return matrix[: step + 1, : step + 1]
        matrix[step, step + 1] = matrix[step + 1, step] = beside
        before, current = current, image / beside
    return matrix


def extremes(
    multiply: Multiply,
    space: Space,
    generator: torch.Generator,
    *,
    count: int = 5,
    steps: int = 40,
    memory: float = math.inf,
) -> Extremes:
    """Return the largest eigenvalues and the smallest.

    Args:
        multiply: v -> H v.
        space: of v.
        generator: of the start, on the CPU.
        count: how many of the largest.
        steps: products taken.
        memory: bytes that vectors may take.

    Raises:
        RobustrecError: a product is not finite.
    """
    start = space.normal(generator)
    fits = max(FEWEST, count + 7, int(min(memory / max(1, space.size * start.element_size()), steps)))
    found = krylov(multiply, start, steps, generator, capacity=fits, keep=count + 2)
    values, rotation = np.linalg.eigh(found.matrix)
    order = [*range(len(values) - 1, max(-1, len(values) - 1 - count), -1), 0]
    pairs = [
        _pair(float(values[place]), abs(found.out * rotation[-1, place]), rotation[:, place], found.basis)
        for place in order
    ]
    return Extremes(tuple(pairs[:-1]), pairs[-1], min(steps, space.size), found.restarts)


def _orthogonal(image: Tensor, span: Tensor) -> tuple[Tensor, NDArray[np.float64]]:
    """Return what of a vector lies outside a span, and its coordinates inside."""
    first = _coordinates(span, image)
    image = image - span.T @ first.to(span.dtype)
    second = _coordinates(span, image)
    return image - span.T @ second.to(span.dtype), (first + second).cpu().numpy()


def _coordinates(span: Tensor, image: Tensor) -> Tensor:
    """Return span @ image, float64 [m]: blocks in the vectors' own precision, their sum in float64.

    One float32 sum over millions of entries is off by 1e-4 of what it should be, and so would be the eigenvalues.
    """
    if span.dtype == torch.float64:
        return span @ image
    found = torch.zeros(len(span), dtype=torch.float64, device=span.device)
    for rows, part in zip(span.split(BLOCK, dim=1), image.split(BLOCK), strict=True):  # type: ignore[no-untyped-call]
        found += rows @ part
    return found


def _cut(basis: Tensor, matrix: NDArray[np.float64], keep: int) -> int:
    """Turn a full basis to its best approximate eigenvectors, in place, and return how many stay."""
    values, rotation = np.linalg.eigh(matrix)
    upper = min(keep, len(values) - 3)
    chosen = [*range(len(values) - upper, len(values)), *range(min((keep + 1) // 2, len(values) - upper - 2))]
    turn = torch.from_numpy(np.ascontiguousarray(rotation[:, chosen].T)).to(basis)
    for first in range(0, basis.shape[1], COLUMNS):
        part = basis[:, first : first + COLUMNS]
        part[: len(chosen)] = turn @ part
    matrix[:] = 0.0
    matrix[range(len(chosen)), range(len(chosen))] = values[chosen]
    return len(chosen)


def _pair(value: float, residual: float, weights: NDArray[np.float64], basis: Tensor) -> Eigenvalue:
    vector = torch.from_numpy(np.ascontiguousarray(weights)).to(basis) @ basis
    return Eigenvalue(value, residual, vector / length_of(vector))
