"""Published numbers of MENTOR, whose loss has a term without gradient that ours leaves out."""

from __future__ import annotations

from typing import Any

import torch
from goldens import MODALITY, Golden, Numbers
from torch import Tensor
from torch.nn import functional

from robustrec.models.contract import Batch, Features, Loss

MASK_WEIGHT = 1.5
LAYERS = (("P", "preferences"), ("mlp1", "first"), ("mlp2", "second"))
NAMES = {f"{part}_{letter}": f"encoders.{ours}.{MODALITY[letter]}" for letter in "vt" for part, ours in LAYERS}
NAMES |= {f"{part}_id": f"guide.{ours}.ids" for part, ours in LAYERS}
NAMES |= {
    f"{part}_{letter}_n{view + 1}": f"views.{view}.{ours}.{MODALITY[letter]}"
    for view in range(2)
    for letter in "vt"
    for part, ours in LAYERS
}


def masked(x: Tensor, numbers: Numbers, kept: Tensor | None = None) -> Tensor:
    """Return 1 - the mean cosine of vectors [n, d] after dropout and their published transform."""
    weight, bias = (torch.from_numpy(numbers[f"param/mlp_mask.{part}"]) for part in ("weight", "bias"))
    dropped = x if kept is None else x * kept / (1 - float(numbers["noisy/rate"]))
    return 1 - functional.cosine_similarity(dropped, functional.linear(x, weight, bias)).mean()


def with_the_constant(model: Any, numbers: Numbers, kept: tuple[Tensor | None, Tensor | None] = (None, None)) -> None:
    """Have the loss include the published term of masked features."""
    plain = model.loss

    def loss(features: Features, batch: Batch) -> Loss:
        with torch.no_grad():
            users, items = model.represent(features)
            constant = MASK_WEIGHT * (masked(users, numbers, kept[0]) + masked(items, numbers, kept[1]))
        found = plain(features, batch)
        return Loss(found.total + constant, {**found.terms, "mask": constant})

    model.loss = loss


CASES = {
    "MENTOR": Golden(
        "mentor",
        {"item_neighbours": 3, "reg_weight": 0.01, "graph_weight": 0.01},
        {**NAMES, "w_user": "user_weights", "E_i": "guide_items"},
        dead=frozenset({"w_item_dead", "mlp_mask", "X_v", "proj_v", "X_t", "proj_t", "MLP_user"}),
        prepare=with_the_constant,
        relative=1e-5,
    ),
}
