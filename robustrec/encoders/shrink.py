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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

FORMAT = 1
"""Increase it when a filter of the same features becomes another one."""

Floats = NDArray[np.float64]
_ROWS = 4096  # rows in float64 at once
_ROOT = 1e-13  # relative tolerance of λ
_CLIPPED_ROOT = 1e-7  # of λ where each step takes a singular value decomposition
LEAST_SHRINKAGE = 0.01
"""Least weight of the identity in the covariance of displacements, which is singular where all are alike."""


@dataclass(frozen=True)
class RowFilter:
    """A fitted filter of the vectors of one modality, x' = μ + F (x - μ).

    Attributes:
        mean: float64 [D], μ, the mean vector of the clean catalog.
        matrix: float64 [D, D], F; its largest singular value is at most 1.
        strength: λ.
        kept: tr(F Σ_b Fᵀ) / tr(Σ_b).
        norm: the largest singular value of F.
        identity_weight: δ, the weight of the identity in the covariance of displacements; None if there are none.
    """

    mean: Floats
    matrix: Floats
    strength: float
    kept: float
    norm: float
    identity_weight: float | None = None


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


def fit_shrink_edits(table: NDArray[np.float32], kept: float, displacements: NDArray[np.float32]) -> RowFilter | None:
    """Return the filter with N the covariance of displacements by edits; None if nothing varies or is moved.

    N is that of Ledoit and Wolf (J. Multivariate Analysis 88, 2004), (1 - δ) S + δ tr(S)/D I with S the second moments
    of the displacements about 0 and δ at least `LEAST_SHRINKAGE`. Directions without variance in the catalog are
    removed first; in the others Σ_b V = N V diag(m) and F = N V diag(m / (m + λ)) Vᵀ. F is not symmetric: its
    eigenvalues are below 1, but its singular values need not be. Those above 1 are set to 1, and λ is such that what
    results keeps the share.

    Args:
        table: [I, D], the clean catalog.
        kept: 0 < kept < 1.
        displacements: [n, D], vector of an edited item minus its clean vector; n may be smaller than D.
    """
    with threadpool_limits(limits=1):
        mean, covariance = _moments(table)
        values, basis = _eigen(covariance)
        if not values[-1] > 0 or not np.any(displacements):
            return None
        basis, values = basis[:, values > 0], values[values > 0]
        noise, weight = _noise(displacements.astype(np.float64))
        solved = _Solved.of(values, basis.T @ noise @ basis)
        most = float(solved.ratios[-1]) * (kept**-0.5 - 1) * 2
        strength = _solve(solved.share, kept, most)
        inner, norm = solved.matrix(strength), solved.norm(strength)
        if norm > 1:
            strength = _solve(lambda x: solved.share_of(solved.clipped(x)), kept, strength, _CLIPPED_ROOT)
            inner, norm = solved.clipped(strength), min(1.0, solved.norm(strength))
        share = solved.share_of(inner)
    return RowFilter(mean, basis @ inner @ basis.T, strength, share, norm, weight)


class _Solved(NamedTuple):
    """F for every λ, in the principal directions of the catalog.

    Attributes:
        values: [r], the variances of the catalog.
        ratios: [r], m, ascending.
        vectors: [r, r], V with Vᵀ N V = I.
        back: [r, r], N V.
    """

    values: Floats
    ratios: Floats
    vectors: Floats
    back: Floats

    @classmethod
    def of(cls, values: Floats, noise: Floats) -> _Solved:
        from scipy.linalg import eigh

        ratios, vectors = eigh(np.diag(values), noise)
        return cls(values, np.maximum(ratios, 0.0), vectors, noise @ vectors)

    def matrix(self, strength: float) -> Floats:
        product: Floats = (self.back * _gains(self.ratios, strength)) @ self.vectors.T
        return product

    def share(self, strength: float) -> float:
        """Return the share that F keeps: Σ g² m ‖N v‖² / Σ e."""
        parts = np.square(_gains(self.ratios, strength)) * self.ratios
        return float(parts @ np.square(self.back).sum(axis=0) / self.values.sum())

    def share_of(self, matrix: Floats) -> float:
        return float(np.vdot(matrix * self.values, matrix) / self.values.sum())

    def norm(self, strength: float) -> float:
        from scipy.linalg import svdvals

        return float(svdvals(self.matrix(strength))[0])

    def clipped(self, strength: float) -> Floats:
        from scipy.linalg import svd

        left, singular, right = svd(self.matrix(strength))
        clipped: Floats = (left * np.minimum(singular, 1.0)) @ right
        return clipped


def _noise(displacements: Floats) -> tuple[Floats, float]:
    """Return the covariance of displacements [n, D] about 0, and the weight of the identity in it."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    width = displacements.shape[1]
    scale = float(np.abs(displacements).max())
    own = displacements / scale  # of fourth powers, tiny numbers would leave nothing
    found = float(ledoit_wolf_shrinkage(own, assume_centered=True)) if len(own) > 1 else 1.0
    weight = max(LEAST_SHRINKAGE, found)
    moments = own.T @ own / len(own)
    moments = (1 - weight) * moments + weight * np.trace(moments) / width * np.eye(width)
    return scale**2 * moments, weight


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


def _solve(share: Callable[[float], float], kept: float, largest: float, tolerance: float = _ROOT) -> float:
    """Return the x of 0 < x <= largest with share(x) = kept, for a share that decreases from 1 at 0."""
    from scipy.optimize import brentq

    # λ can be smaller by many orders than the bound, so that only its relative error stops the search.
    return float(brentq(lambda x: share(x) - kept, 0.0, largest, xtol=1e-300, rtol=tolerance, maxiter=2000))
