"""Published numbers of BM3, LATTICE, MGCN and SMORE."""

from __future__ import annotations

from typing import Any

import torch
from goldens import MODALITY, Golden, Numbers

from robustrec.models.contract import Batch, Features, Loss

EMBEDDINGS = {
    "E_u": "users",
    "E_i": "items",
    "predictor": "predictor",
    "proj_v": "projections.image",
    "proj_t": "projections.text",
}


def graph_of_the_first_pass(model: Any, numbers: Numbers) -> None:
    """Let a LATTICE differentiate the learned graph in its first forward pass only, as the published code does.

    Its flag is down after one pass, so that the second half of a mirrored first step already has the detached graph of
    the first half. Ours differentiates both halves, each on the graph of its own parameters.
    """
    plain, held = model.loss, []

    def loss(features: Features, batch: Batch) -> Loss:
        if held:
            return plain(features, batch._replace(epoch=held[0], step=1))
        with torch.no_grad():
            held.append(model.epoch_state(features, torch.Generator()))
        return plain(features, batch._replace(epoch=held[0], step=0))

    model.loss = loss


CASES = {
    "BM3": Golden("bm3", {"layers": 1, "reg_weight": 0.1, "dropout": 0.0}, EMBEDDINGS),
    "LATTICE": Golden(
        "lattice",
        {"item_neighbours": 3, "reg_weight": 1e-3, "nominal_batch": 8},
        EMBEDDINGS | {"modal_weight": "weights"},
        prepare=graph_of_the_first_pass,
    ),
    "MGCN": Golden(
        "mgcn",
        {"item_neighbours": 3, "contrast_weight": 0.01, "nominal_batch": 8},
        EMBEDDINGS
        | {
            "query_common.0.weight": "query.weight",
            "query_common.0.bias": "query.bias",
            "query_common.2.weight": "attention",
        }
        | {
            f"{stem}.0.{part}": f"{ours}.{part}"
            for stem, ours in (
                ("gate_v", "gates.image"),
                ("gate_t", "gates.text"),
                ("gate_image_prefer", "preferences.image"),
                ("gate_text_prefer", "preferences.text"),
            )
            for part in ("weight", "bias")
        },
    ),
    "SMORE": Golden(
        "smore",
        {"image_neighbours": 3, "text_neighbours": 6, "reg_weight": 1e-3, "nominal_batch": 8},
        EMBEDDINGS
        | {"filter_v": "filters.image", "filter_t": "filters.text", "filter_f": "fused_filter"}
        | {f"query_{letter}.2.weight": f"attention.{MODALITY[letter]}" for letter in "vt"}
        | {
            f"{stem}.0.{part}": f"{ours}.{part}"
            for stem, ours in (
                ("query_v", "queries.image"),
                ("query_t", "queries.text"),
                ("gate_v", "gates.image"),
                ("gate_t", "gates.text"),
                ("gate_f", "fused_gate"),
                ("gate_image_prefer", "preferences.image"),
                ("gate_text_prefer", "preferences.text"),
                ("gate_fusion_prefer", "fused_preference"),
            )
            for part in ("weight", "bias")
        },
        relative=1e-5,
    ),
}
