"""What a race concludes: planted arms, and each condition that takes a recommendation away."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.race_rates import METRIC, Setting, rates, tables_of
from robustrec.comparison.content import Measure
from robustrec.comparison.race.statement import CONTENT_FREE, ONE_SEED, Finalist, LeftOut, statement
from robustrec.comparison.result import Training

MARGIN = 0.05


def finalist(name, gain, *, seeds=4, free=False, cut="", gradients=90, clean=0.0, seed=0):
    rng = np.random.default_rng([seed, len(name)])
    shared = np.random.default_rng(7)
    taste, draws = 0.1 * shared.standard_normal(150), 0.002 * shared.standard_normal(3)
    tables = tables_of(rng, gain, Setting(2, seeds, 0.001), taste, draws, free=free)
    quality = next(each for each in tables if each.kind == "quality")
    tables[quality] = np.clip(tables[quality] + clean, 0, 1)
    training = Training(
        model="m", budget="gradients", strategy=name, seed=0, epochs=9, best_epoch=5, gradients=gradients, cut_off=cut
    )
    return Finalist(tables, [training] * seeds)


def said(early=None, **arms):
    budgets = {"gradients": {"vanilla": finalist("vanilla", 0.0), **arms}}
    if early is not None:
        budgets["early-stop"] = {"vanilla": finalist("vanilla", 0.0, seed=1), **early}
    return statement(budgets, "vanilla", METRIC, margin=MARGIN, level=0.95)


def test_a_better_arm_is_recommended_with_its_conditions():
    found = said(early={"sgbd": finalist("sgbd", 0.05, seed=2)}, sgbd=finalist("sgbd", 0.05))
    assert found.chosen == "sgbd"
    assert all(each.met for each in found.requirements)
    assert found.headline.startswith("Recommendation: sgbd (better than vanilla by +0.05")
    names = {each.name for each in found.requirements}
    assert names == {"difference", "content use", "clean quality", "other budget", "training", "budget", "seeds"}


def test_equal_arms_differ_from_nothing():
    found = said(sgbd=finalist("sgbd", 0.0), amr=finalist("amrr", 0.0))
    assert found.chosen == ""
    assert "no significant difference from vanilla" in found.headline


@pytest.mark.parametrize(
    ("changes", "condition"),
    [
        ({"free": True}, "content use"),
        ({"clean": -0.05}, "clean quality"),
        ({"cut": "best epoch 9 of 9"}, "training"),
        ({"gradients": 120}, "budget"),
    ],
)
def test_each_condition_takes_the_recommendation_away(changes, condition):
    found = said(sgbd=finalist("sgbd", 0.1, **changes))
    assert found.chosen == ""
    assert condition in {each.name for each in found.requirements if not each.met}


def test_too_few_seeds_and_a_worse_other_budget_take_it_away():
    two = {"vanilla": finalist("vanilla", 0.0, seeds=2), "sgbd": finalist("sgbd", 0.2, seeds=2)}
    assert statement({"gradients": two}, "vanilla", METRIC, margin=MARGIN, level=0.95).chosen == ""
    worse = said(early={"sgbd": finalist("sgbd", -0.1, seed=2)}, sgbd=finalist("sgbd", 0.05))
    assert worse.chosen == ""
    assert "other budget" in {each.name for each in worse.requirements if not each.met}


def test_a_content_free_reference_has_nothing_to_be_compared_with():
    budgets = {"gradients": {"vanilla": finalist("vanilla", 0.0, free=True), "sgbd": finalist("sgbd", 0.1)}}
    found = statement(budgets, "vanilla", METRIC, margin=MARGIN, level=0.95)
    assert found.chosen == ""
    assert "vanilla is content-free" in found.headline


def requirement(found, name):
    (each,) = [each for each in found.requirements if each.name == name]
    return each


def test_where_no_arm_is_left_it_is_not_said_that_none_differs():
    budgets = {"gradients": {"vanilla": finalist("vanilla", 0.0)}}
    about = LeftOut(content_free=["amr", "amr+ema"], diverged={"sgbd": "training loss is nan in epoch 2"})
    found = statement(budgets, "vanilla", METRIC, margin=MARGIN, level=0.95, about=about)
    said = "no arm is left to compare with vanilla (amr, amr+ema content-free on validation; sgbd diverged)"
    assert found.headline == f"No recommendation: {said}"
    assert "sgbd diverged and is not compared: training loss is nan" in requirement(found, "training").text


def test_a_content_free_arm_is_not_called_better():
    found = said(sgbd=finalist("sgbd", 0.1, free=True))
    (gain,) = [each for each in found.gains if each.arm == "sgbd"]
    assert (gain.conclusion, gain.name) == (CONTENT_FREE, "sgbd (content-free)")
    assert not requirement(found, "difference").met
    assert "better: " not in found.headline
    budgets = {"gradients": {"vanilla": finalist("vanilla", 0.0, free=True), "sgbd": finalist("sgbd", 0.1)}}
    other = statement(budgets, "vanilla", METRIC, margin=MARGIN, level=0.95)
    assert [each.conclusion for each in other.gains if each.arm == "sgbd"] == [CONTENT_FREE], "nor against one"


def test_an_arm_with_half_of_its_quality_left_is_not_called_content_free_where_that_is_uncertain():
    arm = finalist("sgbd", 0.1, seeds=3)
    (content,) = [each for each in arm.tables if each.kind == "content" and each.metric == METRIC]
    quality = arm.tables[Measure("quality", METRIC)]
    shares = np.array([0.2, 0.5, 0.9])[:, None]  # differs much between the seeds
    wide = {**arm.tables, content: shares * quality}
    budgets = {"gradients": {"vanilla": finalist("vanilla", 0.0, seeds=3), "sgbd": Finalist(wide, arm.trainings)}}
    found = statement(budgets, "vanilla", METRIC, margin=MARGIN, level=0.95)
    (gain,) = [each for each in found.gains if each.arm == "sgbd"]
    assert gain.name == "sgbd (content use uncertain)"
    assert found.chosen == ""
    assert "content use of sgbd is uncertain (53.3 % [" in requirement(found, "content use").text
    assert "content-free" not in found.headline


def test_one_training_seed_ranks_nothing():
    one = {"vanilla": finalist("vanilla", 0.0, seeds=1), "sgbd": finalist("sgbd", 0.2, seeds=1)}
    found = statement({"gradients": one}, "vanilla", METRIC, margin=MARGIN, level=0.95)
    assert [each.conclusion for each in found.gains] == ["", ONE_SEED]
    assert found.headline.startswith("No recommendation: one training seed of each arm ranks nothing (sgbd: +0.2")
    assert "better" not in found.headline


def test_a_recommendation_says_which_edits_of_the_objective_the_arm_was_trained_on():
    budgets = {"gradients": {"vanilla": finalist("vanilla", 0.0), "sgbd": finalist("sgbd", 0.05)}}
    about = LeftOut(trained_on={"sgbd": "trained on 2 of 2 of these edits"})
    found = statement(budgets, "vanilla", METRIC, margin=MARGIN, level=0.95, about=about)
    assert found.chosen == "sgbd"
    assert "trained on 2 of 2 of these edits" in found.headline


def test_planted_races_err_rarely_and_the_winner_s_own_score_is_biased():
    """benchmarks/results/race-rates.md has 2,000 races a setting."""
    setting = Setting(12, 3, 0.004)
    equal, free = (rates(scenario, setting, 100) for scenario in ("equal", "content-free"))
    assert equal.named <= 0.11
    assert free.content_free == 0
    assert equal.winner > 0.003, "the score that chose the winner is too high"
    assert abs(equal.fresh) < 0.0015, "fresh seeds estimate its truth"
