"""Trainings with bf16 inputs: where they are refused, their key and note, and that only steps are rounded."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.models.dense import are_bf16
from robustrec.models.slmrec import SLMRec
from robustrec.runs.plan import subject_specs
from robustrec.runs.precision import check_device, precision_notes
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.store import run_key
from robustrec.runs.subjects import obtain_subject, validation_metric
from robustrec.runs.trained import build_model
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.trainer import train

BF16 = {"training": {"precision": "bf16"}}
SPEC = SubjectSpec("slmrec", {}, TrainingConfig(precision="bf16", max_epochs=1), StrategyConfig(), seed=0)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"model": ("bpr",)}, "no effect on bpr"),
        ({"model": ("slmrec", "lightgcn")}, "no effect on lightgcn"),
        ({"model": ("slmrec",), "device": "cpu"}, "needs a GPU"),
    ],
)
def test_refused_before_any_work(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(RobustrecError, match=what) as error:
        subject_specs(Settings(set=BF16, **settings), "sample")
    assert "training.precision=float32" in str(error.value.fix)


def test_refused_on_the_device_that_auto_finds(tiny: Any, tmp_path: Any) -> None:
    assert tiny.device.type == "cpu"
    with pytest.raises(RobustrecError, match="needs a GPU"):
        obtain_subject(SPEC, tiny, home=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"digests"}, "nothing was trained"


@pytest.mark.parametrize(("capability", "works"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_needs_bf16(capability: tuple[int, int], works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    if works:
        check_device(SPEC, torch.device("cuda"))
    else:
        with pytest.raises(RobustrecError, match=r"8\.0 or later, but cuda has 7\.5"):
            check_device(SPEC, torch.device("cuda"))


def test_another_key_and_a_note(tiny: Any) -> None:
    plain = SubjectSpec("slmrec", {}, TrainingConfig(max_epochs=1), StrategyConfig(), seed=0)
    assert run_key(SPEC, tiny) != run_key(plain, tiny)
    assert precision_notes([plain]) == []
    (note,) = precision_notes([plain, SPEC, SPEC])
    assert note.startswith("slmrec is trained with bf16 inputs")


def test_only_steps_are_rounded_and_parameters_stay_float32(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(SPEC, tiny)
    seen: dict[str, set[bool]] = {"loss": set(), "represent": set()}
    for name, found in seen.items():
        plain = getattr(SLMRec, name)

        def watched(self: Any, *given: Any, found: set[bool] = found, plain: Any = plain) -> Any:
            found.add(are_bf16())
            return plain(self, *given)

        monkeypatch.setattr(SLMRec, name, watched)
    validate = validation_metric(model, tiny.tables, tiny, "recall@5")
    train(model, tiny.tables, tiny.positives, validate, config=SPEC.training, strategy_config=SPEC.strategy, seed=0)
    assert seen == {"loss": {True}, "represent": {False}}
    assert all(parameter.dtype == torch.float32 for parameter in model.module().parameters())
