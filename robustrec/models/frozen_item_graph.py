"""Item graphs of the raw features: one average graph (DRAGON, FREEDOM), or one per modality (LATTICE, MGCN, SMORE)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from robustrec.models.configs import ItemGraphConfig
from robustrec.models.contract import Features, FindNeighbours, Graphs, feature_table
from robustrec.models.graphs import (
    Sparse,
    mean_graph,
    product,
    similarity_graph,
    symmetrically_normalised,
    weighted_sum,
)


def frozen_item_graph(
    features: Features,
    widths: Mapping[str, int],
    n_items: int,
    config: ItemGraphConfig,
    neighbours: FindNeighbours,
) -> Graphs:
    """Return {"items": Σ_m w_m G_m}, or the graph of the only modality.

    For image and text it is α G_image + (1-α) G_text (arXiv 2211.06924, section 3.1); for other modalities the weights
    w_m are given or equal.

    Row i of G_m is 1/(k + 1e-7) at the k nearest items of i by cosine, including i; it is not symmetric.

    Args:
        features: raw item features.
        widths: modality -> D_m of the modalities to read.
        n_items: I.
        config: k and the weights.
        neighbours: function that finds the nearest neighbours.
    """
    tables = [feature_table(features, m, n_items, width) for m, width in widths.items()]
    parts = [mean_graph(neighbours(table, config.item_neighbours), dtype=table.dtype) for table in tables]
    if len(parts) == 1:
        return {"items": parts[0]}
    return {"items": weighted_sum(config.graph_weights(tuple(widths)), parts)}


def cosine_item_graphs(
    features: Features,
    widths: Mapping[str, int],
    n_items: int,
    k: int | Mapping[str, int],
    neighbours: FindNeighbours,
) -> dict[str, Sparse]:
    """Return the graph of each modality: cosines at the k nearest items, symmetrically normalized.

    Source: Zhang et al., MM 2021, arXiv 2104.09036. The arguments are those of `frozen_item_graph`; k may differ by
    modality.
    """
    raw = {m: feature_table(features, m, n_items, width) for m, width in widths.items()}
    nearest = {m: neighbours(x, k if isinstance(k, int) else k[m]) for m, x in raw.items()}
    return {m: symmetrically_normalised(similarity_graph(nearest[m], x)) for m, x in raw.items()}


def propagated(graph: Sparse, x: Tensor, layers: int) -> Tensor:
    """Return G^L x for x on the items [I, d]."""
    for _ in range(layers):
        x = product(graph, x)
    return x
