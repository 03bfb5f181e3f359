"""What a race concludes: planted arms, and each condition that takes a recommendation away."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.race_rates import METRIC, Setting, rates, tables_of
from robustrec.comparison.race.statement import Finalist, statement
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


def test_planted_races_err_rarely_and_the_winner_s_own_score_is_biased():
    """benchmarks/results/race-rates.md has 2,000 races a setting."""
    setting = Setting(12, 3, 0.004)
    equal, free = (rates(scenario, setting, 100) for scenario in ("equal", "content-free"))
    assert equal.named <= 0.11
    assert free.content_free == 0
    assert equal.winner > 0.003, "the score that chose the winner is too high"
    assert abs(equal.fresh) < 0.0015, "fresh seeds estimate its truth"
