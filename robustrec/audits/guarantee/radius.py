"""Certified radius of a place: no displacement of the item's features below it takes the place away.

Let the vector of item i be affine in its own features x_i, and let no user and no other item depend on them. Then the
score of user u is s_u(x_i + δ) = s_ui + w·δ with w = J_iᵀ u, J_i the Jacobian of the vector of i. If c is the first
item after the top k, i leaves the list only if w·δ <= -(s_ui - s_uc), which takes ‖δ‖ >= (s_ui - s_uc) / ‖w‖ by Cauchy
and Schwarz, with equality for δ in the direction -w: the radius is exact. Whether a model is of this form is measured
on displaced features, not read off its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.audits.guarantee.places import CleanPlaces, Ints
from robustrec.evaluation.ranking import EMPTY
from robustrec.models.contract import Representation, represent

if TYPE_CHECKING:
    from robustrec.runs.trained import TrainedSubject

Floats = NDArray[np.float64]

SIZES = (1.0, 2.0, 10.0)
"""Lengths of the displacements that are tried, in standard deviations of each modality's features."""

HALVES = 3
"""Random halves of the items that are displaced, of which the other half must not move."""

UNMOVED, AFFINE = 1e-6, 1e-4
"""Shares of a vector's length that count as rounding: where it must stay, and where it must move in proportion."""

SLACK = 1e-6
"""Share of the lengths of the vectors that is taken from a margin, for the rounding of float32 scores."""


@dataclass(frozen=True, eq=False)
class LinearScores:
    """Scores that are affine in the features of each item.

    Attributes:
        trained: the subject.
        frozen: whether the item graphs stay those of the clean features.
    """

    trained: TrainedSubject
    frozen: bool

    def jacobians(self, items: Sequence[int]) -> dict[str, Tensor]:
        """Return the Jacobians of item vectors in their own features, modality -> float32 [n, d, D_m]."""
        tables = {name: table.detach().clone().requires_grad_() for name, table in self.trained.tables.items()}
        graphs = self.trained.graphs if self.frozen else None
        assert self.trained.model is not None
        with torch.enable_grad():
            vectors = represent(self.trained.model, tables, graphs).items
            chosen = torch.as_tensor(list(items), device=vectors.device)
            rows = {name: list[Tensor]() for name in tables}
            for column in vectors.sum(dim=0):
                found = (
                    torch.autograd.grad(column, list(tables.values()), retain_graph=True, allow_unused=True)
                    if column.requires_grad
                    else [None] * len(tables)
                )
                for (name, table), slope in zip(tables.items(), found, strict=True):
                    own = torch.zeros_like(table) if slope is None else slope
                    rows[name].append(own.index_select(0, chosen))
        return {name: torch.stack(each, dim=1) for name, each in rows.items()}


def linear_scores(trained: TrainedSubject, seed: torch.Generator, *, frozen: bool) -> LinearScores | None:
    """Return the scores of a subject if they are affine in the features of each item, else None.

    Args:
        trained: the subject.
        seed: generator of the displacements, on the CPU.
        frozen: whether the item graphs stay those of the clean features.
    """
    if trained.model is None:
        return None
    clean = trained.represent(trained.tables, frozen=frozen)
    if not isinstance(clean, Representation):
        return None
    steps = {
        name: (torch.randn(table.shape, generator=seed).to(table.device) * table.std(unbiased=False))
        for name, table in trained.tables.items()
    }

    def moved(size: float, rows: Tensor) -> Representation:
        tables = {name: table + size * rows[:, None] * steps[name] for name, table in trained.tables.items()}
        found = trained.represent(tables, frozen=frozen)
        assert isinstance(found, Representation)
        return found

    lengths = clean.items.norm(dim=1)
    for _ in range(HALVES):
        half = (torch.rand(len(clean.items), generator=seed) < 0.5).to(clean.items)
        at = moved(SIZES[0], half)
        shift = (at.items - clean.items).norm(dim=1)
        still = bool(((at.users - clean.users).norm(dim=1) <= UNMOVED * clean.users.norm(dim=1)).all())
        if not still or not bool((shift <= UNMOVED * lengths)[half == 0].all()):
            return None
    every = torch.ones_like(lengths)
    unit = moved(SIZES[0], every).items - clean.items
    for size in SIZES[1:]:
        far = moved(size, every).items - clean.items
        if not bool(((far - size * unit).norm(dim=1) <= AFFINE * (far.norm(dim=1) + lengths)).all()):
            return None
    return LinearScores(trained, frozen)


def radii(clean: CleanPlaces, item: int, rows: Ints, jacobians: dict[str, Tensor], modalities: Sequence[str]) -> Floats:
    """Return the certified radius of the places of an item with some users, [c]; infinite where nothing can take it.

    Args:
        clean: the clean lists.
        item: the item.
        rows: int64 [c] positions of users who have it in their top k.
        jacobians: modality -> [d, D_m] of the item's vector.
        modalities: whose features are displaced; the radius is for their displacements put side by side.
    """
    assert isinstance(clean.representation, Representation)
    users, items = clean.representation
    next_up = torch.from_numpy(clean.ranking.items[rows, clean.k].astype(np.int64)).to(items.device)
    own = users[torch.from_numpy(clean.split.users[rows]).to(users.device)].double()
    vector, rival = items[item].double(), items[next_up.clamp_min(0)].double()
    margin = (own * (vector - rival)).sum(dim=1)
    margin = margin - SLACK * own.norm(dim=1) * (vector.norm() + rival.norm(dim=1))
    squares = sum(((own @ jacobians[name].double()) ** 2).sum(dim=1) for name in modalities)
    weight = torch.as_tensor(squares, device=own.device, dtype=own.dtype).expand(len(own)).sqrt()
    found = torch.where(weight > 0, margin.clamp_min(0) / weight.clamp_min(1e-300), torch.inf)
    found = torch.where(next_up == EMPTY, torch.inf, found)
    return np.asarray(found.cpu().numpy(), dtype=np.float64)


def displacement(trained: TrainedSubject, item: int, vectors: dict[str, Tensor]) -> float:
    """Return ‖δ‖ of an edit over the modalities that it moved; 0 if it moved none."""
    parts = [float((vector - trained.tables[name][item]).double().norm()) for name, vector in vectors.items()]
    return float(np.linalg.norm(parts)) if parts else 0.0
