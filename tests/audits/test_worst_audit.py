"""The search: a planted word is found, its absence is not reported, and chance chooses nothing for other users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from merchant_shop import make_shop
from small_plans import small_plan

from robustrec.audits import run as runner
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import cost_of
from robustrec.audits.worst.conditions import searched_edits
from robustrec.audits.worst.config import WorstAudit
from robustrec.audits.worst.exposure import of_search
from robustrec.edits import EDITS, edit
from robustrec.errors import RobustrecError
from robustrec.evaluation.shares import clopper_pearson
from robustrec.results.findings import Finding
from robustrec.results.report import Report

SUITE = """
schema_version = 1
name = "search"
metrics = ["recall@5", "ndcg@5"]
stability = ["rbo@5"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "worst"
edits = [EDITS]
budget = 2
severities = [1, 3]
draws = 1
items = 9
shown = 3
beam = 2
random = 2
ascent = 5
metric = "ndcg@5"
exposure = 5
"""
PLANTED = ("promoting", "demoting", "polite", "thankful")


@pytest.fixture(scope="module")
def shop(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop") / "shop", tiny_folder / "tiny.inter", pictures=False)


def audited(
    shop: Path, home: Path, model: str, edits: tuple[str, ...] = PLANTED, *, stored: bool = False, **settings: Any
) -> Report:
    named = ", ".join(f'"{each}"' if each in (*EDITS, "all") else f'"planted_search:{each}"' for each in edits)
    suite = SUITE.replace("EDITS", named)
    plan = small_plan(shop, home, suite, model=(model,), **{"features": "planted_search:Words", **settings})
    run = runner.measure(plan)
    cost = cost_of(plan)
    spent = run.context.costs
    assert spent.rankings <= cost.rankings
    assert spent.encodings <= cost.encodings
    assert (spent.encodings == 0) == stored
    assert spent.gradients <= cost.gradients
    return make_report(plan, run, command=["robustrec", "audit"])[0]


def rows_of(report: Report, search: str, metric: str = "exposure@5_edited") -> Finding:
    (row,) = [
        each
        for each in report.findings
        if each.audit == "worst" and each.condition.search == search and each.metric == metric
    ]
    return row


def test_a_planted_word_is_found_for_better_and_worse(shop: Path, tmp_path: Path) -> None:
    report = audited(shop, tmp_path, "planted_search:exploited")
    worst, mean, best = (rows_of(report, search) for search in ("worst", "random", "best"))
    assert worst.perturbed < 0.1 * worst.clean  # type: ignore[operator]
    assert best.perturbed > 2 * best.clean  # type: ignore[operator]
    assert worst.perturbed < mean.perturbed < best.perturbed  # type: ignore[operator]
    assert worst.ci_high is not None
    assert worst.ci_high < 0
    losing = rows_of(report, "worst", "items_losing_50")
    assert losing.clean is not None
    assert losing.clean > 0.5
    assert (losing.ci_low, losing.ci_high) != (None, None)


def test_without_the_planted_word_exactly_nothing_is_reported(shop: Path, tmp_path: Path) -> None:
    report = audited(shop, tmp_path, "planted_search:immune")
    for search in ("random", "worst", "best"):
        for metric in ("exposure@5_edited", "ndcg@5_edited"):
            row = rows_of(report, search, metric)
            assert (row.drift, row.ci_low, row.ci_high) == (0.0, 0.0, 0.0), row
    losing = rows_of(report, "worst", "items_losing_25")
    assert (losing.clean, losing.ci_low, losing.ci_high) == (0.0, 0.0, 0.0)


def test_what_chance_chooses_is_nothing_to_the_held_out_users(shop: Path, tmp_path: Path) -> None:
    report = audited(shop, tmp_path, "planted_search:chance")
    worst, best, mean = (rows_of(report, search) for search in ("worst", "best", "random"))
    on_search = float(worst.note.split("on the users of the search ")[1].split(" %")[0])
    assert on_search < -25, "the search found something to choose"
    for row in (worst, best):
        assert row.ci_low <= mean.drift <= row.ci_high  # type: ignore[operator]


def test_gradient_attacks_lose_at_least_what_the_search_finds_in_a_linear_model(shop: Path, tmp_path: Path) -> None:
    report = audited(shop, tmp_path, "vbpr", ("promo_phrase", "truncation", "typos"), features="basic")
    mean, worst, pgd = (rows_of(report, search).perturbed for search in ("random", "worst", "pgd"))
    assert pgd <= worst <= mean  # type: ignore[operator]
    assert rows_of(report, "fgsm").note.startswith("attack on the features")
    again = audited(shop, tmp_path, "vbpr", ("promo_phrase", "truncation", "typos"), features="basic", stored=True)
    assert again.findings == report.findings


def test_only_edits_that_keep_the_product_are_searched_unless_others_are_asked_for() -> None:
    names = {each.name for each in searched_edits(WorstAudit(kind="worst"))}
    changed = {"wrong_picture", "category_mistag", "attribute_contradiction", "season_swap", "recolour"}
    assert changed.isdisjoint(names)
    assert {"promo_phrase", "truncation", "crop"} <= names
    every = {each.name for each in searched_edits(WorstAudit(kind="worst", meaning="any"))}
    assert every == set(EDITS)
    assert not edit("planted_search:other_colour").keeps_meaning
    with pytest.raises(RobustrecError, match="no edit keeps what the product is"):
        searched_edits(WorstAudit(kind="worst", edits=("wrong_picture",)))


def test_users_of_the_search_are_half_of_the_users() -> None:
    chosen = of_search(101, 3)
    assert chosen.sum() == 50
    assert np.array_equal(chosen, of_search(101, 3))
    assert not np.array_equal(chosen, of_search(101, 4))


def test_the_interval_of_a_share_is_exact() -> None:
    found = clopper_pearson(0, 30, 0.95)
    assert (found.estimate, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 30))
    assert clopper_pearson(30, 30, 0.95).low == pytest.approx(0.025 ** (1 / 30))
    half = clopper_pearson(5, 10, 0.95)
    assert (half.low, half.high) == pytest.approx((0.187086, 0.812914), abs=1e-6)
    with pytest.raises(ValueError, match="not a share"):
        clopper_pearson(3, 2, 0.95)
