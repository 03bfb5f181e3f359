"""Published numbers of MMGCN, GRCN and LGMRec."""

from __future__ import annotations

from typing import Any

from goldens import Golden, Numbers

CHANNELS = (("v", "image"), ("t", "text"))
LAYERS = range(3)


def mmgcn_names() -> dict[str, str]:
    """Return MMRec's names of MMGCN's tensors -> ours."""
    names = {"id_embedding": "ids", "mlp1_v": "channels.image.projection"}
    for letter, modality in CHANNELS:
        names[f"P_{letter}"] = f"channels.{modality}.preferences"
        for layer in LAYERS:
            ours = f"channels.{modality}.layers.{layer}"
            names[f"{letter}_gcn.conv_embed_{layer + 1}.weight"] = f"{ours}.neighbours"
            for part in ("weight", "bias"):
                names[f"{letter}_gcn.linear_layer{layer + 1}.{part}"] = f"{ours}.own.{part}"
                names[f"{letter}_gcn.g_layer{layer + 1}.{part}"] = f"{ours}.merge.{part}"
    return names


def frozen_tables(model: Any, numbers: Numbers) -> None:
    """Have the constants that are saved beside the parameters loaded with them."""
    for key in [key for key in numbers if key.startswith("frozen/")]:
        numbers["param/" + key.removeprefix("frozen/")] = numbers[key]


CASES = {
    "MMGCN": Golden("mmgcn", {"reg_weight": 0.01, "mmrec_compat": True}, mmgcn_names(), prepare=frozen_tables),
    "GRCN": Golden(
        "grcn",
        {"reg_weight": 0.01, "mmrec_compat": True},
        {
            "id_gcn.id_embedding": "ids",
            "model_specific_conf": "confidences",
            "P_v": "preferences.image",
            "P_t": "preferences.text",
            "mlp1_v": "projections.image",
            "mlp1_t": "projections.text",
        },
    ),
    "LGMRec": Golden(
        "lgmrec",
        {"keep_rate": 1.0},
        {
            "E_u": "users",
            "E_i": "items",
            "item_image_trs": "projections.image",
            "item_text_trs": "projections.text",
            "v_hyper": "hyperedges.image",
            "t_hyper": "hyperedges.text",
        },
        # The published tables of features are there, and are not trained.
        dead=frozenset({"X_v", "X_t"}),
    ),
}
