"""Linear filters of item features: directions in which the catalog varies little, or edits move much, are shrunk.

x' = μ + F (x - μ) with F = Σ_b (Σ_b + λ N)⁻¹, where Σ_b is the covariance of the vectors of the clean catalog and N the
covariance of what is to be removed: the identity, or that of the displacements by edits. It is the linear estimate of
least mean squared error of the vector of an item from the sum of this vector and independent noise of covariance λ N
(Wiener 1949; Kay, Fundamentals of Statistical Signal Processing I, 1993, §12.5). λ is such that a given share of the
variance is kept, tr(F Σ_b Fᵀ) / tr(Σ_b). Everything is float64, on one thread of BLAS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

FORMAT = 1
"""Increase it when a filter of the same features becomes another one."""

Floats = NDArray[np.float64]
_ROWS = 4096  # rows in float64 at once
_ROOT = 1e-13  # relative tolerance of λ


@dataclass(frozen=True)
class RowFilter:
    """A fitted filter of the vectors of one modality, x' = μ + F (x - μ).

    Attributes:
        mean: float64 [D], μ, the mean vector of the clean catalog.
        matrix: float64 [D, D], F; its largest singular value is at most 1.
        strength: λ.
        kept: tr(F Σ_b Fᵀ) / tr(Σ_b).
        norm: the largest singular value of F.
    """

    mean: Floats
    matrix: Floats
    strength: float
    kept: float
    norm: float


def fit_shrink(table: NDArray[np.float32], kept: float) -> RowFilter | None:
    """Return the isotropic filter, N = I, that keeps a share of the variance; None for vectors that are all equal.

    F = V diag(e / (e + λ)) Vᵀ for Σ_b = V diag(e) Vᵀ, so that the share kept is Σ e³/(e + λ)² / Σ e, which decreases
    in λ from 1 to 0. Directions without variance are removed. F is symmetric, and shrinks every vector.

    Args:
        table: [I, D], the clean catalog.
        kept: 0 < kept < 1.
    """
    with threadpool_limits(limits=1):
        mean, covariance = _moments(table)
        values, vectors = _eigen(covariance)
        if not values[-1] > 0:
            return None
        # At this λ even the direction of the most variance keeps no more than the share.
        most = float(values[-1]) * (kept**-0.5 - 1) * 2
        strength = _solve(lambda x: _share(values, _gains(values, x)), kept, most)
        gains = _gains(values, strength)
        matrix = (vectors * gains) @ vectors.T
    return RowFilter(mean, (matrix + matrix.T) / 2, strength, _share(values, gains), float(gains[-1]))


def _moments(table: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Return mean and covariance of the rows, with few of them in float64 at once."""
    mean = table.mean(axis=0, dtype=np.float64)
    constant = table.min(axis=0) == table.max(axis=0)
    mean[constant] = table[0, constant]  # the mean of equal numbers is rounded, and would leave a variance
    total = np.zeros((table.shape[1], table.shape[1]))
    for start in range(0, len(table), _ROWS):
        part = table[start : start + _ROWS] - mean
        total += part.T @ part
    return mean, total / len(table)


def _eigen(matrix: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues and eigenvectors of a covariance; values that rounding leaves of 0 are 0."""
    from scipy.linalg import eigh

    values, vectors = eigh(matrix)
    values[values < len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)] = 0.0
    return values, vectors


def _gains(values: Floats, strength: float) -> Floats:
    """Return e / (e + λ), 0 where e = 0."""
    return np.divide(values, values + strength, out=np.zeros_like(values), where=values > 0)


def _share(values: Floats, gains: Floats) -> float:
    return float(np.square(gains) @ values / values.sum())


def _solve(share: Callable[[float], float], kept: float, largest: float) -> float:
    """Return the x of 0 < x <= largest with share(x) = kept, for a share that decreases from 1 at 0."""
    from scipy.optimize import brentq

    return float(brentq(lambda x: share(x) - kept, 0.0, largest, xtol=largest * 1e-15, rtol=_ROOT, maxiter=500))
