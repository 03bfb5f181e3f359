"""The crossed bootstrap over users and draws: what a table of effects is made of, and how it is resampled.

A draw is one realisation of the noise, and it hits all users at once. The effects of D draws on n users form
a crossed table

    Δ_du = perturbed_du − clean_u = μ + α_u + β_d + ε_du,    Var(mean Δ) = σ_α²/n + σ_β²/D + σ_ε²/(nD),

with the mean squares MS_u = D Σ_u (Δ̄_u − Δ̄)²/(n−1), MS_d = n Σ_d (Δ̄_d − Δ̄)²/(D−1) and MS_e of the residuals,
whose expectations are σ_ε² + Dσ_α², σ_ε² + nσ_β² and σ_ε². What is done with them:

1. Users and draws are resampled independently of each other, as in the pigeonhole bootstrap (Owen 2007, "The
   pigeonhole bootstrap", Annals of Applied Statistics 1), which counts σ_ε² three times: in the means of the
   users, in those of the draws and in the cells. Here it counts once: the draws' deviations are shrunk to the
   variance σ̂_β² = max(0, MS_d − MS_e)/n, and only margins are resampled. A replicate is
   Δ̄* = Δ̄ + mean*_u(Δ̄_u − Δ̄) + mean*_d(β̂_d), and the relative drift Δ̄* over the clean mean of the same users
   (Efron and Tibshirani 1993, "An introduction to the bootstrap").
2. Percentiles of few draws are too narrow (Hesterberg 2015, "What teachers should know about the bootstrap",
   The American Statistician 69). They are expanded about the estimate by t_ν/z, where ν are the effective
   degrees of freedom of V̂ = (MS_u + max(0, MS_d − MS_e))/(nD) (Satterthwaite 1946, "An approximate
   distribution of estimates of variance components", Biometrics Bulletin 2): D − 1 where the draws dominate;
   where the users do, 2/(2/(n−1) + κ/n), which matches the variance of MS_u at excess kurtosis κ: a metric
   that is 0 for nearly all users tells less about its variance than n − 1 says.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from robustrec.evaluation.sparse import Bounds, count_changed

Floats = NDArray[np.float64]
# Resamples multiplied at once, and users drawn at once.
CHUNK, CHUNK_DRAWN = 64, 2**15
# Mean squares that differ by a smaller share are equal but for rounding.
EQUAL = 1e-9
# How many sets of resamples are kept, and their bytes in all; one of more users is drawn at each use.
KEPT, KEPT_BYTES = 3, 192 * 2**20


class Interval(NamedTuple):
    """An estimate and the bounds of its interval, in the unit of the values."""

    estimate: float
    low: float
    high: float


class Effects(NamedTuple):
    """One table of effects, taken apart: mean, users' deviations [n], draws' [D], base [n], MS_d and MS_e.

    `n_changed` counts the users with an effect in any draw; `bounds` are those of the mean where these are few.
    """

    mean: float
    by_user: Floats
    by_draw: Floats
    base: Floats | None
    draw_square: float
    residual_square: float
    n_changed: int
    bounds: Bounds | None = None


def effects_of(effects: Floats, base: Floats | None, bounds: Bounds | None = None) -> Effects:
    """Return mean, margins and mean squares of effects [D, n], the draws' deviations shrunk to σ̂_β²."""
    draws, n = effects.shape
    mean = float(effects.mean())
    by_user = effects.mean(axis=0) - mean
    if draws == 1:
        return Effects(mean, by_user, np.zeros(1), base, 0.0, 0.0, count_changed(effects), bounds)
    by_draw = effects.mean(axis=1) - mean
    residual = effects - mean - by_user - by_draw[:, None]
    residual_square = float((residual**2).sum()) / ((n - 1) * (draws - 1))
    draw_square = n * float((by_draw**2).sum()) / (draws - 1)
    kept = beyond_residuals(draw_square, residual_square) / draw_square if draw_square > 0 else 0.0
    # D/(D-1) because the variance of a resampled mean has the divisor D.
    shrunk = by_draw * np.sqrt(kept * draws / (draws - 1))
    return Effects(mean, by_user, shrunk, base, draw_square, residual_square, count_changed(effects), bounds)


