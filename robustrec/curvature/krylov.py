"""Krylov sequences by a three-term recurrence that restores its orthogonality where it is about to be lost.

Lanczos' recurrence: Golub & Van Loan, Matrix Computations, section 10.1; partial reorthogonalisation: Simon, Math.
Comp. 42 (1984); thick restarts: Wu & Simon, SIAM J. Matrix Anal. Appl. 22 (2000).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.curvature.operators import Operator
from robustrec.curvature.products import finite
from robustrec.curvature.sums import coordinates, inner, norm

INTERVAL = 8
"""Steps on an accelerator between two looks of the host at its numbers, each of which makes the device wait."""

COLUMNS = 2**18
"""Columns of the basis that are turned at once when it is restarted."""

LIMITS = {torch.float32: 3e-4, torch.float64: 2e-12}
"""Vectors with an inner product above this are orthogonalised. Up to the root of the rounding unit the matrix stays
exact to rounding (Simon, theorem 4); float64 can afford less, so that residuals are exact too."""

ROUNDINGS = 4.0
"""Units of rounding that a step of the recurrence is taken to be off by, relative to its product."""

CLOSED = {torch.float32: 1e-6, torch.float64: 1e-13}
"""Below this share of the largest number seen, a next direction is rounding: what was spanned is closed under H."""


class Krylov(NamedTuple):
    """H on the span of some orthonormal vectors.

    Attributes:
        matrix: float64 [m, m], H in their basis.
        out: length of what the last product leads out of the span by.
        left_out: weights of the basis [k, m] of length 1 -> float64 [k], bounds of what of H is not in the matrix.
        basis: [m, N].
        restarts: how often the span was cut.
        products: Hessian products taken.
        overlaps: inner products of a new vector with an earlier one that reorthogonalisation took.
    """

    matrix: NDArray[np.float64]
    out: float
    left_out: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    basis: Tensor
    restarts: int
    products: int
    overlaps: int


def krylov(
    operator: Operator,
    start: Tensor,
    steps: int,
    generator: torch.Generator,
    *,
    capacity: int,
    keep: int = 0,
    interval: int | None = None,
) -> Krylov:
    """Take Lanczos steps from a start vector [N].

    On a CPU each new vector is orthogonalised against all before where an estimate or a measurement says that it must
    be (`_Monitor`). On an accelerator asking costs more than doing, so that each vector is, in one pass, and the host
    reads the numbers of several steps at once; the products of steps behind a closed span are lost then.

    Where the span closes early, as with an eigenvalue that occurs several times, a fresh direction goes on.

    Args:
        operator: H.
        start: any vector but 0.
        steps: products to take; never more than N.
        generator: of fresh directions.
        capacity: vectors that fit; at fewer than `steps` the span is cut to the best when it is full.
        keep: how many of the best at the upper end survive a cut, with half as many of the lower end.
        interval: steps between two looks of the host; above 1 every vector is orthogonalised.

    Raises:
        RobustrecError: a product is not finite.
    """
    steps = min(steps, start.numel())
    capacity = min(capacity, steps)
    interval = interval or (1 if start.device.type == "cpu" else INTERVAL)
    span = _Span(operator, start, capacity, _Monitor(start, capacity) if interval == 1 else None)
    products = restarts = 0
    while products < steps:
        if span.held == capacity:
            span.cut(keep)
            restarts += 1
        count = min(interval, capacity - span.held, steps - products)
        span.take(span.advance(count))
        products += count
        if span.out == 0.0 and products < steps:
            span.renew(generator)
            interval = 1  # what closed once does so again
    matrix, basis = span.matrix[: span.held, : span.held], span.basis[: span.held]
    return Krylov(matrix, span.out, span.left_out, basis, restarts, products, span.overlaps)


class _Span:
    """Orthonormal vectors with H on them, and the next vector.

    Attributes:
        basis: [capacity, N], of which the first `held` count.
        matrix: float64 [capacity, capacity], the same.
        held: vectors so far.
        out: length of the last product outside the span; 0 where it is closed.
        overlaps: inner products that reorthogonalisation took.
    """

    def __init__(self, operator: Operator, start: Tensor, capacity: int, monitor: _Monitor | None) -> None:
        # The row behind the last that is held has the next vector.
        self._rows = start.new_empty(capacity + 1, start.numel())
        self.basis = self._rows[:capacity]
        self.matrix = np.zeros((capacity, capacity))
        # What reorthogonalisation took from products without an entry in the matrix: by column, and of all in squares.
        self._dropped, self._total = np.zeros(capacity), 0.0
        self.held, self.out, self.overlaps = 0, 0.0, 0
        self._operator, self._monitor, self._scale = operator, monitor, 0.0
        torch.div(start, norm(start), out=self._rows[0])
        self._image = torch.empty_like(start)
        # What H times the next vector has along those held: β along the last, or all of them after a cut.
        self._row = np.zeros(0)
        self._beta: Tensor | None = None
        self._arrow: Tensor | None = None

    def advance(self, count: int) -> Tensor:
        """Take steps of the recurrence; return their α, β and what was dropped, float64 [count, 3] on their device.

        The host waits for nothing here.
        """
        taken = []
        for place in range(self.held, self.held + count):
            current = self._rows[place]
            image = self._operator(current)
            alpha = inner(current, image)
            # Not in place: a product may be the vector itself, or part of the operator.
            image = torch.addcmul(image, current, alpha.to(image.dtype), value=-1, out=self._image)
            if self._arrow is not None:
                image.addmv_(self.basis[:place].T, self._arrow, alpha=-1)
            elif self._beta is not None:
                image.addcmul_(self.basis[place - 1], self._beta, value=-1)
            beta, dropped, self._arrow = norm(image), alpha.new_zeros(()), None
            if self._monitor is None or self._monitor.due(self.matrix, self._row, current, image, alpha, beta):
                inside, beta = self._outside(image, beta, place + 1)
                alpha, dropped = alpha + inside[place], inside[:place].norm()
            self._beta = beta.to(image.dtype)
            torch.div(image, beta, out=self._rows[place + 1])
            taken.append(torch.stack([alpha, beta, dropped]))
        return torch.stack(taken)

    def take(self, steps: Tensor) -> None:
        """Read the numbers of some steps into the matrix, up to a step whose span is closed.

        Raises:
            RobustrecError: a product is not finite.
        """
        for step in steps.cpu():
            alpha, beta, dropped = finite(step, "a product with the Hessian").tolist()
            place = self.held
            self.matrix[place, :place] = self.matrix[:place, place] = self._row
            self.matrix[place, place], self._dropped[place] = alpha, dropped
            self._total = float(np.hypot(self._total, dropped))
            self._scale = max(self._scale, abs(alpha), beta, float(np.linalg.norm(self._row)))
            self.held += 1
            self.out = beta if beta > CLOSED[self.basis.dtype] * self._scale else 0.0
            self._row = np.zeros(self.held)
            self._row[-1] = self.out
            if self.out == 0.0:
                break

    def renew(self, generator: torch.Generator) -> None:
        """Go on from a fresh direction."""
        fresh = torch.randn(self.basis.shape[1], generator=generator, device=generator.device).to(self._image)
        for _ in range(2):
            _, length = self._outside(fresh, norm(fresh), self.held)
        torch.div(fresh, length, out=self._rows[self.held])
        self._beta = None

    def cut(self, keep: int) -> None:
        """Turn a full basis to its best approximate eigenvectors, in place, and keep those."""
        values, rotation = np.linalg.eigh(self.matrix)
        upper = min(keep, len(values) - 3)
        lower = min((keep + 1) // 2, len(values) - upper - 2)
        chosen = [*range(len(values) - upper, len(values)), *range(lower)]
        weights = np.ascontiguousarray(rotation[:, chosen].T)
        turn = torch.from_numpy(weights).to(self.basis)
        for first in range(0, self.basis.shape[1], COLUMNS):
            part = self.basis[:, first : first + COLUMNS]
            part[: len(chosen)] = turn @ part
        left = self.left_out(weights)
        self._rows[len(chosen)] = self._rows[self.held]
        self.held = len(chosen)
        self._dropped[: self.held], self._total = left, self._total + self._rounding()
        self.matrix[:] = 0.0
        self.matrix[range(self.held), range(self.held)] = values[chosen]
        self._row = self.out * weights[:, -1]
        self._arrow = torch.from_numpy(self._row).to(self.basis)
        if self._monitor is not None:
            self._monitor.restart(self.basis[: self.held])

    def left_out(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return bounds of what the matrix leaves out of H times combinations of the basis, float64 [k].

        What was dropped, by the smaller of the bounds of the triangle and of Cauchy and Schwarz, and rounding.

        Args:
            weights: of the basis, of length 1 [k, m].
        """
        return np.minimum(np.abs(weights) @ self._dropped[: self.held], self._total) + self._rounding()

    def _rounding(self) -> float:
        """Return what rounding, of products and of the recurrence, is taken to be."""
        return ROUNDINGS * float(torch.finfo(self.basis.dtype).eps) * self._scale

    def _outside(self, image: Tensor, length: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Take from a vector, in place, its part inside the span; return that part's coordinates and what is left.

        A second pass where the first took most of the vector, and with it the digits of what is left (Daniel et al.,
        Math. Comp. 30, 1976); on an accelerator, where nothing but rounding is inside, one.
        """
        inside = torch.zeros(count, dtype=torch.float64, device=image.device)
        for _ in range(2):
            before = length
            found = coordinates(self.basis[:count], image)
            image.addmv_(self.basis[:count].T, found.to(image.dtype), alpha=-1)
            self.overlaps += count
            inside, length = inside + found, norm(image)
            if self._monitor is None or 2 * float(length) >= float(before):
                break
        return inside, length


class _Monitor:
    """How far a new vector is from orthogonal to those before: by an estimate and by a measurement.

    The estimate is Simon's recurrence for the inner products, which follows from that of the vectors; it takes products
    to be exact but for rounding. The measurement, which needs no such assumption, is the inner product with one vector:
    the sum of all before with signs. Signs of the Rudin-Shapiro sequence, in which no regular pattern cancels.
    """

    def __init__(self, start: Tensor, capacity: int) -> None:
        self._rounding = float(torch.finfo(start.dtype).eps)
        self._limit = LIMITS[start.dtype]
        self._gram = np.eye(capacity + 1)
        self._sum = torch.zeros_like(start)
        self._again = False

    def due(
        self, matrix: NDArray[np.float64], row: NDArray[np.float64], current: Tensor, image: Tensor, *sizes: Tensor
    ) -> bool:
        """Return whether the next vector must be orthogonalised; it is taken to be then.

        Args:
            matrix: H on the vectors before the current one, in its first rows and columns.
            row: what H times the current one has along them [p].
            current: number p [N].
            image: what its product has outside the span, so far.
            sizes: α and the length of `image`.
        """
        p, (alpha, beta) = len(row), map(float, sizes)
        self._sum.add_(current, alpha=_sign(p))
        self._gram[p + 1, : p + 1] = self._gram[: p + 1, p + 1] = self._rounding
        if not 0.0 < beta < np.inf:
            return False
        gram, own = self._gram, self._gram[:p, p]
        scale = max(abs(alpha), beta, float(np.abs(row).max(initial=0.0)), float(np.abs(matrix).max(initial=0.0)))
        found = np.empty(p + 1)
        found[:p] = matrix[:p, :p] @ own + row - alpha * own - gram[:p, :p] @ row
        found[p] = 0.0
        found = (np.abs(found) + self._rounding * scale) * np.where(found < 0, -1.0, 1.0) / beta
        measured = abs(float(inner(self._sum, image))) / beta
        lost = max(float(np.abs(found).max()), measured) > self._limit
        due = lost or self._again
        self._again = lost and not self._again
        if not due:
            gram[p + 1, : p + 1] = gram[: p + 1, p + 1] = found
        return due

    def restart(self, kept: Tensor) -> None:
        """Begin again from other vectors; the next two are orthogonalised."""
        self._gram = np.eye(len(self._gram))
        self._sum = torch.tensor([_sign(place) for place in range(len(kept))], dtype=kept.dtype) @ kept
        self._again = True


def _sign(place: int) -> float:
    """Return a term of the Rudin-Shapiro sequence, ±1."""
    return -1.0 if (place & (place >> 1)).bit_count() % 2 else 1.0
