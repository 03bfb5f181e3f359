"""Edits that a training saw are reported apart from those that it did not see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from merchant_shop import make_shop, measured, rows

from robustrec.audits.merchant.seen import seen_groups, seen_notes
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.treatments import treatments_of
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig

SUITE = """
schema_version = 1
name = "seen"
metrics = ["ndcg@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "merchant"
edits = ["typos", "crop", "truncation", "frame", "crop+frame", "typos+frame", "wrong_picture"]
severities = [3]
shares = [0.3]
draws = 2
"""
WITHOUT = {"edit_without": ["truncation", "frame"], "edit_pools": 1}


def spec_of(strategy: str = "edit-aug", **settings: Any) -> SubjectSpec:
    return SubjectSpec("vbpr", {}, TrainingConfig(), StrategyConfig(name=strategy, **settings), 0)


def test_an_edit_is_seen_where_all_its_parts_were_and_unseen_where_none_was() -> None:
    treatments = treatments_of(["typos", "crop", "typos+crop", "frame", "frame+truncation", "frame+crop"])
    seen = {name: "seen" for name in ("typos", "crop", "typos+crop")}
    unseen = {name: "unseen" for name in ("frame", "frame+truncation")}
    trained = spec_of(edit_without=("truncation", "frame"))
    assert seen_groups([spec_of("vanilla"), trained], treatments) == seen | unseen
    assert seen_groups([spec_of("vanilla")], treatments) == {}
    assert seen_groups([spec_of()], treatments) == {}, "all were seen"
    assert seen_groups([trained], treatments_of(["frame", "wrong_picture"])) == {}, "none was seen"
    # What one training saw and another did not is in neither group.
    both = [trained, spec_of("sgbd+edit-aug", edit_without=("truncation", "frame", "crop"))]
    assert seen_groups(both, treatments) == {"typos": "seen"} | unseen
    (note,) = seen_notes([trained], treatments)
    assert note == (
        "vbpr/edit-aug was trained on 3 of 6 audited edits, at severity 3, with other random draws than the audit;"
        " not on frame, frame+truncation, frame+crop"
    )
    assert "on all audited edits" in seen_notes([spec_of()], treatments)[0]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    return make_shop(tmp_path_factory.mktemp("seen") / "shop", tiny_folder / "tiny.inter")


def test_means_over_seen_and_unseen_edits_are_those_of_their_edits(shop: Path, tmp_path: Path) -> None:
    loop = {"max_epochs": 2, "learning_rate": 0.01, "batch_size": 128}
    overrides = {"training": loop, "strategy": WITHOUT}
    run = measured(shop, tmp_path, suite=SUITE, strategy=("vanilla", "edit-aug"), set=overrides)
    for strategy in ("vanilla", "edit-aug"):
        found = {
            row.condition.edit: row.perturbed
            for row in rows(run, metric="ndcg@20")
            if row.subject.strategy == strategy and row.quantity == "drift"
        }
        assert {"seen", "unseen", "all"} <= set(found)
        assert found["seen"] == pytest.approx((found["typos"] + found["crop"]) / 2)
        assert found["unseen"] == pytest.approx((found["truncation"] + found["frame"]) / 2)
        assert "crop+frame" in found
    assert any("was trained on 2 of 6 audited edits" in note for note in run.results.notes)
