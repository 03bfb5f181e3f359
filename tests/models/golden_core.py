"""Published numbers of BPR, LightGCN, VBPR and SLMRec."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from goldens import Golden

from robustrec.models.contract import Batch


def with_constants(model: Any, features: dict[str, torch.Tensor], batches: list[Batch]) -> list[Batch]:
    """Give the batches what the trainer computes once, as for a catalogue larger than a batch."""
    constants = model.training_constants(features, 0)
    assert constants.propagated
    return [batch._replace(constants=constants) for batch in batches]


CASES = {
    "BPR": Golden("bpr", {"reg_weight": 0.1}, {"E_u": "users", "E_i": "items"}),
    "LightGCN": Golden("lightgcn", {"layers": 3, "reg_weight": 0.01}, {"E_u": "users", "E_i": "items"}),
    "VBPR": Golden("vbpr", {"reg_weight": 0.1}, {"E_u": "users", "E_i": "items", "proj_vt": "projection"}),
    "SLMRec": Golden(
        "slmrec",
        {"layers": 3, "temperature": 0.2, "ssl_temp": 0.5, "ssl_alpha": 0.1},
        {
            "E_u": "users",
            "E_i": "items",
            "proj_v": "projections.image",
            "proj_t": "projections.text",
            "fuse_user": "fuse_users",
            "fuse_item": "fuse_items",
            "ssl1_id": "heads.id",
            "ssl1_v": "heads.image",
            "ssl2_mid": "heads.middle",
            "ssl3_id": "heads.id_to_text",
            "ssl3_t": "heads.text",
        },
        dead=frozenset({"ssl_unused"}),
        # A softmax over items does not see a bias that shifts all of them.
        zero_gradient=frozenset({"heads.image.bias", "heads.text.bias"}),
        score=torch.sigmoid,
        exempt=3,  # one entry is known, where the weight decay cancels the gradient
    ),
}
CASES["SLMRec with constants"] = replace(CASES["SLMRec"], published="SLMRec", batches=with_constants)
