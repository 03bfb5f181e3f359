"""Parameters of models trained with MMRec, brought into ours: names, and fine-tuned features as differences.

Such a file is the plain `state_dict` of a class of github.com/enoche/MMRec; it holds no graph, no setting and no
cached table. Mirror-Gradient's published files have the same layout.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.models.contract import Features

Names = Mapping[str, str]

_LETTERS = {"v": "image", "t": "text"}
_EMBEDDINGS = {"user_embedding.weight": "users", "item_id_embedding.weight": "items"}
_PROJECTIONS = {f"{m}_trs": f"projections.{m}" for m in ("image", "text")}
_TWO_LAYERS = {
    f"{letter}_gcn.{theirs}": f"encoders.{ours}.{modality}"
    for letter, modality in _LETTERS.items()
    for theirs, ours in (("preference", "preferences"), ("MLP", "first"), ("MLP_1", "second"))
}
_MMGCN = {
    f"{letter}_gcn.{theirs}{layer + 1}": f"channels.{modality}.layers.{layer}.{ours}"
    for letter, modality in _LETTERS.items()
    for layer in range(3)
    for theirs, ours in (("conv_embed_", "neighbours"), ("linear_layer", "own"), ("g_layer", "merge"))
}

NAMES: dict[str, Names] = {
    "bpr": {"user_embedding.weight": "users", "item_embedding.weight": "items"},
    "lightgcn": {"embedding_dict.user_emb": "users", "embedding_dict.item_emb": "items"},
    "vbpr": {"u_embedding": "users", "i_embedding": "items", "item_linear": "projection"},
    "slmrec": {
        "embedding_user.weight": "users",
        "embedding_item.weight": "items",
        "v_dense": "projections.image",
        "t_dense": "projections.text",
        "embedding_user_after_GCN": "fuse_users",
        "embedding_item_after_GCN": "fuse_items",
        "g_i_iv": "heads.id",
        "g_v_iv": "heads.image",
        "g_iv_iva": "heads.middle",
        "g_iva_ivat": "heads.id_to_text",
        "g_t_ivat": "heads.text",
    },
    "dualgnn": {**_TWO_LAYERS, "weight_u": "user_weights", "weight_i": "item_weights"},
    "dragon": {**_TWO_LAYERS, "weight_u": "user_weights"},
    "freedom": {**_EMBEDDINGS, **_PROJECTIONS},
    "bm3": {**_EMBEDDINGS, **_PROJECTIONS, "predictor": "predictor"},
    "lattice": {**_EMBEDDINGS, **_PROJECTIONS, "modal_weight": "weights"},
    "mgcn": {
        **_EMBEDDINGS,
        **_PROJECTIONS,
        "query_common.0": "query",
        "query_common.2.weight": "attention",
        "gate_v.0": "gates.image",
        "gate_t.0": "gates.text",
        "gate_image_prefer.0": "preferences.image",
        "gate_text_prefer.0": "preferences.text",
    },
    "smore": {
        **_EMBEDDINGS,
        **_PROJECTIONS,
        **{
            f"{name}_{letter}.{theirs}": f"{ours}.{modality}"
            for letter, modality in _LETTERS.items()
            for name, theirs, ours in (
                ("query", "0", "queries"),
                ("query", "2.weight", "attention"),
                ("gate", "0", "gates"),
            )
        },
        **{f"{m}_complex_weight": f"filters.{m}" for m in ("image", "text")},
        **{f"gate_{m}_prefer.0": f"preferences.{m}" for m in ("image", "text")},
        "fusion_complex_weight": "fused_filter",
        "gate_f.0": "fused_gate",
        "gate_fusion_prefer.0": "fused_preference",
    },
    "mmgcn": {**_MMGCN, "v_gcn.MLP": "channels.image.projection"},
    "grcn": {
        "id_gcn.id_embedding": "ids",
        "model_specific_conf": "confidences",
        **{f"{letter}_gcn.preference": f"preferences.{modality}" for letter, modality in _LETTERS.items()},
        **{f"{letter}_gcn.MLP": f"projections.{modality}" for letter, modality in _LETTERS.items()},
    },
    "lgmrec": {
        **_EMBEDDINGS,
        **{f"item_{m}_trs": f"projections.{m}" for m in ("image", "text")},
        **{f"{letter}_hyper": f"hyperedges.{modality}" for letter, modality in _LETTERS.items()},
    },
    "da-mrs": _EMBEDDINGS,
    "pgl": {**_PROJECTIONS, **{f"user_{m}.weight": f"preferences.{m}" for m in ("image", "text")}},
}
"""Our name of a model -> (their name of a tensor, or of a layer with weight and bias -> ours)."""

UNUSED: dict[str, tuple[str, ...]] = {
    "slmrec": ("g_a_iva",),
    "dualgnn": ("MLP_v", "MLP_t", "MLP_user", "v_preference", "t_preference", "result_embed", "weight_i"),
    "dragon": (
        *("MLP_v", "MLP_t", "MLP_user", "v_preference", "t_preference", "result_embed", "weight_i"),
        *("image_trs", "text_trs"),
    ),
    "da-mrs": ("image_trs", "text_trs"),
}
"""Entries of their files that reach no score: dead layers, second names of a tensor, cached tables."""

FEATURES = {"image_embedding.weight": "image", "text_embedding.weight": "text"}
"""Entries that hold the item features: fine-tuned by some models, the plain ones with others."""

TUNING = ("freedom", "bm3", "lattice", "mgcn", "smore", "pgl")
# Their copy of plain features may have gone through another precision.
SAME = 1e-5


def refuse_further(model: str, features: Features) -> None:
    """Refuse features of other modalities than image and text, which no class of MMRec reads.

    Raises:
        RobustrecError: there are such features.
    """
    further = [modality for modality in features if modality not in _LETTERS.values()]
    if further:
        raise _refused(
            f"a model of MMRec reads image and text, but {model} would read {' and '.join(further)} too",
            f"import the data without {' and '.join(f'{name}_feat.npy' for name in further)}:"
            " robustrec data import FOLDER --name NAME",
        )


def from_mmrec(
    model: str, state: Mapping[str, Tensor], features: Features, expected: Collection[str]
) -> dict[str, Tensor]:
    """Return a state_dict of MMRec's class by the names of ours.

    Args:
        model: our name of the model.
        state: their name -> tensor.
        features: the item features it was trained with, modality -> [I, D_m].
        expected: our names that the model has with its settings.

    Raises:
        RobustrecError: the model's scores do not follow from such a file, an entry is unknown, or the features in the
            file are not those at hand.
    """
    if model == "mmgcn":
        raise _refused(
            "an MMRec state_dict of MMGCN has no id and preference tables, because MMRec does not register them as"
            " parameters",
            "train it here: robustrec train --model mmgcn",
        )
    if model not in NAMES:
        raise _refused(f"{model} is not a model of MMRec", f"supported models of MMRec: {', '.join(sorted(NAMES))}")
    ours: dict[str, Tensor] = {}
    for name, value in state.items():
        if name in FEATURES:
            ours |= _features(model, FEATURES[name], value, features)
        elif (found := _ours(model, name)) in expected:
            ours[str(found)] = value
        elif not _unused(model, name):
            raise _refused(
                f"unknown parameter {name}: it is not a parameter of {model} in robustrec or in MMRec",
                "set --model to the trained model",
            )
    return ours


def _ours(model: str, name: str) -> str | None:
    names = NAMES[model]
    if name in names:
        return names[name]
    layer, _, part = name.rpartition(".")
    return f"{names[layer]}.{part}" if layer in names and part in ("weight", "bias") else None


def _unused(model: str, name: str) -> bool:
    return any(name == entry or name.startswith(f"{entry}.") for entry in UNUSED.get(model, ()))


def _features(model: str, modality: str, value: Tensor, features: Features) -> dict[str, Tensor]:
    """Return what training added to the features, nothing where the file holds the plain ones."""
    table = features.get(modality)
    if table is None or table.shape != value.shape:
        shape = "none" if table is None else str(tuple(table.shape))
        raise _refused(
            f"expected {modality} features of shape {tuple(value.shape)}, as in training, but got {shape}",
            "import the features it was trained with: robustrec data import FOLDER --name NAME",
        )
    change = value.to(torch.float32) - table.cpu()
    if model in TUNING:
        return {f"deltas.{modality}": change}
    if float(change.abs().max()) > SAME * float(table.abs().max()):
        raise _refused(
            f"the {modality} features in the file are not those of this data set (they differ by up to"
            f" {float(change.abs().max()):.3g})",
            "import the features it was trained with: robustrec data import FOLDER --name NAME",
        )
    return {}


def _refused(what: str, fix: str) -> RobustrecError:
    return RobustrecError(what, where="--checkpoint, a state_dict of MMRec", fix=fix)
