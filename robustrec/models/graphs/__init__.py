"""User and item graphs, and sparse products; no dense users×users or items×items matrix is built.

`sparse.py` has the matrix and its products, differentiable to any order in both factors; `user_item.py` the normalised
interaction graph; `nearest.py` the nearest items by features and `item_item.py` graphs over them; `user_user.py` the
user co-occurrence graph; `principal.py` the low-rank part of the interaction graph,
of PGL; `denoised.py` the item graphs of DA-MRS.
"""

from __future__ import annotations

from robustrec.datasets.user_graph import UserGraph
from robustrec.models.graphs.denoised import denoised_graphs, session_graph
from robustrec.models.graphs.item_item import mean_graph, similarity_graph, symmetrically_normalised
from robustrec.models.graphs.nearest import Neighbours, cosine_neighbours
from robustrec.models.graphs.principal import principal_graph
from robustrec.models.graphs.sparse import (
    Pattern,
    Sparse,
    SparseBuffer,
    chosen_rows,
    largest_entries,
    pattern_of,
    product,
    row_softmax,
    row_sums,
    sampled_products,
    sparse_of,
    transposed,
    weighted_sum,
)
from robustrec.models.graphs.user_item import Bipartite, Propagated, UserItemGraph, drawn_edges, normalised
from robustrec.models.graphs.user_user import co_occurrence, neighbour_average

__all__ = [
    "Bipartite",
    "Neighbours",
    "Pattern",
    "Propagated",
    "Sparse",
    "SparseBuffer",
    "UserGraph",
    "UserItemGraph",
    "chosen_rows",
    "co_occurrence",
    "cosine_neighbours",
    "denoised_graphs",
    "drawn_edges",
    "largest_entries",
    "mean_graph",
    "neighbour_average",
    "normalised",
    "pattern_of",
    "principal_graph",
    "product",
    "row_softmax",
    "row_sums",
    "sampled_products",
    "session_graph",
    "similarity_graph",
    "sparse_of",
    "symmetrically_normalised",
    "transposed",
    "weighted_sum",
]
