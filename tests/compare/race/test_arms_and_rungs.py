"""Arms of a race and the rungs that they go through."""

from __future__ import annotations

import pytest

from robustrec.comparison.race.arms import Wanted, arms_of, read_arms
from robustrec.comparison.race.rungs import Rung, promoted, rungs_of
from robustrec.config import Settings
from robustrec.errors import RobustrecError


def arms(strategies, features="basic", listed=(), **overrides):
    settings = Settings(model=["vbpr"], strategy=strategies, set=overrides, features=features)
    return arms_of(settings, "vbpr", "sample", "clothing", "basic", listed=listed)


def test_a_list_is_a_grid_only_of_the_strategies_that_it_changes():
    found = arms(["vanilla", "sgbd"], strategy={"rho": [0.01, 0.1], "beta": 5})
    names = ["vanilla", "sgbd rho=0.01", "sgbd rho=0.1", "vanilla negatives=2"]
    assert [arm.name for arm in found] == names
    assert {arm.spec.strategy.beta for arm in found} == {5}
    assert [arm.reference for arm in found] == [True, False, False, True]


def test_the_reference_gets_as_many_negatives_as_the_costliest_arm_gets_gradients():
    assert [arm.spec.training.negatives for arm in arms(["vanilla", "ema"]) if arm.reference] == [1]
    assert [arm.spec.training.negatives for arm in arms(["sam"]) if arm.reference] == [1, 2]
    given = arms(["vanilla", "sam"], training={"negatives": [1, 4]})
    assert [arm.spec.training.negatives for arm in given if arm.reference] == [1, 4, 8]
    alone = arms(["ema"], strategy={"ema_decay": 0.9}, training={"negatives": [1, 3]})
    assert [(arm.name, arm.reference) for arm in alone] == [
        ("vanilla negatives=1", True),
        ("vanilla negatives=3", True),
        ("ema negatives=1", False),
        ("ema negatives=3", False),
    ]
    listed = [Wanted("ema", {"training.negatives": (3,)})]
    assert [arm.spec.training.negatives for arm in arms(["ema"], listed=listed) if arm.reference] == [1, 3]


def test_the_reference_has_the_lists_of_training_settings_where_only_another_strategy_is_named():
    found = arms(["sam"], strategy={"rho": 0.05}, training={"learning_rate": [0.001, 0.01]})
    ours, theirs = ([arm.spec.training for arm in found if arm.reference is own] for own in (True, False))
    assert {each.learning_rate for each in theirs} == {0.001, 0.01}
    assert {(each.learning_rate, each.negatives) for each in ours} == {(r, n) for r in (0.001, 0.01) for n in (1, 2)}


def test_a_list_of_edits_is_one_value_and_a_list_of_lists_is_a_grid(tmp_path):
    (one,) = (arm for arm in arms(["edit-aug"], strategy={"edit_severities": [2, 3]}) if not arm.reference)
    assert (one.name, one.spec.strategy.edit_severities) == ("edit-aug", (2, 3))
    grid = arms(["edit-aug"], strategy={"edit_only": [["truncation"], ["truncation", "promo_badge"]]})
    assert [arm.spec.strategy.edit_only for arm in grid[1:]] == [("truncation",), ("truncation", "promo_badge")]
    file = tmp_path / "arms.toml"
    file.write_text('[[arms]]\nstrategy = "edit-aug"\nset = { "strategy.edit_severities" = [2, 3] }\n')
    (listed,) = (arm for arm in arms(["sam"], listed=read_arms(file)) if not arm.reference)
    assert listed.spec.strategy.edit_severities == (2, 3)


def test_features_are_part_of_an_arm_and_the_reference_is_on_the_first():
    found = {arm.name: arm.reference for arm in arms(["vanilla"], features="basic basic+shrink=.7")}
    assert found == {"vanilla": True, "vanilla on basic+shrink=.7": False}


def test_arms_come_from_a_file(tmp_path):
    file = tmp_path / "arms.toml"
    file.write_text(
        '[[arms]]\nstrategy = "sgbd"\nset = { "strategy.rho" = [0.01, 0.1] }\n'
        '[[arms]]\nstrategy = "vanilla"\nfeatures = "basic+shrink=.7"\n'
    )
    names = [arm.name for arm in arms(["sam"], listed=read_arms(file))]
    assert names == ["vanilla", "sgbd rho=0.01", "sgbd rho=0.1", "vanilla on basic+shrink=.7", "vanilla negatives=2"]
    file.write_text("[[arms]]\nstrategy = 3\n")
    with pytest.raises(RobustrecError, match="strategy"):
        read_arms(file)
    with pytest.raises(RobustrecError, match="race is on basic"):
        arms(["sam"], listed=[Wanted("sgbd", {}, "tiny-blip")])


def test_a_race_without_an_alternative_and_an_unknown_key_are_refused():
    with pytest.raises(RobustrecError, match="all arms are settings of vanilla"):
        arms(["vanilla"])
    with pytest.raises(RobustrecError, match="rhoo"):
        arms(["sgbd"], strategy={"rhoo": [1, 2]})


def test_the_last_rung_is_at_the_whole_budget_and_leaves_the_finalists():
    assert rungs_of(20, 3) == (Rung(1 / 3, 7), Rung(1.0, 3))
    assert rungs_of(20, 2) == (Rung(1 / 9, 7), Rung(1 / 3, 3), Rung(1.0, 2))
    assert rungs_of(2, 3) == (Rung(1.0, 2),)


def test_the_best_go_on_with_the_best_setting_of_the_reference():
    scores = {"v": 0.1, "a": 0.3, "v2": 0.2, "b": 0.4, "c": 0.35}
    assert promoted(scores, ["v", "v2"], 2) == ["v2", "b", "c"]
    assert promoted({"v": 0.1, "a": 0.3, "b": 0.3}, ["v"], 1) == ["v", "a"], "equal scores: the first named"
