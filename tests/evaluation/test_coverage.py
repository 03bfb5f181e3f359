"""The 95 % intervals cover the truth in 92 to 98 % of simulated audits, whatever the variance comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from robustrec.evaluation.sparse import FEWEST_CHANGED
from robustrec.evaluation.statistics import mean_intervals, paired_intervals

Floats = NDArray[np.float64]
RANKS = 1 / np.log2(np.arange(2, 22))  # what a hit at places 1 to 20 is worth in NDCG@20


class Audit(NamedTuple):
    """One simulated audit, clean [n] and perturbed [D, n], with what is true of the populations."""

    clean: Floats
    perturbed: Floats
    drift: float
    relative: float


def normal(user: float, draw: float, cell: float) -> Callable[[int, int, Generator], Audit]:
    """Normal effects; the arguments are the shares of the variance of the mean."""

    def audit(n: int, draws: int, rng: Generator) -> Audit:
        of_user = rng.standard_normal(n) * np.sqrt(user * n)
        of_draw = rng.standard_normal((draws, 1)) * np.sqrt(draw * draws)
        of_cell = rng.standard_normal((draws, n)) * np.sqrt(cell * draws * n)
        clean = 30 + rng.standard_normal(n) + 0.3 * of_user
        return Audit(clean, clean - 3 + of_user + of_draw + of_cell, -3.0, -0.1)

    return audit


def metric_like(user: float, draw: float) -> Callable[[int, int, Generator], Audit]:
    """Fifteen users in a hundred have a value; a perturbation takes 70 % of it with probability 0.35 on average.

    `user` is the share of users who are always or never hit, `draw` the spread of the probability over draws.
    """

    def audit(n: int, draws: int, rng: Generator) -> Audit:
        clean = (rng.random(n) < 0.15) * rng.choice(RANKS, n)
        fixed = np.where(rng.random(n) < 0.35, 1.0, 0.0)
        moving = np.clip(0.35 + draw * rng.standard_normal((draws, 1)), 0.0, 0.7)
        lost = rng.random((draws, n)) < np.where(rng.random(n) < user, fixed, moving)
        return Audit(clean, clean * (1 - 0.7 * lost), -0.15 * 0.35 * 0.7 * RANKS.mean(), -0.35 * 0.7)

    return audit


def sparse_cells(n: int, draws: int, rng: Generator) -> Audit:
    """Every draw costs other users their hit: 5 % of the cells, and nothing but chance decides which."""
    clean = rng.choice(RANKS, n)
    lost = (rng.random((draws, n)) < 0.05) * rng.choice(RANKS, (draws, n))
    return Audit(clean, clean - lost, -0.05 * RANKS.mean(), -0.05)


REGIMES: dict[str, Callable[[int, int, Generator], Audit]] = {
    "normal, users dominate": normal(0.98, 0.01, 0.01),
    "normal, draws dominate": normal(0.01, 0.98, 0.01),
    "normal, interaction only": normal(0, 0, 1),
    "normal, mixed": normal(1 / 3, 1 / 3, 1 / 3),
    "metric-like, users dominate": metric_like(1, 0),
    "metric-like, draws dominate": metric_like(0, 0.25),
    "metric-like, interaction only": sparse_cells,
    "metric-like, mixed": metric_like(0.5, 0.08),
}


def coverage(regime: str, n: int, draws: int, repeats: int, replicates: int = 400) -> tuple[tuple[float, float], float]:
    """Return the share of simulated audits whose drift and relative intervals hold the truth.

    Also the share of audits in which so few users differ that the interval is a bound, which covers more often.
    """
    held, bounds = np.zeros(2), 0
    rng = np.random.default_rng([n, draws, sorted(REGIMES).index(regime)])
    batch = 100
    for start in range(0, repeats, batch):
        audits = dict(enumerate(REGIMES[regime](n, draws, rng) for _ in range(batch)))
        found = paired_intervals(
            {key: audit.clean for key, audit in audits.items()},
            {key: audit.perturbed for key, audit in audits.items()},
            seed=start,
            replicates=replicates,
        )
        for key, audit in audits.items():
            drift, relative = found[key].drift, found[key].relative
            assert relative is not None
            bounds += found[key].n_changed < FEWEST_CHANGED
            held += drift.low <= audit.drift <= drift.high, relative.low <= audit.relative <= relative.high
    return (held[0] / repeats, held[1] / repeats), bounds / repeats


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize(("n", "draws"), [(200, 5), (400, 10)])
def test_intervals_cover_the_truth(regime: str, n: int, draws: int) -> None:
    repeats = 1000
    error = np.sqrt(0.95 * 0.05 / repeats)
    shares, bounds = coverage(regime, n, draws, repeats)
    for share in shares:
        assert 0.92 - error <= share <= 0.98 + error + bounds * 0.02


@pytest.mark.parametrize("n", [200, 1000])
def test_the_interval_of_a_sparse_mean_covers(n: int) -> None:
    repeats = 800
    rng = np.random.default_rng(n)
    values = {i: (rng.random(n) < 0.15) * rng.choice(RANKS, n) for i in range(repeats)}
    found = mean_intervals(values, seed=3, replicates=400)
    truth = 0.15 * RANKS.mean()
    assert 0.92 <= np.mean([low <= truth <= high for _, low, high in found.values()]) <= 0.98


def test_the_simulation_would_notice_intervals_that_ignore_draws() -> None:
    rng = np.random.default_rng(0)
    audits = dict(enumerate(REGIMES["normal, draws dominate"](200, 5, rng) for _ in range(200)))
    found = mean_intervals(
        {key: (audit.perturbed - audit.clean).mean(axis=0) for key, audit in audits.items()},
        seed=0,
        replicates=400,
    )
    assert np.mean([found[key].low <= audit.drift <= found[key].high for key, audit in audits.items()]) < 0.5
