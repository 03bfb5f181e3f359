"""Item graphs of nearest neighbours: unweighted, or with differentiable cosine weights."""

from __future__ import annotations

import torch
from torch import Tensor

from robustrec.models.graphs.nearest import Neighbours
from robustrec.models.graphs.sparse import Sparse, row_sums, sampled_products
from robustrec.models.rows import unit_rows


def mean_graph(neighbours: Neighbours, *, offset: float = 1e-7, dtype: torch.dtype | None = None) -> Sparse:
    """Return the directed, unweighted graph with 1/(k + offset) at the neighbours of each row."""
    pattern, transpose = neighbours.pattern()
    weight = 1 / (neighbours.items.shape[1] + offset)
    values = torch.full((pattern.n_entries,), weight, dtype=dtype, device=neighbours.items.device)
    return Sparse(pattern, values, transpose, values)


def similarity_graph(neighbours: Neighbours, x: Tensor) -> Sparse:
    """Return the directed graph with cos(x_i, x_j) at the neighbours of each row, differentiable in x [I, D]."""
    pattern, transpose = neighbours.pattern()
    unit = unit_rows(x)
    return Sparse(
        pattern,
        sampled_products(pattern, transpose, unit, unit),
        transpose,
        sampled_products(transpose, pattern, unit, unit),
    )


def symmetrically_normalised(graph: Sparse) -> Sparse:
    """Return D^-1/2 S D^-1/2 with D the row sums of S, differentiable; rows and columns with sum 0 stay 0."""
    scale = inverse_root(row_sums(graph.pattern, graph.values))
    values = [
        part_values * scale[part.rows()] * scale[part.columns.long()]
        for part, part_values in ((graph.pattern, graph.values), (graph.transpose, graph.transpose_values))
    ]
    return Sparse(graph.pattern, values[0], graph.transpose, values[1])


def inverse_root(sums: Tensor) -> Tensor:
    """Return 1/√s where s > 0, else 0."""
    there = sums > 0
    return torch.where(there, torch.where(there, sums, 1.0).rsqrt(), 0.0)
