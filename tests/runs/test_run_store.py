"""The key of a run follows everything its parameters depend on, and parameters are chosen on validation users."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from robustrec.evaluation.metrics import per_user_metrics
from robustrec.evaluation.ranking import rank
from robustrec.models.vbpr import VBPRConfig
from robustrec.runs import store, subjects
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.store import run_key
from robustrec.runs.trained import build_model
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig

SPEC = SubjectSpec("vbpr", {}, TrainingConfig(), StrategyConfig(), seed=0)
SPECS: dict[str, dict[str, Any]] = {
    "model": {"model": "slmrec"},
    "model options": {"model_options": {next(iter(VBPRConfig.model_fields)): 17}},
    "learning rate": {"training": TrainingConfig(learning_rate=0.5)},
    "batch size": {"training": TrainingConfig(batch_size=7)},
    "patience": {"training": TrainingConfig(patience=2)},
    "strategy": {"strategy": StrategyConfig(name="sgbd")},
    "rho": {"strategy": StrategyConfig(rho=0.2)},
    "seed": {"seed": 1},
    "noise in training": {"training_noise": "sigma2=1e-06 draw 0"},
}


@pytest.mark.parametrize("what", SPECS)
def test_the_key_follows_what_is_trained(what: str, tiny: Prepared) -> None:
    assert run_key(replace(SPEC, **SPECS[what]), tiny) != run_key(SPEC, tiny)
    assert run_key(replace(SPEC), tiny) == run_key(SPEC, tiny)


def test_the_key_follows_data_features_and_device(tiny: Prepared) -> None:
    assert tiny.features is not None
    data = replace(tiny, dataset=replace(tiny.dataset, digest="another"))
    features = SimpleNamespace(digest="another")
    others = {
        run_key(SPEC, data),
        run_key(SPEC, replace(tiny, features=features)),  # type: ignore[arg-type]
        run_key(SPEC, replace(tiny, device=torch.device("meta"))),
    }
    assert len(others | {run_key(SPEC, tiny)}) == 4
    without = replace(SPEC, model="bpr")
    assert run_key(without, replace(tiny, features=features)) == run_key(without, tiny)  # type: ignore[arg-type]


def test_the_key_follows_code_and_torch(tiny: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_key(SPEC, tiny)
    monkeypatch.setattr(store.torch, "__version__", "0.0")
    assert run_key(SPEC, tiny) != before
    monkeypatch.undo()
    monkeypatch.setattr(store, "TRAINED_BY", {"another": 1})
    assert run_key(SPEC, tiny) != before


def test_parameters_are_chosen_by_the_users_of_validation(tiny: Prepared) -> None:
    model = build_model(SPEC, tiny)
    found = subjects.validation_metric(model, tiny.tables, tiny, "ndcg@20")()
    values = []
    for split in (tiny.validation, tiny.test):
        lists = rank(model.represent(tiny.tables), split.users, split.masked, k=20)
        values.append(float(np.mean(per_user_metrics(lists, split.relevant, ["ndcg@20"])["ndcg@20"])))
    assert found == pytest.approx(values[0], rel=1e-12)
    assert values[0] != pytest.approx(values[1], rel=1e-3)
