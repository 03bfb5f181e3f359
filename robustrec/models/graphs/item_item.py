"""Item graphs: nearest neighbours by cosine of item features, exact, in chunks, ties by lower id."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from robustrec.models.graphs.sparse import Pattern, Sparse, pattern_of, row_sums, sampled_products

# Bytes of similarities held at once.
SIMILARITY_BYTES = 128 * 2**20
# Candidates beyond k that are compared again in float64; float32 similarities this near to the last are not trusted.
MARGIN = 6
NEAR = 1e-5
NORM_FLOOR = 1e-12


class Neighbours(NamedTuple):
    """The k nearest items of each item, itself included: int64 [I, k], nearest first, ties by lower id."""

    items: Tensor

    def pattern(self) -> tuple[Pattern, Pattern]:
        """Return the pattern [I, I] with row i on the neighbours of i, and that of its transpose."""
        n_items, k = self.items.shape
        rows = torch.arange(n_items, device=self.items.device).repeat_interleave(k)
        columns = self.items.reshape(-1)
        shape = (n_items, n_items)
        return pattern_of(rows, columns, shape)[0], pattern_of(columns, rows, shape)[0]


@torch.no_grad()
def cosine_neighbours(x: Tensor, k: int, *, chunk: int | None = None) -> Neighbours:
    """Return each item's k nearest by cosine, itself included.

    Candidates come from float32 products of a chunk of rows with all rows; those near the end of the list are
    compared again in float64, so that the result does not depend on the chunk or the device, and items with equal
    features come in the order of their ids.

    Args:
        x: [I, D]; a row of zeros is at cosine 0 from everything.
        k: neighbours, at most I.
        chunk: rows at once; by default as many as a fixed memory budget holds.
    """
    n_items = x.shape[0]
    k = min(k, n_items)
    wide = min(n_items, k + MARGIN)
    step = chunk or max(1, SIMILARITY_BYTES // (4 * n_items))
    unit = functional.normalize(x, dim=1, eps=NORM_FLOOR)
    found = torch.empty(n_items, k, dtype=torch.int64, device=x.device)
    for start in range(0, n_items, step):
        rows = unit[start : start + step]
        similar = rows @ unit.T
        values, candidates = similar.topk(wide, dim=1)
        found[start : start + step] = _nearest(rows, unit, candidates, k)
        if wide < n_items:
            # Even the last candidate is too near to the k-th to say that nothing left out belongs in the list.
            crowded = (values[:, k - 1] - values[:, -1] <= NEAR).nonzero()[:, 0]
            for row in crowded.tolist():
                near = (similar[row] >= values[row, k - 1] - NEAR).nonzero()[:, 0]
                found[start + row] = _nearest(rows[row : row + 1], unit, near[None], k)[0]
    return Neighbours(found)


def _nearest(rows: Tensor, unit: Tensor, candidates: Tensor, k: int) -> Tensor:
    """Return the first k of each row's candidates [n, c] by float64 similarity, ties by lower id."""
    candidates = candidates.sort(dim=1).values
    exact = torch.stack([(rows.double() * unit[column].double()).sum(1) for column in candidates.T], dim=1)
    order = exact.sort(dim=1, descending=True, stable=True).indices
    return candidates.gather(1, order[:, :k])


def mean_graph(neighbours: Neighbours, *, offset: float = 1e-7, dtype: torch.dtype | None = None) -> Sparse:
    """Return the directed, unweighted graph with 1/(k + offset) at each row's neighbours (spec 4.2)."""
    pattern, turned = neighbours.pattern()
    weight = 1 / (neighbours.items.shape[1] + offset)
    values = torch.full((pattern.n_entries,), weight, dtype=dtype, device=neighbours.items.device)
    return Sparse(pattern, values, turned, values)


def similarity_graph(neighbours: Neighbours, x: Tensor) -> Sparse:
    """Return the directed graph with cos(x_i, x_j) at each row's neighbours, differentiable in x [I, D]."""
    pattern, turned = neighbours.pattern()
    unit = functional.normalize(x, dim=1, eps=NORM_FLOOR)
    return Sparse(
        pattern,
        sampled_products(pattern, turned, unit, unit),
        turned,
        sampled_products(turned, pattern, unit, unit),
    )


def symmetrically_normalised(graph: Sparse) -> Sparse:
    """Return D^-1/2 S D^-1/2 with D the row sums of S, rows and columns of sum 0 left at 0; differentiable."""
    scale = inverse_root(row_sums(graph.pattern, graph.values))
    values = [
        part_values * scale[part.rows()] * scale[part.columns.long()]
        for part, part_values in ((graph.pattern, graph.values), (graph.turned, graph.turned_values))
    ]
    return Sparse(graph.pattern, values[0], graph.turned, values[1])


def inverse_root(sums: Tensor) -> Tensor:
    """Return 1/√s where s > 0, else 0."""
    there = sums > 0
    return torch.where(there, torch.where(there, sums, 1.0).rsqrt(), 0.0)
