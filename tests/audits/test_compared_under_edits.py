"""Strategies compared under merchant edits, on a tiny shop; and planted strategies that are none."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from merchant_shop import make_shop

from robustrec.audits.noise.condition import NoiseCondition
from robustrec.comparison import measuring
from robustrec.comparison.edits import edited_catalog
from robustrec.comparison.rows import NO_DIFFERENCE
from robustrec.comparison.run import Effort, plan_comparison, run_comparison
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.runs.subjects import obtain_subject

EFFORT = Effort((NoiseCondition(0.3, relative=True),), draws=4, triples=40, probes=2, steps=3, edit_draws=4)


@pytest.fixture(scope="module")
def shop(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("compared")
    return make_shop(folder / "shop", tiny_folder / "tiny.inter"), folder / "home"


def _compared(shop: tuple[Path, Path], effort: Effort = EFFORT, **given: Any) -> Any:
    training = {"training": {"max_epochs": 4, "learning_rate": 0.01, "batch_size": 128}}
    options = {"strategy": ("vanilla", "sgbd"), "device": "cpu", "features": "basic", "seeds": 3, "set": training}
    settings = Settings(home=shop[1], model=("vbpr",), dataset=str(shop[0]), **options | given)
    return run_comparison(plan_comparison(settings, 4, budgets=("epochs",)), effort, command=["robustrec"])


def test_drift_lists_and_exposure_are_measured_under_edits(shop: tuple[Path, Path]) -> None:
    found = _compared(shop)
    rows = {(row.strategy, row.measure): row for row in found.rows}
    assert found.edit_draws == 4
    for edit in ("truncation", "wrong_picture"):
        where = f"edit={edit} severity=3 share=0.1"
        for name in (f"ndcg@20 drift {where}", f"exposure@20_edited drift {where}"):
            assert rows["sgbd", name].better == "nearer to 0"
            assert rows["sgbd", name].conclusion in ("drifts less", "drifts more", NO_DIFFERENCE)
        for name in (f"overlap@20 under {where}", f"rbo@20 under {where}"):
            assert 0 < rows["sgbd", name].value.estimate < 1, "an edit moved lists"
            assert rows["sgbd", name].better == "higher"
        shares = rows["vanilla", f"exposure@20_edited drift {where}"].shares
        assert set(shares) == {"seed", "draw", "seed × draw"}, "other users are concerned in every draw"
    again = edited_catalog(*_loaded(shop), edits=("wrong_picture",), draws=2)
    assert [len(each) for each in again.draws.values()] == [2]


def _loaded(shop: tuple[Path, Path]) -> Any:
    from robustrec.datasets.registry import load_dataset
    from robustrec.encoders.features import item_features

    dataset = load_dataset(str(shop[0]), home=shop[1])
    settings = Settings(home=shop[1], dataset=str(shop[0]), features="basic")
    return dataset, item_features(dataset, "basic", home=shop[1]), settings


def _plain(spec: Any) -> Any:
    return replace(spec, strategy=spec.strategy.model_copy(update={"name": "vanilla"}))


def test_an_unknown_edit_is_refused(shop: tuple[Path, Path]) -> None:
    with pytest.raises(RobustrecError, match="glitter"):
        _compared(shop, EFFORT._replace(edits=("glitter",)))


def test_a_strategy_that_only_widens_margins_differs_in_no_measure(
    shop: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted sgbd is plain training with every score multiplied by four."""

    def planted(spec: Any, prepared: Any, **given: Any) -> Any:
        own = obtain_subject(spec, prepared, **given)
        if spec.strategy_name == "vanilla":
            return own
        plain = obtain_subject(_plain(spec), prepared, **given)
        model: Any = copy.deepcopy(plain.model)
        with torch.no_grad():
            model.users.mul_(4.0)
        return replace(own, model=model)

    monkeypatch.setattr(measuring, "obtain_subject", planted)
    found = _compared(shop)
    ours = [row for row in found.rows if row.reference]
    assert {row.conclusion for row in ours} == {"", NO_DIFFERENCE}
    for row in ours:
        if row.better == "lower":
            assert row.ratio.estimate == pytest.approx(1.0, rel=1e-3), row.measure
    raw = [row for row in ours if row.better == "neither" and row.ratio]
    assert max(abs(row.ratio.estimate - 1) for row in raw) > 0.05
    for sentence in found.sentences:
        assert "flatter" not in sentence
        assert "sharper" not in sentence


def test_two_strategies_with_equal_parameters_are_an_error(
    shop: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def planted(spec: Any, prepared: Any, **given: Any) -> Any:
        own = obtain_subject(spec, prepared, **given)
        if spec.strategy_name == "vanilla":
            return own
        plain = obtain_subject(_plain(spec), prepared, **given)
        record = {**own.record, "parameters_digest": plain.record["parameters_digest"]}
        return replace(own, model=plain.model, record=record)

    monkeypatch.setattr(measuring, "obtain_subject", planted)
    with pytest.raises(RobustrecError, match="parameters are equal"):
        _compared(shop, EFFORT._replace(edits=()))
