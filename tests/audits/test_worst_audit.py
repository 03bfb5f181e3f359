"""The search: a planted word is found, its absence is not reported, and chance chooses nothing for other users."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from merchant_shop import make_shop
from rich.console import Console
from small_plans import small_plan

from robustrec.audits import run as runner
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import cost_of
from robustrec.audits.worst.attacks import attacked
from robustrec.audits.worst.conditions import (
    check_encodings,
    encodings_beside_singles,
    encodings_of_item,
    searched_edits,
)
from robustrec.audits.worst.config import WorstAudit
from robustrec.audits.worst.examples import with_other_seeds
from robustrec.audits.worst.exposure import Seen, of_search
from robustrec.edits import EDITS, edit
from robustrec.errors import RobustrecError
from robustrec.evaluation.shares import share_bounds
from robustrec.reading.content_use import names_of
from robustrec.reading.worst import _item, advice_of, searched_items, worst_section
from robustrec.report.console.console import print_report
from robustrec.report.forms.markdown import markdown
from robustrec.report.html.page import html_page
from robustrec.results.exhibits import SafeState, TriedEdit
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
examples = 5
targets = [7]
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
    shop: Path,
    home: Path,
    model: str,
    edits: tuple[str, ...] = PLANTED,
    *,
    stored: bool = False,
    more: str = "",
    **settings: Any,
) -> Report:
    named = ", ".join(f'"{each}"' if each in (*EDITS, "all") else f'"planted_search:{each}"' for each in edits)
    suite = SUITE.replace("EDITS", named) + more
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


def on_search(row: Finding) -> float:
    """Return the change among the users of the search in %, from the note."""
    return float(row.note.split("on the users of the search ")[1].split(" %")[0].replace("\u2212", "-"))


@pytest.fixture(scope="module")
def exploited(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return audited(shop, tmp_path_factory.mktemp("home"), "planted_search:exploited")


def test_a_planted_word_is_found_for_better_and_worse(exploited: Report) -> None:
    worst, mean, best = (rows_of(exploited, search) for search in ("worst", "random", "best"))
    assert worst.perturbed < 0.1 * worst.clean  # type: ignore[operator]
    assert best.perturbed > 2 * best.clean  # type: ignore[operator]
    assert worst.perturbed < mean.perturbed < best.perturbed  # type: ignore[operator]
    assert worst.ci_high is not None
    assert worst.ci_high < 0
    losing = rows_of(exploited, "worst", "items_losing_50")
    assert losing.clean is not None
    assert losing.clean > 0.5
    assert losing.counted is not None
    assert losing.sampled is not None
    assert losing.clean == losing.counted / losing.sampled
    assert (losing.ci_low, losing.ci_high) == share_bounds(losing.counted, losing.sampled, 0.95)


def test_examples_name_the_planted_words_what_they_displace_and_what_is_safe(exploited: Report) -> None:
    items, names = searched_items(exploited), names_of(exploited)
    worst_lines = worst_section(exploited).items  # type: ignore[union-attr]
    assert [each.target for each in items] == [False] * 5 + [True]
    assert items[-1].item == "7"
    for each in items:
        assert "demoting" in each.worst.edits or each.exposure == each.worst.exposure
        assert "promoting" in each.best.edits
        assert each.best.displaced
        gained = each.best.exposure - each.exposure
        assert 0 < sum(other.n_users for other in each.best.displaced) <= gained
        (told,) = [line for line in dict(worst_lines)[_item(each, names)] if "best found gains" in line]
        assert told.startswith(f"the best found gains {gained} places; largest net losses of other items: item ")
        assert len(each.best.draws) == each.best.edits.count("+") + 1
        states = {tried.edit.rpartition(":")[2]: tried.state for tried in each.tried}
        if each.exposure:
            assert states["demoting 3"] == "loses"
            assert states["promoting 3"] == "one training"
            assert "not shown after another training: planted_search:promoting 3" in advice_of(each)


def test_console_page_and_markdown_show_the_search(exploited: Report) -> None:
    section = worst_section(exploited)
    assert section is not None
    assert [row[1] for row in section.rows] == ["random edits", "worst edits found", "best edits found"]
    console = Console(width=160, record=True, file=io.StringIO())
    print_report(exploited, console)
    text = console.export_text()
    assert "worst: exposure of an item edited alone" in text
    assert "best found: planted_search:promoting" in text
    page = html_page(exploited)
    assert 'id="worst"' in page
    assert "Exposure of an item edited alone" in page
    assert "### Worst and best edits of an item" in markdown(exploited, 60_000)


def test_an_attack_that_does_less_than_the_search_is_called_weak(exploited: Report) -> None:
    worst = rows_of(exploited, "worst")
    for search, perturbed, said in (("pgd", 0.9, True), ("pgd", 0.0, False), ("fgsm", 0.9, True)):
        condition = worst.condition.model_copy(update={"search": search, "label": ""})
        attack = worst.model_copy(
            update={"condition": condition, "perturbed": perturbed, "drift": perturbed - (worst.clean or 0.0)}
        )
        section = worst_section(exploited.model_copy(update={"findings": (*exploited.findings, attack)}))
        assert section is not None
        assert any("this attack is weak here" in line for line in section.lines) == said


def test_an_edit_is_safe_only_if_it_is_for_every_training_seed(exploited: Report) -> None:
    first = searched_items(exploited)[0]
    states: tuple[SafeState, ...] = ("one training", "one training", "not shown", "loses")
    own = first.model_copy(update={"tried": tuple(_tried(str(n), state) for n, state in enumerate(states))})
    again: tuple[SafeState, ...] = ("one training", "loses", "one training", "one training")
    subject = first.subject.model_copy(update={"seed": 1})
    other = first.model_copy(
        update={"subject": subject, "tried": tuple(_tried(str(n), state) for n, state in enumerate(again))}
    )
    found = with_other_seeds([own, other])
    assert {each.edit: each.state for each in found[0].tried} == {
        "0": "holds",
        "1": "loses",
        "2": "not shown",
        "3": "loses",
    }
    assert with_other_seeds([own]) == [own]
    assert {each.state for each in with_other_seeds([own], [subject])[0].tried} == {*states}


def _tried(edit: str, state: SafeState) -> TriedEdit:
    return TriedEdit(edit=edit, change=0.0, low=0.0, on_search=0.0, state=state)


def test_without_the_planted_word_exactly_nothing_is_reported(shop: Path, tmp_path: Path) -> None:
    report = audited(shop, tmp_path, "planted_search:immune")
    for search in ("random", "worst", "best"):
        for metric in ("exposure@5_edited", "ndcg@5_edited"):
            row = rows_of(report, search, metric)
            assert (row.drift, row.ci_low, row.ci_high) == (0.0, 0.0, 0.0), row
    losing = rows_of(report, "worst", "items_losing_25")
    assert (losing.clean, losing.ci_low, losing.ci_high) == (0.0, 0.0, 0.0)


def test_lists_that_stay_as_they_are_do_not_show_that_no_item_can_lose(shop: Path, tmp_path: Path) -> None:
    losing = rows_of(audited(shop, tmp_path, "planted_search:firm"), "worst", "items_losing_50")
    assert (losing.clean, losing.counted, losing.sampled) == (0.0, 0, 9)
    assert (losing.ci_low, losing.ci_high) == share_bounds(0, 9, 0.95), "nine items bound no share below a quarter"


def test_edits_that_change_no_item_measure_nothing_and_pass_no_gate(shop: Path, tmp_path: Path) -> None:
    gate = """[[gates]]
