"""Published numbers of PGL, in both of its modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from goldens import GOLDEN, Golden
from torch import Tensor

from robustrec.models.contract import Batch
from robustrec.models.graphs import normalised
from robustrec.models.pgl import OFFSET

PGL_NAMES = {
    "P_v": "preferences.image",
    "P_t": "preferences.text",
    "proj_v": "projections.image",
    "proj_t": "projections.text",
}
PGL_OPTIONS = {"item_neighbours": 3, "contrast_weight": 0.05, "dropout": 0.0}


def with_the_published_edges(model: Any, features: dict[str, Tensor], batches: list[Batch]) -> list[Batch]:
    """Give the batches of the epoch the graph of the edges that the published code drew for it."""
    with np.load(GOLDEN / "PGL.npz", allow_pickle=False) as archive:
        users, items = torch.from_numpy(archive["kept_edges"])
    drawn = normalised(users, items, model.graph.shape, offset=OFFSET)
    return [batch._replace(epoch=drawn) for batch in batches]


CASES = {"PGL": Golden("pgl", PGL_OPTIONS, PGL_NAMES, batches=with_the_published_edges, relative=1e-5)}
GLOBAL = Golden("pgl", {**PGL_OPTIONS, "mode": "global"}, PGL_NAMES, published="PGL")
