"""Edits that a training saw are reported apart from those that it did not see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from merchant_shop import make_shop, measured, rows

from robustrec.audits.merchant.seen import groups_for, seen_groups, seen_notes
from robustrec.comparison.edits import trained_on_edits
from robustrec.config import Settings
from robustrec.datasets.registry import load_dataset
from robustrec.feature_names import Shrink
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


def test_no_edit_is_unseen_to_a_filter_that_was_fitted_on_edits() -> None:
    treatments = treatments_of(["typos", "frame"])
    trained = spec_of(edit_without=("frame",))
    filtered = replace(spec_of("vanilla"), shrink=Shrink(kept=0.7, edits=True))
    groups = seen_groups([trained, filtered], treatments)
    assert groups == {"typos": "seen", "frame": "unseen"}
    assert groups_for(trained, treatments, groups) == groups
    assert groups_for(replace(filtered, shrink=Shrink(kept=0.7)), treatments, groups) == groups
    assert groups_for(filtered, treatments, groups) == {"typos": "seen"}
    told = seen_notes([trained, filtered], treatments)[1]
    assert told.startswith("shrink=.7,edits was fitted on 2 of 2 audited edits")


def test_content_that_is_the_same_in_training_and_audit_is_told(shop: Path, tmp_path: Path) -> None:
    """Other random draws change nothing where an edit draws nothing."""
    settings, dataset = Settings(home=tmp_path, dataset=str(shop)), load_dataset(str(shop), home=tmp_path)
    arms = {"edit-aug": spec_of(), "others": spec_of(edit_without=("truncation",)), "vanilla": spec_of("vanilla")}
    found = trained_on_edits(arms, dataset, settings, ("truncation", "promo_badge"))
    assert found == {
        "edit-aug": "trained on 2 of 2 of these edits (truncation, promo_badge), with other random draws; training had"
        " the same texts or pictures of truncation;"
        """ --set 'strategy.edit_without=["truncation", "promo_badge"]' makes them unseen""",
        "others": "trained on 1 of 2 of these edits (promo_badge), with other random draws;"
        """ --set 'strategy.edit_without=["promo_badge"]' makes them unseen""",
    }
    filtered = replace(spec_of("vanilla"), shrink=Shrink(kept=0.7, edits=True))
    assert trained_on_edits({"it": filtered}, dataset, settings, ("typos",)) == {
        "it": "on a filter fitted on 1 of 1 of these edits (typos), with other random draws"
    }


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
