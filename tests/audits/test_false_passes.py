"""Whole audits of what used to end in "PASS, drift exactly 0 %": each ends in an error that says why."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustrec.audits import run as runner
from robustrec.audits.noise import measure as noise_measure
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import Plan, make_plan
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.models.dragon import DRAGON
from robustrec.results.report import Report
from robustrec.runs import subjects
from robustrec.runs.trained import TrainedSubject

SUITE = """
schema_version = 1
name = "short"
metrics = ["ndcg@20"]
stability = ["changed@20"]
compare_with = "vanilla"
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
sigma2 = [SIGMA2]
draws = 2
EXTRA
[[gates]]
name = "small drift"
select = { audit = "noise", metric = "ndcg@20" }
quantity = "drift"
min = -0.9
"""


def _plan(folder: Path, home: Path, *, sigma2: str = "1e-2", extra: str = "", **settings: Any) -> Plan:
    home.mkdir(parents=True, exist_ok=True)
    (home / "suite.toml").write_text(SUITE.replace("SIGMA2", sigma2).replace("EXTRA", extra))
    overrides = {"training": {"max_epochs": 2, "learning_rate": 0.01, "batch_size": 128}}
    options = {"model": ("vbpr",), "strategy": ("vanilla",), "device": "cpu", "set": overrides, **settings}
    return make_plan(Settings(home=home, dataset=str(folder), suite=str(home / "suite.toml"), **options))


def _report(plan: Plan) -> Report:
    return make_report(plan, runner.measure(plan), command=["robustrec", "audit"])[0]


def _with_features(folder: Path, target: Path, change: Any) -> Path:
    shutil.copytree(folder, target)
    for path in target.glob("*_feat.npy"):
        np.save(path, change(np.load(path)).astype(np.float32))
    return target


def _audits(report: Report) -> set[str]:
    return {row.audit for row in report.findings}


def test_a_sound_model_passes(tiny_folder: Path, tmp_path: Path) -> None:
    report = _report(_plan(tiny_folder, tmp_path))
    assert report.verdict == "pass"
    assert all("training reached max_epochs" in each for each in report.warnings)


@pytest.mark.parametrize("extra", ["", 'break_point = { metric = "ndcg@20", draws = 1, steps = 1, sigma2_max = 1e-6 }'])
def test_features_so_large_that_noise_is_rounded_away_are_an_error(
    extra: str, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = _with_features(tiny_folder, tmp_path / "large", lambda table: table * 1e6)
    amounts = {"sigma2": "1e-6"} if not extra else {"sigma2": "1e6"}
    report = _report(_plan(folder, tmp_path, extra=extra, **amounts))
    assert report.verdict == "error"
    (status,) = [each for each in report.statuses if each.audit == "noise"]
    assert "of the image feature entries unchanged" in status.message
    assert "relative" in status.message
    assert _audits(report) == {"clean", "content_use"}


def test_noise_below_what_float32_can_add_is_an_error(tiny_folder: Path, tmp_path: Path) -> None:
    report = _report(_plan(tiny_folder, tmp_path, sigma2="1e-30"))
    assert report.verdict == "error"
    assert "noise sigma2=1e-30 leaves 100.0%" in report.verdict_reason


def test_noise_in_training_that_is_rounded_away_is_an_error(tiny_folder: Path, tmp_path: Path) -> None:
    report = _report(_plan(tiny_folder, tmp_path, extra="training = { sigma2 = [1e-30] }"))
    assert report.verdict == "error"
    assert "noise trained sigma2=1e-30 leaves 100.0%" in report.verdict_reason


def test_partly_rounded_noise_is_a_warning(tiny_folder: Path, tmp_path: Path) -> None:
    folder = _with_features(tiny_folder, tmp_path / "large", lambda table: table * 1e3)
    report = _report(_plan(folder, tmp_path, sigma2="1e-9"))
    assert report.verdict == "pass"
    assert any("float32 rounding leaves up to" in each for each in report.warnings)


def test_noise_that_moves_no_list_is_a_warning(tiny_folder: Path, tmp_path: Path) -> None:
    report = _report(_plan(tiny_folder, tmp_path, sigma2="1e-12"))
    assert any("no noise of the audit changed any list" in each for each in report.warnings)


def test_features_of_zeros_are_refused_before_training(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _with_features(tiny_folder, tmp_path / "zero", lambda table: table * 0)
    plan = _plan(folder, tmp_path)

    def trained(*_args: Any, **_options: Any) -> Any:
        raise AssertionError("it was trained")

    monkeypatch.setattr(subjects, "train", trained)
    with pytest.raises(RobustrecError, match="all 60 rows of the image features are zero") as caught:
        runner.measure(plan)
    assert "item features" in caught.value.where


def test_some_rows_of_zeros_are_counted_in_a_warning(tiny_folder: Path, tmp_path: Path) -> None:
    def three(table: Any) -> Any:
        table[[0, 5, 9]] = 0
        return table

    report = _report(_plan(_with_features(tiny_folder, tmp_path / "rows", three), tmp_path))
    assert any("3 of 60 rows of the image features are zero" in each for each in report.warnings)


def test_a_strategy_without_effect_is_an_error_that_names_both(tiny_folder: Path, tmp_path: Path) -> None:
    """A radius that float32 rounds away, and a second half that moves nothing."""
    tiny = {"strategy": {"rho": 1e-30, "reading": "sgd"}}
    plan = _plan(tiny_folder, tmp_path, strategy=("vanilla", "sam"))
    plan = _plan(tiny_folder, tmp_path, strategy=("vanilla", "sam"), set={**plan.settings.set, **tiny})
    report = _report(plan)
    assert report.verdict == "error"
    messages = {each.subject.strategy: each.message for each in report.statuses if each.audit == "noise"}
    assert "parameters are equal to those of vbpr/sam/" in messages["vanilla"]
    assert "parameters are equal to those of vbpr/vanilla/" in messages["sam"]
    assert _audits(report) == {"clean", "content_use"}


def test_a_graph_frozen_by_mistake_is_an_error(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = _plan(tiny_folder, tmp_path, model=("dragon",))
    whole, first = DRAGON.item_graphs, []

    def frozen(self: DRAGON, features: Any, *rest: Any) -> Any:
        first.append(whole(self, features, *rest))
        return first[0]

    monkeypatch.setattr(DRAGON, "item_graphs", frozen)
    report = _report(plan)
    assert report.verdict == "error"
    assert "graphs are frozen" in report.verdict_reason


def test_a_cache_that_fills_during_the_audits_is_an_error_and_leaves_no_rows(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two strategies is live for the first draw, and then scores what it represented last."""
    plan = _plan(tiny_folder, tmp_path, strategy=("vanilla", "mirror"))
    represent, held = TrainedSubject.represent, []

    def cached(self: TrainedSubject, features: Any = None, **options: Any) -> Any:
        if self.subject.strategy != "vanilla" or features is None:
            return represent(self, features, **options)
        if not held or held[0] == "begin":
            held[:] = [represent(self, features, **options)] if held else []
            return held[0] if held else represent(self, features, **options)
        return held[0]

    run_task = noise_measure.run_task

    def begin(*args: Any) -> None:
        held[:] = ["begin"]
        run_task(*args)

    monkeypatch.setattr(TrainedSubject, "represent", cached)
    monkeypatch.setattr(noise_measure, "run_task", begin)
    report = _report(plan)
    assert report.verdict == "error"
    assert "after the audits" in report.verdict_reason
    ended = {(each.subject.strategy, each.audit): each.status for each in report.statuses}
    assert ended == {
        ("vanilla", "reach"): "error",
        ("vanilla", "noise"): "error",
        ("mirror", "reach"): "ok",
        ("mirror", "noise"): "ok",
    }
    left = {(row.subject.strategy, row.audit, row.reference) for row in report.findings if row.audit != "clean"}
    assert left == {("mirror", "noise", "clean"), ("mirror", "content_use", "clean")}
