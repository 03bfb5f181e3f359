"""The item graph of DRAGON and FREEDOM: unweighted k-nearest-neighbour graphs of image and text features, averaged."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from robustrec.models.contract import Features, FindNeighbours, Graphs, feature_table
from robustrec.models.graphs import Sparse, mean_graph, product, weighted_sum


def frozen_item_graph(
    features: Features,
    widths: Mapping[str, int],
    n_items: int,
    *,
    k: int,
    image_weight: float,
    neighbours: FindNeighbours,
) -> Graphs:
    """Return {"items": α G_image + (1-α) G_text}, or the graph of the only modality (arXiv 2211.06924).

    Row i of G_m is 1/(k + 1e-7) at the k nearest items of i by cosine, including i; it is not symmetric.

    Args:
        features: raw item features.
        widths: modality -> D_m of the modalities to read ("image", "text").
        n_items: I.
        k: neighbours.
        image_weight: α.
        neighbours: function that finds the nearest neighbours.
    """
    tables = [feature_table(features, m, n_items, width) for m, width in widths.items()]
    parts = [mean_graph(neighbours(table, k), dtype=table.dtype) for table in tables]
    if len(parts) == 1:
        return {"items": parts[0]}
    shares = {"image": image_weight, "text": 1 - image_weight}
    return {"items": weighted_sum([shares[m] for m in widths], parts)}


def propagated(graph: Sparse, x: Tensor, layers: int) -> Tensor:
    """Return G^L x for x on the items [I, d]."""
    for _ in range(layers):
        x = product(graph, x)
    return x
