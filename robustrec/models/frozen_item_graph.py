"""The item graph of DRAGON and FREEDOM: nearest neighbours by raw features, unweighted, images and texts mixed."""

from __future__ import annotations

from torch import Tensor

from robustrec.models.contract import Features, FindNeighbours, Graphs
from robustrec.models.graphs import Sparse, mean_graph, product, weighted_sum


def frozen_item_graph(
    features: Features, modalities: tuple[str, ...], k: int, image_weight: float, neighbours: FindNeighbours
) -> Graphs:
    """Return {"items": α G_image + (1-α) G_text}, or the graph of the one modality there is (spec 4.2).

    Row i of G_m has 1/(k + 1e-7) at the k items nearest to i by cosine, i itself included; it is not symmetric.

    Args:
        features: raw item features.
        modalities: those to read, of "image" and "text".
        k: neighbours.
        image_weight: α.
        neighbours: finds them.
    """
    weights = {"image": image_weight, "text": 1 - image_weight}
    parts = [mean_graph(neighbours(features[m], k), dtype=features[m].dtype) for m in modalities]
    if len(parts) == 1:
        return {"items": parts[0]}
    return {"items": weighted_sum([weights[m] for m in modalities], parts)}


def propagated(graph: Sparse, x: Tensor, layers: int) -> Tensor:
    """Return G^L x for x on the items [I, d]."""
    for _ in range(layers):
        x = product(graph, x)
    return x
