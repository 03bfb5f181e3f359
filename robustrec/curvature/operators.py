"""A symmetric operator on a space: what every algorithm of curvature takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from robustrec.curvature.spaces import Space

Multiply = Callable[[Tensor], Tensor]
"""v [N] -> H v [N]."""


@dataclass
class Operator:
    """A symmetric matrix H that is known by its products alone.

    Eigenvalues (`lanczos`), traces and spectral densities (`traces`) and average cases (`perturbations`) take nothing
    else, whatever is varied: parameters, features, or the columns of a matrix in a test.

    Attributes:
        space: of the vectors.
        multiply: v [N] -> H v [N]; a vector that it is given may be kept, and is never changed.
        count: products so far.
    """

    space: Space
    multiply: Multiply
    count: int = 0

    def __call__(self, vector: Tensor) -> Tensor:
        """Return H v [N] for v [N]."""
        self.count += 1
        return self.multiply(vector)
