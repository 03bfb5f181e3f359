"""Small random problems with two modalities, and models on them in float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from robustrec.models import model_class
from robustrec.models.contract import Batch, Problem

WIDTHS = {"image": 5, "text": 3}

SIZES = {
    "n_users": st.integers(1, 9),
    "n_items": st.integers(1, 9),
    "density": st.floats(0.0, 0.9),
    "seed": st.integers(0, 10_000),
}
"""What `draw` takes, as Hypothesis strategies: more users than items and fewer, some of both without any edge."""


class Drawn(NamedTuple):
    """A problem, its ratings as a dense matrix [U, I], its features, and four triples."""

    problem: Problem
    ratings: Tensor
    features: dict[str, Tensor]
    batch: Batch

    def build(self, name: str, seed: int = 0, **options: Any) -> Any:
        """Return a model in float64, four numbers wide."""
        kind = model_class(name)
        config = kind.Config(**{"latent_width": 4, **options})
        return kind(self.problem, config, torch.Generator().manual_seed(seed)).double()


def draw(
    n_users: int, n_items: int, density: float, seed: int, modalities: tuple[str, ...] = ("image", "text")
) -> Drawn:
    """Return a random problem; it has at least one edge."""
    generator = torch.Generator().manual_seed(seed)
    ratings = (torch.rand(n_users, n_items, generator=generator) < density).double()
    if not ratings.any():
        ratings[0, 0] = 1
    widths = {m: WIDTHS[m] for m in modalities}
    features = {m: torch.randn(n_items, w, generator=generator, dtype=torch.float64) for m, w in widths.items()}
    problem = Problem(n_users, n_items, ratings.nonzero().T.contiguous(), widths)
    users = torch.randint(n_users, (4,), generator=generator)
    positives, negatives = torch.randint(n_items, (2, 4), generator=generator)
    return Drawn(problem, ratings, features, Batch(users, positives, negatives))


def both_ways(ratings: Tensor) -> Tensor:
    """Return the adjacency [[0, R], [Rᵀ, 0]] of users and items together."""
    size = sum(ratings.shape)
    adjacency = ratings.new_zeros(size, size)
    adjacency[: ratings.shape[0], ratings.shape[0] :] = ratings
    return adjacency + adjacency.T


def unit(rows: Tensor) -> Tensor:
    """Return rows of length 1."""
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)


def same_gradients(model: Any, one: Tensor, other: Tensor) -> None:
    """Check that two losses are the same function of the parameters here, up to rounding."""
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    parameters = list(model.parameters())
    for ours, theirs in zip(torch.autograd.grad(one, parameters), torch.autograd.grad(other, parameters), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-10)
