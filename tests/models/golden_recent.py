"""Published numbers of PGL, in both of its modes, and of DA-MRS."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from goldens import GOLDEN, Golden, Numbers
from torch import Tensor

from robustrec.models.contract import Batch
from robustrec.models.graphs import SparseBuffer, normalised, sparse_of
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


def with_the_published_sessions(model: Any, numbers: Numbers) -> None:
    """Put the published session graph into a model: of items with as many users in common it took others."""
    dense = torch.from_numpy(numbers["item_graph_session"])
    rows, columns = dense.nonzero().T
    graph = SparseBuffer(sparse_of(rows, columns, dense[rows, columns], (len(dense), len(dense))))
    for name, buffer in graph.named_buffers():
        model.session.register_buffer(name, buffer, persistent=False)


CASES = {
    "PGL": Golden("pgl", PGL_OPTIONS, PGL_NAMES, batches=with_the_published_edges, relative=1e-5),
    "DAMRS": Golden(
        "da-mrs",
        {"item_neighbours": 3, "pseudo_positives": 3, "neighbour_weight": 0.05},
        {"E_u": "users", "E_i": "items"},
        dead=frozenset({"proj_v", "proj_t"}),
        prepare=with_the_published_sessions,
        relative=1e-5,
    ),
}
GLOBAL = Golden("pgl", {**PGL_OPTIONS, "mode": "global"}, PGL_NAMES, published="PGL")
