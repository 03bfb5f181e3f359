"""Published numbers of DualGNN, DRAGON and FREEDOM; the first two on the published user graph."""

from __future__ import annotations

from typing import Any

import torch
from goldens import Golden, Numbers

from robustrec.models.graphs import SparseBuffer, sparse_of

ENCODERS = {
    f"{part}_{letter}": f"encoders.{name}.{modality}"
    for letter, modality in (("v", "image"), ("t", "text"))
    for part, name in (("P", "preferences"), ("mlp1", "first"), ("mlp2", "second"))
}


def published_user_graph(model: Any, numbers: Numbers) -> None:
    """Put the published neighbours and weights [U, 3] into a model: among users as much alike it took others."""
    index, weights = torch.from_numpy(numbers["ug_index"]), torch.from_numpy(numbers["ug_weight"])
    rows = torch.arange(len(index)).repeat_interleave(index.shape[1])
    graph = SparseBuffer(sparse_of(rows, index.reshape(-1), weights.reshape(-1), (len(index), len(index))))
    for name, buffer in graph.named_buffers():
        model.neighbours.register_buffer(name, buffer, persistent=False)


CASES = {
    "DualGNN": Golden(
        "dualgnn",
        {"user_neighbours": 3, "reg_weight": 0.01, "mmrec_compat": True},
        {**ENCODERS, "w_user": "user_weights", "w_item_dead": "item_weights"},
        dead=frozenset({"MLP_v", "MLP_t", "MLP_user"}),
        prepare=published_user_graph,
    ),
    "DRAGON": Golden(
        "dragon",
        {"user_neighbours": 3, "item_neighbours": 3, "reg_weight": 0.01},
        {**ENCODERS, "w_user": "user_weights"},
        dead=frozenset({"w_item_dead", "MLP_v", "MLP_t", "MLP_user", "X_v", "X_t", "proj_v", "proj_t"}),
        prepare=published_user_graph,
    ),
    "FREEDOM": Golden(
        "freedom",
        {"item_neighbours": 3, "pruning": 0.0, "reg_weight": 1e-3},
        {"E_u": "users", "E_i": "items", "proj_v": "projections.image", "proj_t": "projections.text"},
    ),
}
