"""Where the spread of a measurement comes from: training seed, noise draw, user, and what they do together.

The measurements are a crossed table y[f, g, …] of one value for each combination of the factors' levels, all factors
random. For a set T of factors, e_T are the effects that remain of the mean over the other factors once everything
smaller is taken away, MS_T their mean square over Π_{f∈T}(n_f − 1) degrees of freedom, and

    E[MS_T] = Σ_{V⊇T} σ_V² Π_{f∉V} n_f,    hence    σ̂_T² = Σ_{V⊇T} (−1)^{|V|−|T|} MS_V / Π_{f∉T} n_f,

set to zero where negative, and Var(ȳ) = Σ_T σ_T² / Π_{f∈T} n_f (Searle, Casella and McCulloch 1992, "Variance
components", sections 4.2 and 4.3; Brennan 2001, "Generalizability theory", section 3.2 for the algebra of any number of
factors). The interval is Student's with Satterthwaite's degrees of freedom, V̂²/Σ_T (MS_T/N)²/ν_T (Satterthwaite 1946,
"An approximate distribution of estimates of variance components", Biometrics Bulletin 2). With three seeds those are
about two wherever training matters: an honest interval is then wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from robustrec.errors import RobustrecError
from robustrec.evaluation.bootstrap import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Decomposition:
    """A mean over crossed random factors.

    Attributes:
        mean: ȳ with its interval; both bounds are infinite where no factor has two levels.
        variance: estimated Var(ȳ), in squared units.
        degrees_of_freedom: of the interval.
        shares: factors joined by " × " -> their part of Var(ȳ); sums to 1, empty where the variance is 0.
        components: the same keys -> σ̂_T², in squared units.
        single: factors with one level only, without an estimate of their variance.
    """

    mean: Interval
    variance: float
    degrees_of_freedom: float
    shares: dict[str, float]
    components: dict[str, float]
    single: tuple[str, ...]


def decompose(values: NDArray[np.floating], factors: Sequence[str], *, level: float = 0.95) -> Decomposition:
    """Return the mean of a crossed table with its interval, and what part of its variance each factor has.

    Args:
        values: one axis a factor, finite.
        factors: the axes' names, e.g. ("seed", "draw", "user").
        level: of the interval.

    Raises:
        RobustrecError: axes and names that do not fit, no values, or values that are not finite.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != len(factors) or table.size == 0 or not np.isfinite(table).all():
        raise RobustrecError(
            f"a table of shape {table.shape} with {int((~np.isfinite(table)).sum())} values that are not finite",
            where=f"variance components of {' × '.join(factors)}",
            fix="measure every combination of the factors once",
        )
    single = tuple(name for name, n in zip(factors, table.shape, strict=True) if n == 1)
    axes = [axis for axis, n in enumerate(table.shape) if n > 1]
    table, names = table.squeeze(tuple(a for a in range(table.ndim) if a not in axes)), [factors[a] for a in axes]
    mean = float(table.mean())
    if not axes:
        return Decomposition(Interval(mean, -math.inf, math.inf), math.inf, 0.0, {}, {}, single)
    squares, freedom = _mean_squares(table)
    components = {chosen: max(0.0, _component(chosen, squares, table.shape)) for chosen in squares}
    parts = {chosen: value / _levels(chosen, table.shape) for chosen, value in components.items()}
    variance = sum(parts.values())
    spread = sum((squares[chosen] / table.size) ** 2 / freedom[chosen] for chosen in squares)
    nu = max(1.0, variance**2 / spread) if spread > 0 else float(min(freedom.values()))
    reach = float(stdtrit(nu, 0.5 + level / 2)) * math.sqrt(variance)
    labels = {chosen: " × ".join(names[axis] for axis in chosen) for chosen in squares}
    return Decomposition(
        mean=Interval(mean, mean - reach, mean + reach),
        variance=variance,
        degrees_of_freedom=nu,
        shares={labels[chosen]: part / variance for chosen, part in parts.items()} if variance > 0 else {},
        components={labels[chosen]: value for chosen, value in components.items()},
        single=single,
    )


Axes = tuple[int, ...]


def _mean_squares(table: Floats) -> tuple[dict[Axes, float], dict[Axes, int]]:
    """Return MS_T and its degrees of freedom for every set T of axes, small sets first."""
    every = range(table.ndim)
    squares: dict[Axes, float] = {}
    freedom: dict[Axes, int] = {}
    effects: dict[Axes, Floats] = {(): table.mean(keepdims=True)}
    for size in range(1, table.ndim + 1):
        for chosen in combinations(every, size):
            others = tuple(axis for axis in every if axis not in chosen)
            remaining = table.mean(axis=others, keepdims=True) if others else table
            for smaller, effect in effects.items():
                if set(smaller) < set(chosen):
                    remaining = remaining - effect
            effects[chosen] = remaining
            freedom[chosen] = math.prod(table.shape[axis] - 1 for axis in chosen)
            repeated = table.size / remaining.size
            squares[chosen] = float(repeated * np.square(remaining).sum() / freedom[chosen])
    return squares, freedom


def _component(chosen: Axes, squares: dict[Axes, float], shape: tuple[int, ...]) -> float:
    total: float = sum(
        (-1) ** (len(wider) - len(chosen)) * ms for wider, ms in squares.items() if set(wider) >= set(chosen)
    )
    return total * _levels(chosen, shape) / math.prod(shape)


def _levels(chosen: Axes, shape: tuple[int, ...]) -> int:
    return math.prod(shape[axis] for axis in chosen)
