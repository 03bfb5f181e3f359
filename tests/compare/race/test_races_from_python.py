"""A race as a function: killed in the middle it resumes to the same result, and a model without features is told so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import robustrec as rr
from robustrec.comparison.race import run
from robustrec.errors import RobustrecError
from robustrec.training.trainer import NotFiniteError

TRAINING = {"batch_size": 128, "learning_rate": 0.01, "evaluate_every": 1, "patience": 4}


def raced(folder: Path, home: Path, model: str = "vbpr", **changes: Any) -> dict[str, Any]:
    """Return the report of a small race, without what differs from one run to the next."""
    options: dict[str, Any] = {
        "strategy": ["vanilla", "sam"],
        "seeds": 1,
        "epochs": 4,
        "budgets": ("gradients",),
        "finalists": 1,
        "selection_seeds": 1,
        "set": {"training": TRAINING, "strategy": {"rho": [0.01, 0.02, 0.05, 0.1]}},
        **changes,
    }
    found = rr.compare(race=True, model=model, dataset=folder, home=home, features="imported", device="cpu", **options)
    report = found.model_dump(mode="json")
    for each in report["models"]:
        each["trainings"] = [{k: v for k, v in one.items() if k != "seconds"} for one in each["trainings"]]
    return report


class Killed(Exception):
    """Stands for the end of the process."""


def test_a_race_killed_in_the_middle_resumes_to_the_same_result(tiny_folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    def record(stage: str, done: int, total: int, note: str = "", /) -> None:
        seen.append((stage, done))

    whole = raced(tiny_folder, tmp_path / "whole", progress=record)
    assert len({each["rung"] for each in whole["models"][0]["scores"]}) > 1, "it has several rungs"
    rungs = [place for place, (stage, _) in enumerate(seen) if stage == "race"]
    left = rungs[0] + 2  # in a training of the second rung, which resumes one of the first

    def kill(stage: str, done: int, total: int, note: str = "", /) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    with pytest.raises(Killed):
        raced(tiny_folder, tmp_path / "killed", progress=kill)
    again: list[str] = []
    found = raced(tiny_folder, tmp_path / "killed", progress=lambda stage, *_: again.append(stage))
    assert found == whole
    assert len(again) < len(seen), "what was done before is not done again"


def test_a_model_without_features_is_told_why_nothing_is_recommended(tiny_folder: Path, tmp_path: Path) -> None:
    report = raced(tiny_folder, tmp_path, model="bpr", strategy=["vanilla", "sam"], set={"training": TRAINING})
    (found,) = report["models"]
    assert found["chosen"] == ""
    (content,) = [each for each in found["requirements"] if each["name"] == "content use"]
    assert content["met"] is False
    assert content["text"] == "the scores read no item features, and a race recommends only an arm that uses content"


def test_an_arm_that_diverges_leaves_the_race_and_the_others_go_on(tiny_folder: Path, tmp_path: Path) -> None:
    rates = {**TRAINING, "learning_rate": [0.01, 1e30]}
    report = raced(tiny_folder, tmp_path, set={"training": rates}, finalists=2)
    (found,) = report["models"]
    lost = [each for each in found["scores"] if each["dropped"].startswith("diverged: ")]
    assert {each["arm"].partition("learning_rate=")[2].partition(" ")[0] for each in lost} == {"1e+30"}
    assert all(each["score"] is None for each in lost)
    assert all("learning_rate=0.01" in each["arm"] for each in found["gains"])
    assert {each["arm"].partition(" ")[0] for each in found["gains"]} == {"vanilla", "sam"}
    with pytest.raises(RobustrecError, match="training loss is nan"):  # nothing is left to compare with
        raced(tiny_folder, tmp_path, set={"training": {**TRAINING, "learning_rate": 1e30}})


def test_a_finalist_that_diverges_with_a_fresh_seed_is_compared_at_no_budget(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = run._finalist

    def diverging(plan: Any, arm: Any, budget: str, *rest: Any) -> Any:
        if arm.spec.strategy_name == "sam" and budget == "early-stop":
            raise NotFiniteError("training loss is nan in epoch 7", where="training", fix="lower the learning rate")
        return measured(plan, arm, budget, *rest)

    monkeypatch.setattr(run, "_finalist", diverging)
    report = raced(tiny_folder, tmp_path, set={"training": TRAINING}, budgets=("gradients", "early-stop"))
    (found,) = report["models"]
    assert {each["arm"].partition(" ")[0] for each in found["gains"]} == {"vanilla"}
    assert found["headline"].startswith("No recommendation: no arm is left to compare with vanilla")
    assert "diverged" in found["headline"]


def test_reports_and_a_race_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="race=True needs a model"):
        rr.compare(race=True)  # type: ignore[call-overload]
    with pytest.raises(RobustrecError, match="cannot be combined"):
        rr.compare([tmp_path / "a.json"], race=True, model="vbpr")  # type: ignore[call-overload]
    with pytest.raises(RobustrecError, match="unknown argument 'model'"):
        rr.compare([tmp_path / "a.json"], model="vbpr")  # type: ignore[call-overload]
    with pytest.raises(RobustrecError, match="one process"):
        rr.compare(race=True, model="vbpr", workers=2)