def beyond_residuals(draw_square: float, residual_square: float) -> float:
    """Return max(0, MS_d - MS_e); 0 too where both are equal but for the rounding of their sums.

    They are equal where one user differs in one draw: the sign of their difference is then that of a rounding error,
    which would decide the degrees of freedom.
    """
    extra = draw_square - residual_square
    return extra if extra > EQUAL * draw_square else 0.0


def resampled_means(values: Floats, replicates: int, seed: int) -> Floats:
    """Return the means [R, M] of the columns of `values` [n, M] over users drawn with replacement.

    The resamples depend on seed, n and R only. Those of the last calls are kept (within `KEPT_BYTES`), because the
    subjects of a condition and their differences share them, and drawing them costs ten times their product.
    """
    n = len(values)
    drawn = kept_counts(seed, n, replicates) if replicates * n <= KEPT_BYTES // KEPT else _drawn(seed, n, replicates)
    return np.concatenate([counts.astype(np.float64) @ values for counts in drawn]) / n


@lru_cache(maxsize=KEPT)
def kept_counts(seed: int, n: int, replicates: int) -> tuple[NDArray[np.uint8], ...]:
    """Return blocks [CHUNK, n] of how often each resample has each of n users; not to be written to."""
    return tuple(_drawn(seed, n, replicates))


def _drawn(seed: int, n: int, replicates: int) -> Iterator[NDArray[np.uint8]]:
    """Yield those blocks. No user is drawn 256 times: with n of 256 the chance is 256^-255."""
    generator = Generator(PCG64(seed))
    together = max(1, CHUNK_DRAWN // n)  # few enough to count within the caches of a processor
    for start in range(0, replicates, CHUNK):
        counts = np.empty((min(CHUNK, replicates - start), n), dtype=np.uint8)
        for first in range(0, len(counts), together):
            part = counts[first : first + together]
            users = generator.integers(0, n, size=part.shape, dtype=np.int32)
            users += np.arange(len(part), dtype=np.int32)[:, None] * n
            part[:] = np.bincount(users.ravel(), minlength=part.size).reshape(part.shape)
        yield counts


def degrees_of_freedom(table: Effects, influence: Floats) -> float:
    """Return Satterthwaite's degrees of freedom of V̂, the users' part taken from `influence` [n]."""
    draws, n = len(table.by_draw), len(influence)
    squares = influence**2
    user_square = draws * float(squares.sum()) / (n - 1)
    variance = float(squares.mean())
    excess = max(0.0, float((squares**2).mean()) / variance**2 - 3) if variance > 0 else 0.0
    of_users = 2 / (2 / (n - 1) + excess / n)
    extra = beyond_residuals(table.draw_square, table.residual_square)
    if extra == 0:
        return max(1.0, of_users)
    parts = (
        user_square**2 / of_users
        + table.draw_square**2 / (draws - 1)
        + table.residual_square**2 / ((n - 1) * (draws - 1))
    )
    return max(1.0, (user_square + extra) ** 2 / parts)


def expanded(estimate: float, replicates: Floats, level: float, degrees: float, n: int) -> Interval:
    """Return the percentiles of the replicates, expanded about the estimate by t/z and √(n/(n−1))."""
    tail = (1 - level) / 2
    bounds = np.quantile(replicates, [tail, 1 - tail])
    # n/(n-1) because the variance of a resampled mean has the divisor n.
    factor = float(stdtrit(degrees, 1 - tail) / ndtri(1 - tail)) * np.sqrt(n / (n - 1))
    low, high = estimate + (bounds - estimate) * factor
    # Adding 0 turns -0 into 0.
    return Interval(estimate + 0.0, float(low) + 0.0, float(high) + 0.0)