name = "worst"
select = { audit = "worst", search = "worst", metric = "items_losing_50" }
quantity = "value"
max = 0.5
"""
    report = audited(shop, tmp_path, "planted_search:exploited", ("lacking",), more=gate)
    (row,) = [each for each in report.findings if each.audit == "worst" and each.quantity == "value"]
    assert (row.metric, row.clean) == ("items", None)
    assert "no edit changes a vector of any of the 9 items" in row.note
    assert [each.status for each in report.gates] == ["error"]


def test_what_chance_chooses_is_nothing_to_the_held_out_users(shop: Path, tmp_path: Path) -> None:
    report = audited(shop, tmp_path, "planted_search:chance")
    worst, best, mean = (rows_of(report, search) for search in ("worst", "best", "random"))
    assert on_search(worst) < -25, "the search found something to choose"
    for row in (worst, best):
        assert row.ci_low <= mean.drift <= row.ci_high  # type: ignore[operator]


def test_gradient_attacks_lose_at_least_what_the_search_finds_in_a_linear_model(shop: Path, tmp_path: Path) -> None:
    report = audited(shop, tmp_path, "vbpr", ("promo_phrase", "truncation", "typos"), features="basic")
    mean, worst, fgsm, pgd = (rows_of(report, search) for search in ("random", "worst", "fgsm", "pgd"))
    assert on_search(pgd) <= on_search(worst) <= on_search(mean)
    assert on_search(fgsm) <= 0
    assert max(pgd.perturbed, worst.perturbed) <= mean.perturbed  # type: ignore[operator, type-var]
    assert fgsm.note.startswith("attack on the features")
    again = audited(shop, tmp_path, "vbpr", ("promo_phrase", "truncation", "typos"), features="basic", stored=True)
    assert again.findings == report.findings


class _Well:
    """An item on a line that users see far from 0 on either side, so that a long step along the gradient passes it."""

    searching = np.ones(4, dtype=bool)
    tables: ClassVar = {"text": torch.tensor([[1.0]])}

    def edited(self, item: int, vectors: Any) -> Seen:
        place = abs(float(vectors["text"][0]))
        return Seen(np.full(4, place > 0.5), place, np.zeros(4), np.zeros(1, dtype=np.int64))

    def clean(self, item: int) -> Seen:
        return self.edited(item, {"text": self.tables["text"][0]})

    def gradient(self, item: int, rows: Any, *, linear: bool = False) -> Any:
        return {"text": torch.sign(rows["text"])}


def test_a_gradient_step_is_no_longer_than_what_serves_the_attacker() -> None:
    well = _Well()
    # The edits move the item by 3, so that one full step ends at -2 and one of half the length at -0.5.
    encoded = {"edit": {"text": torch.tensor([4.0])}}
    search: Any = SimpleNamespace(exposures=well, item=0, encoded=encoded, config=SimpleNamespace(ascent=1))
    found = attacked(search, well.clean(0))
    assert not found["fgsm"].shown.any()


def test_the_gradient_attack_leaves_no_more_than_the_worst_edit_which_lies_in_its_ball() -> None:
    well = _Well()
    encoded = {"edit": {"text": torch.tensor([1.001])}}  # no step within this radius does anything
    search: Any = SimpleNamespace(exposures=well, item=0, encoded=encoded, config=SimpleNamespace(ascent=3))
    worst = well.edited(0, {"text": torch.tensor([0.0])})
    assert attacked(search, worst)["pgd"] is worst
    assert attacked(search, well.clean(0))["fgsm"].shown.all()


def test_a_search_that_cannot_keep_its_number_of_encodings_is_refused(shop: Path, tmp_path: Path) -> None:
    config = WorstAudit(kind="worst", items=12, encodings=50)
    least = 12 * encodings_beside_singles(config, 20)
    with pytest.raises(RobustrecError, match=f"takes at least {least}"):
        check_encodings(config, 20, where="suite")
    enough = config.model_copy(update={"encodings": least})
    check_encodings(enough, 20, where="suite")
    assert 12 * encodings_of_item(enough, 20) <= least
    suite = SUITE.replace("EDITS", '"typos"') + "encodings = 50\n"
    with pytest.raises(RobustrecError, match="encodings = 50 is too small"):
        small_plan(shop, tmp_path, suite, model=("vbpr",), features="basic")


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


@pytest.mark.parametrize("k", [2, 12])
def test_the_exposure_may_have_another_length_than_the_metric(shop: Path, tmp_path: Path, k: int) -> None:
    short = ("budget = 2", "budget = 1"), ("items = 9", "items = 2"), ("examples = 5", "examples = 0")
    suite = SUITE.replace("EDITS", '"planted_search:demoting"').replace("exposure = 5", f"exposure = {k}")
    for pair in (*short, ("targets = [7]\n", ""), ("shown = 3", "shown = 1")):
        suite = suite.replace(*pair)
    plan = small_plan(shop, tmp_path, suite, model=("planted_search:exploited",), features="planted_search:Words")
    run = runner.measure(plan)
    assert run.context.costs.rankings <= cost_of(plan).rankings
    assert [each.message for each in run.results.statuses if each.status == "error"] == []
    found = {each.metric: each for each in run.results.findings if each.audit == "worst" and each.condition.search}
    assert {f"exposure@{k}_edited", "ndcg@5_edited"} <= set(found)


def test_users_of_the_search_are_half_of_the_users() -> None:
    chosen = of_search(101, 3)
    assert chosen.sum() == 50
    assert np.array_equal(chosen, of_search(101, 3))
    assert not np.array_equal(chosen, of_search(101, 4))
