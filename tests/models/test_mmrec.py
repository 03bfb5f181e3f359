"""Parameters in MMRec's layout: the published numbers under MMRec's names give the published scores."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import golden_core
import golden_item_graph
import golden_modality_graph
import golden_recent
import golden_user_graph
import numpy as np
import pytest
import torch
from goldens import GOLDEN, Case, load
from torch import Tensor

from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.errors import RobustrecError
from robustrec.models import model_class
from robustrec.models.mmrec import NAMES, from_mmrec
from robustrec.runs.external import loaded_subject, read_state
from robustrec.runs.prepared import prepare
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.trained import build_model
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig

CASES = {
    **golden_core.CASES,
    **golden_user_graph.CASES,
    **golden_item_graph.CASES,
    **golden_modality_graph.CASES,
    **golden_recent.CASES,
}
IDS = {"user_embedding.weight": "E_u", "item_id_embedding.weight": "E_i"}
TABLES = {"image_embedding.weight": "X_v", "text_embedding.weight": "X_t"}
PROJECTIONS = {
    f"{theirs}_trs.{part}": f"proj_{letter}.{part}"
    for theirs, letter in (("image", "v"), ("text", "t"))
    for part in ("weight", "bias")
}


def layers(**stems: str) -> dict[str, str]:
    return {f"{theirs}.{part}": f"{ours}.{part}" for theirs, ours in stems.items() for part in ("weight", "bias")}


def two_layers() -> dict[str, str]:
    names = {}
    for letter in "vt":
        names[f"{letter}_gcn.preference"] = f"P_{letter}"
        for part in ("weight", "bias"):
            names[f"{letter}_gcn.MLP.{part}"] = f"mlp1_{letter}.{part}"
            names[f"{letter}_gcn.MLP_1.{part}"] = f"mlp2_{letter}.{part}"
    return names


DEAD = {f"{stem}.weight": f"{stem}.weight" for stem in ("MLP_v", "MLP_t", "MLP_user")}
WEIGHTS = {"weight_u": "w_user", "weight_i": "w_item_dead"}
# MMRec's name of a tensor -> the symbol that the published numbers have it under.
LAYOUTS: dict[str, dict[str, str]] = {
    "BPR": {"user_embedding.weight": "E_u", "item_embedding.weight": "E_i"},
    "LightGCN": {"embedding_dict.item_emb": "E_i", "embedding_dict.user_emb": "E_u"},
    "VBPR": {"u_embedding": "E_u", "i_embedding": "E_i", **layers(item_linear="proj_vt")},
    "SLMRec": {
        "embedding_user.weight": "E_u",
        "embedding_item.weight": "E_i",
        **layers(v_dense="proj_v", t_dense="proj_t"),
        **layers(embedding_item_after_GCN="fuse_item", embedding_user_after_GCN="fuse_user"),
        **layers(g_i_iv="ssl1_id", g_v_iv="ssl1_v", g_iv_iva="ssl2_mid", g_a_iva="ssl_unused"),
        **layers(g_iva_ivat="ssl3_id", g_t_ivat="ssl3_t"),
    },
    "DualGNN": {**WEIGHTS, **DEAD, **two_layers()},
    "DRAGON": {**WEIGHTS, **DEAD, **two_layers(), **TABLES, **PROJECTIONS},
    "FREEDOM": {**IDS, **TABLES, **PROJECTIONS},
    "BM3": {**IDS, **layers(predictor="predictor"), **TABLES, **PROJECTIONS},
    "LATTICE": {"modal_weight": "modal_weight", **IDS, **TABLES, **PROJECTIONS},
    "MGCN": {
        **IDS,
        **TABLES,
        **PROJECTIONS,
        "query_common.2.weight": "query_common.2.weight",
        **{
            f"{stem}.0.{part}": f"{stem}.0.{part}"
            for stem in ("query_common", "gate_v", "gate_t", "gate_image_prefer", "gate_text_prefer")
            for part in ("weight", "bias")
        },
    },
    "SMORE": {
        **IDS,
        **TABLES,
        **PROJECTIONS,
        **{f"query_{letter}.2.weight": f"query_{letter}.2.weight" for letter in "vt"},
        **{
            f"{theirs}_complex_weight": f"filter_{letter}"
            for theirs, letter in (("image", "v"), ("text", "t"), ("fusion", "f"))
        },
        **{
            f"{stem}.0.{part}": f"{stem}.0.{part}"
            for stem in (
                *("query_v", "query_t", "gate_v", "gate_t", "gate_f"),
                *("gate_image_prefer", "gate_text_prefer", "gate_fusion_prefer"),
            )
            for part in ("weight", "bias")
        },
    },
    "GRCN": {
        "model_specific_conf": "model_specific_conf",
        "id_gcn.id_embedding": "id_gcn.id_embedding",
        **{f"{letter}_gcn.preference": f"P_{letter}" for letter in "vt"},
        **{f"{letter}_gcn.MLP.{part}": f"mlp1_{letter}.{part}" for letter in "vt" for part in ("weight", "bias")},
    },
    "DAMRS": {**IDS, **PROJECTIONS},
    "PGL": {
        "user_image.weight": "P_v",
        "user_text.weight": "P_t",
        **TABLES,
        **PROJECTIONS,
    },
    "LGMRec": {
        **{name: name for name in ("item_image_trs", "v_hyper", "item_text_trs", "t_hyper")},
        **IDS,
        **TABLES,
    },
}


def published(name: str) -> tuple[Case, dict[str, Tensor]]:
    """Return a model's case, and its published parameters as MMRec's state_dict."""
    case = load(name, CASES[name])
    state = {theirs: torch.from_numpy(case.numbers[f"param/{symbol}"]) for theirs, symbol in LAYOUTS[name].items()}
    if name in ("DualGNN", "DRAGON"):  # what a file saved after training holds besides
        state |= {f"{letter}_preference": state[f"{letter}_gcn.preference"] for letter in "vt"}
    return case, state


def imported(case: Case, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return from_mmrec(case.golden.model, state, case.features, set(case.model.state_dict()))


def test_every_model_but_one_has_a_layout() -> None:
    assert {CASES[name].model for name in LAYOUTS} == set(NAMES) - {"mmgcn"}
    for name, layout in LAYOUTS.items():
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as archive:
            symbols = {key.removeprefix("param/") for key in archive if key.startswith("param/")}
        assert set(layout.values()) <= symbols
        assert {symbol for symbol in symbols - set(layout.values()) if "MLP_user.bias" not in symbol} == set(), name


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_published_parameters_give_the_published_scores(name: str, tmp_path: Path) -> None:
    case, state = published(name)
    torch.save(state, tmp_path / "model.pth")
    with torch.no_grad():
        for parameter in case.model.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    case.model.load_state_dict(imported(case, read_state(tmp_path / "model.pth")), strict=True)
    users, items = case.model.represent(case.features)
    scores = case.golden.score(users @ items.T)
    torch.testing.assert_close(scores, torch.from_numpy(case.numbers["scores"]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["FREEDOM", "BM3", "LATTICE", "MGCN", "SMORE", "PGL"])
def test_fine_tuned_tables_become_differences_from_the_features(name: str) -> None:
    case, state = published(name)
    state["image_embedding.weight"] = state["image_embedding.weight"] + 0.25
    assert torch.allclose(imported(case, state)["deltas.image"], torch.tensor(0.25))


@pytest.mark.parametrize("name", ["DRAGON", "LGMRec"])
def test_other_features_than_those_in_the_file_are_refused(name: str) -> None:
    case, state = published(name)
    state["text_embedding.weight"] = state["text_embedding.weight"] + 0.25
    with pytest.raises(RobustrecError, match="not those of this data set"):
        imported(case, state)
    state["text_embedding.weight"] = torch.zeros(4, 5)
    with pytest.raises(RobustrecError, match="expected text features"):
        imported(case, state)


def refused(name: str, change: dict[str, Tensor], features: Any = None) -> str:
    case, state = published(name)
    with pytest.raises(RobustrecError) as caught:
        from_mmrec(case.golden.model, state | change, features or case.features, set(case.model.state_dict()))
    return str(caught.value.what)


@pytest.mark.parametrize("name", ["dualgnn", "slmrec"])
def test_files_of_mmrec_do_not_fit_further_modalities(name: str, tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "three"
    shutil.copytree(tiny_folder, folder)
    np.save(folder / "audio_feat.npy", np.load(folder / "text_feat.npy"))
    dataset = load_dataset(str(folder), home=tmp_path)
    prepared = prepare(dataset, item_features(dataset, "imported", home=tmp_path), torch.device("cpu"))
    torch.save({"v_dense.weight": torch.ones(2, 2)}, tmp_path / "model.pth")
    spec = SubjectSpec(name, {}, TrainingConfig(), StrategyConfig(), seed=0, checkpoint=tmp_path / "model.pth")
    with pytest.raises(RobustrecError, match=f"reads image and text, but {name} would read audio too") as caught:
        loaded_subject(spec, prepared)
    assert "without audio_feat.npy" in caught.value.fix


def test_an_entry_of_another_model_is_refused() -> None:
    assert "g_i_iv" in refused("VBPR", {"g_i_iv.weight": torch.zeros(2, 2)})


def test_features_that_are_not_there_are_named() -> None:
    assert "image features" in refused("DRAGON", {}, {"text": load("DRAGON", CASES["DRAGON"]).features["text"]})


def test_mmgcn_says_why_its_file_is_not_enough() -> None:
    with pytest.raises(RobustrecError, match="has no id and preference tables"):
        from_mmrec("mmgcn", {}, {}, set())


def test_one_s_own_model_has_no_layout() -> None:
    with pytest.raises(RobustrecError, match="is not a model of MMRec"):
        from_mmrec("shop.models:Own", {}, {}, set())


@pytest.mark.parametrize(("model", "name"), [("dualgnn", "DualGNN"), ("grcn", "GRCN"), ("dragon", "DRAGON")])
def test_a_file_of_mmrec_is_scored_with_mmrec_s_equations(model: str, name: str, tiny: Any, tmp_path: Path) -> None:
    """Built at the size of another data set, trained a little, written under MMRec's names, and read back."""
    kind = model_class(model)
    options = {"mmrec_compat": True} if "mmrec_compat" in kind.Config.model_fields else {}
    spec = SubjectSpec(model, options, TrainingConfig(), StrategyConfig(), seed=4)
    trained = build_model(spec, tiny)
    ours = {value: key for key, value in _to_ours(name).items()}
    state = {ours[key]: value.clone() for key, value in trained.module().state_dict().items()}
    if name == "DRAGON":
        state |= {"image_embedding.weight": tiny.tables["image"], "text_embedding.weight": tiny.tables["text"]}
    path = tmp_path / "trained.pth"
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    subject = loaded_subject(replace(spec, model_options={}, origin="checkpoint", checkpoint=path), tiny)
    expected = trained.represent(tiny.tables)
    for found, wanted in zip(subject.represent()[:2], expected, strict=True):
        torch.testing.assert_close(found, wanted)
    assert ("mmrec_compat" in subject.record["source"]) == bool(options)


def _to_ours(name: str) -> dict[str, str]:
    """Return MMRec's name of each tensor that our model has -> our name, by the two tables of the tests."""
    golden, found = CASES[name], {}
    for theirs, symbol in LAYOUTS[name].items():
        stem, dot, suffix = symbol.partition(".")
        if symbol not in golden.dead and stem not in golden.dead:
            found[theirs] = golden.names[symbol] if symbol in golden.names else golden.names[stem] + dot + suffix
    return found
