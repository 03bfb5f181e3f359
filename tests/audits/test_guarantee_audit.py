"""The guarantee audit: planted shares of fragile items, A/A, certified places under attack, and what it says."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from merchant_shop import make_shop, measured, shop_plan

from robustrec.audits import run as runner
from robustrec.audits.guarantee.config import GuaranteeAudit
from robustrec.audits.guarantee.places import CleanPlaces, Kept, clean_places, places_kept
from robustrec.audits.guarantee.radius import displacement, linear_scores, radii
from robustrec.audits.guarantee.rows import Measured, Rows
from robustrec.audits.guarantee.sample import EditedItem
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import Plan, cost_of
from robustrec.evaluation.shares import members_needed, share_bounds
from robustrec.reading.guarantee import bound_text, guarantee_section
from robustrec.reading.verdict_words import _narrower
from robustrec.results.conditions import Condition
from robustrec.results.findings import Finding
from robustrec.results.gates import Gate
from robustrec.results.judging import judge
from robustrec.runs.trained import TrainedSubject
from robustrec.subject import Subject

SUITE = """
schema_version = 1
name = "items"
metrics = ["ndcg@20", "recall@20"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "guarantee"
edits = ["wrong_picture", "brand_first"]
severities = [0, 5]
items = 20
k = 10
"""
GATE = Gate.model_validate(
    {
        "name": "items",
        "select": {"audit": "guarantee", "edit": "wrong_picture", "severity": 5, "metric": "losing@10"},
        "quantity": "value",
        "max": 0.1,
    }
)


@pytest.fixture(scope="module")
def shop(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop") / "shop", tiny_folder / "tiny.inter")


@pytest.fixture(scope="module")
def plan(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    made: Plan = shop_plan(shop, tmp_path_factory.mktemp("home"), suite=SUITE)
    return made


@pytest.fixture(scope="module")
def run(plan: Plan) -> runner.Measurements:
    return runner.measure(plan)


@pytest.fixture(scope="module")
def clean(run: runner.Measurements) -> CleanPlaces:
    return clean_places(run.subjects[0][0], run.prepared.test, 10, frozen=False)


def rows_of(findings: list[Finding], metric: str, edit: str = "wrong_picture", severity: int = 5) -> Finding:
    (row,) = [
        each
        for each in findings
        if each.audit == "guarantee"
        and each.metric == metric
        and (each.condition.edit, each.condition.severity) == (edit, severity)
    ]
    return row


def test_nothing_edited_loses_exactly_nothing(run: runner.Measurements) -> None:
    found = run.results.findings
    assert rows_of(found, "losing@10", severity=0).counted == 0
    assert rows_of(found, "loss_bound@10", severity=0).clean == 0.0
    assert rows_of(found, "places_kept@10", severity=0).clean == 1.0


def test_wrong_pictures_lose_places_and_the_bound_is_of_the_sampled_items(run: runner.Measurements) -> None:
    row = rows_of(run.results.findings, "losing@10")
    assert (row.sampled, row.n_users) == (20, 80)
    assert row.counted is not None
    assert row.counted >= 5, "the planted fault: the picture decides the taste"
    assert row.clean == row.counted / 20
    assert (row.ci_low, row.ci_high) == share_bounds(row.counted, 20, 0.95)
    (result,) = judge([GATE], run.results.findings)
    assert result.status == "fail"
    assert "of 20 sampled items; one-sided 95 % bounds" in result.message


def test_an_edit_that_changes_no_item_has_no_population(run: runner.Measurements) -> None:
    row = rows_of(run.results.findings, "losing@10", edit="brand_first")
    assert (row.clean, row.sampled) == (None, None)
    assert "no item that holds a place is changed by this edit" in row.note


def test_the_plan_counts_no_less_than_what_is_done(plan: Plan, run: runner.Measurements) -> None:
    assert run.context.costs.rankings <= cost_of(plan).rankings
    assert run.context.costs.encodings <= cost_of(plan).encodings
    assert make_report(plan, run, command=["robustrec", "audit"])[0].findings


def test_places_are_counted_as_full_rankings_of_each_edit_count_them(clean: CleanPlaces) -> None:
    from robustrec.evaluation.ranking import rank

    trained, split = clean.trained, clean.split
    random = torch.Generator().manual_seed(5)
    tables = {name: table.clone() for name, table in trained.tables.items()}
    for item in np.flatnonzero(clean.holders)[:6].tolist():
        vectors = {"image": torch.randn(trained.tables["image"].shape[1], generator=random)}
        found = places_kept(clean, EditedItem(item, vectors), tables)
        after = {name: table.clone() for name, table in trained.tables.items()}
        after["image"][item] = vectors["image"]
        lists = rank(trained.represent(after), split.users, split.mask, k=10).items
        assert found.kept.tolist() == (lists[found.rows] == item).any(axis=1).tolist()
        assert len(found.rows) == clean.holders[item]
    assert all(torch.equal(tables[name], trained.tables[name]) for name in tables), "the copy is restored"


@pytest.fixture(scope="module")
def slopes(clean: CleanPlaces) -> list[dict[str, torch.Tensor]]:
    linear = linear_scores(clean.trained, torch.Generator().manual_seed(1), frozen=False)
    assert linear is not None
    found = linear.jacobians(range(len(clean.holders)))
    return [{name: table[item] for name, table in found.items()} for item in range(len(clean.holders))]


def kept_under(clean: CleanPlaces, item: int, steps: dict[str, torch.Tensor]) -> np.ndarray[Any, Any]:
    tables = {name: table.clone() for name, table in clean.trained.tables.items()}
    vectors = {name: tables[name][item] + step for name, step in steps.items()}
    return places_kept(clean, EditedItem(item, vectors), tables).kept


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.05, 0.999))
def test_a_certified_place_is_never_lost_below_its_radius(
    clean: CleanPlaces, slopes: list[dict[str, torch.Tensor]], seed: int, part: float
) -> None:
    random = np.random.default_rng(seed)
    item = int(random.choice(np.flatnonzero(clean.holders)))
    rows = clean.rows_with(item)
    found = radii(clean, item, rows, slopes[item], list(clean.trained.tables))
    place = int(random.integers(len(rows)))
    draws = {name: torch.from_numpy(random.normal(size=t.shape[1])).float() for name, t in clean.trained.tables.items()}
    norm = math.sqrt(sum(float((each**2).sum()) for each in draws.values()))
    length = part * min(found[place], 1e3)
    assert kept_under(clean, item, {name: each * length / norm for name, each in draws.items()})[place]


def test_the_radius_is_tight_in_the_direction_of_the_gradient(
    clean: CleanPlaces, slopes: list[dict[str, torch.Tensor]]
) -> None:
    tried = 0
    for item in np.flatnonzero(clean.holders)[:12].tolist():
        rows = clean.rows_with(item)
        found = radii(clean, item, rows, slopes[item], list(clean.trained.tables))
        place = int(np.argmin(found))
        assert isinstance(clean.representation, tuple)
        user = clean.representation[0][clean.split.users[rows[place]]]
        worst = {name: -(user @ slope) for name, slope in slopes[item].items()}
        norm = math.sqrt(sum(float((each**2).sum()) for each in worst.values()))
        for part, stays in ((0.99, True), (1.01, False)):
            steps = {name: each * part * found[place] / norm for name, each in worst.items()}
            assert kept_under(clean, item, steps)[place] == stays, (item, part)
        tried += 1
    assert tried > 5


def test_the_radius_of_one_modality_is_larger_and_of_it_alone(
    clean: CleanPlaces, slopes: list[dict[str, torch.Tensor]]
) -> None:
    item = int(np.argmax(clean.holders))
    rows = clean.rows_with(item)
    every = radii(clean, item, rows, slopes[item], list(clean.trained.tables))
    for modality in clean.trained.tables:
        assert (radii(clean, item, rows, slopes[item], [modality]) >= every).all()
    own = {name: table[item] + 3.0 for name, table in clean.trained.tables.items()}
    widths = sum(table.shape[1] for table in clean.trained.tables.values())
    assert displacement(clean.trained, item, own) == pytest.approx(3 * math.sqrt(widths), rel=1e-5)


class Bent(torch.nn.Module):
    """VBPR of which planted faults break what a certificate needs."""

    def __init__(self, inner: Any, fault: str) -> None:
        super().__init__()
        self.inner, self.fault = inner, fault

    def represent(self, features: dict[str, torch.Tensor]) -> Any:
        found = self.inner.represent(features)
        if self.fault == "nonlinear":
            return found._replace(items=torch.nn.functional.leaky_relu(found.items))
        if self.fault == "users":
            return found._replace(users=found.users + 0.01 * features["image"].mean())
        if self.fault == "items":
            return found._replace(items=found.items + 0.01 * found.items.roll(1, dims=0))
        return found


@pytest.mark.parametrize(("fault", "linear"), [("", True), ("nonlinear", False), ("users", False), ("items", False)])
def test_only_models_that_are_linear_in_each_items_own_features_are_certified(
    clean: CleanPlaces, fault: str, linear: bool
) -> None:
    fields = {**clean.trained.__dict__, "model": Bent(clean.trained.model, fault)}
    found = linear_scores(TrainedSubject(**fields), torch.Generator().manual_seed(1), frozen=False)
    assert (found is not None) == linear


def test_a_model_with_item_graphs_has_bounds_and_no_certificate(shop: Path, tmp_path: Path) -> None:
    suite = SUITE.replace("items = 20", "items = 4").replace('["wrong_picture", "brand_first"]', '["wrong_picture"]')
    found = measured(shop, tmp_path, "dragon", suite=suite).results.findings
    assert rows_of(found, "losing@10").sampled == 4
    assert rows_of(found, "losing@10", severity=0).counted == 0
    row = rows_of(found, "places_certified@10")
    assert row.clean is None
    assert "not linear" in row.note


CONDITION = Condition(kind="item_edit", edit="promo_badge", severity=3, max_loss=0.25, graphs="rebuilt")
SUBJECT = Subject(model="vbpr", strategy="vanilla", features="basic", seed=0)


def made_up(losses: list[float], **config: Any) -> list[Finding]:
    settings = GuaranteeAudit.model_validate({"kind": "guarantee", **config})
    n = len(losses)
    measured = Measured(np.array(losses), np.full(n, 10), None, np.ones(n), "image", None)
    return Rows(SUBJECT, CONDITION, settings, 0.95, 500).of(measured)


def test_the_statements_on_none_and_all_of_a_sample() -> None:
    none = {row.metric: row for row in made_up([0.0] * 29 + [0.25], items=30)}
    assert (none["losing@20"].counted, none["losing@20"].note) == (0, ""), "a loss of the limit is not above it"
    assert none["loss_bound@20"].clean == 0.25
    (sentence,) = guarantee_section(list(none.values()), {}, "95 %").sentences
    assert sentence == (
        "With 95 % confidence, at most 9.6 % of the items lose more than 25 % of their places in the top 20 under "
        "promo badge, severity 3 (0 of 30 sampled items)."
    )
    every = {row.metric: row for row in made_up([0.5] * 30, items=30)}
    assert every["losing@20"].ci_high == 1.0
    assert "no share below 100 % is an upper bound" in guarantee_section(list(every.values()), {}, "95 %").sentences[0]


def test_a_loss_of_the_limit_is_not_above_it_for_any_number_of_places() -> None:
    for n in range(1, 60):
        for lost in range(n + 1):
            kept = Kept(np.arange(n), np.arange(n) >= lost)
            assert kept.loss == lost / n
    assert Kept(np.arange(0), np.ones(0, dtype=bool)).loss == 0, "its only place fell to rounding before the edit"


def test_a_sample_that_cannot_support_the_claim_says_what_would() -> None:
    few = {row.metric: row for row in made_up([0.0] * 10, items=30)}
    assert "only 10 items, fewer than the 30" in few["losing@20"].note
    assert "a bound of 10 % needs 29 items if 0 % of them do so, which is more than there are" in few["losing@20"].note
    assert few["loss_bound@20"].clean is None
    assert "this takes 19" in few["loss_bound@20"].note
    many = {row.metric: row for row in made_up([0.0] * 15 + [1.0] * 5, items=20)}
    assert "no larger sample" in many["losing@20"].note


def test_a_gate_on_the_bound_passes_only_if_the_sample_supports_it() -> None:
    gate = GATE.model_copy(
        update={"select": GATE.select.model_copy(update={"edit": None, "severity": None, "metric": "losing@20"})}
    )
    for losses, status in (([0.0] * 29, "pass"), ([0.0] * 28, "inconclusive"), ([1.0] * 6 + [0.0] * 14, "fail")):
        (result,) = judge([gate], made_up(losses, items=len(losses)))
        assert result.status == status, losses
    (result,) = judge([gate], made_up([0.0] * 20, items=20))
    assert "needs 29 sampled items to pass with the same share" in result.message
    assert result.p_value == 1.0


def test_sampled_items_decide_a_gate_on_a_share_and_neither_draws_nor_users() -> None:
    select = GATE.select.model_copy(update={"edit": None, "severity": None, "metric": "losing@20"})
    gate = GATE.model_copy(update={"select": select})

    def step(losing: int, n_items: int = 480, **more: int) -> tuple[str, str]:
        rows = made_up([1.0] * losing + [0.0] * (20 - losing), items=20)
        (result,) = judge([gate], rows)
        assert result.status == "inconclusive"
        content = {"audits": [{"kind": "guarantee", "items": 20, **more}]}
        report: Any = SimpleNamespace(
            findings=rows,
            gates=[result],
            judgement=None,
            suite=SimpleNamespace(level=0.95, content=content),
            dataset=SimpleNamespace(n_items=n_items, n_test_users=500),
            command=["robustrec", "audit", "--suite", "own.toml", "--set", "guarantee.items=20"],
        )
        found: Any = SimpleNamespace(name="items")
        return _narrower(report, found)

    again = "robustrec audit --suite own.toml --set guarantee.items=29"
    assert step(0) == ("If the share stays, about 29 sampled items instead of 20 decide it:", again)
    assert step(0, encodings=400)[1] == f"{again} --set guarantee.encodings=580", "as many for each item"
    assert step(0, n_items=25) == (
        "More draws or users do not decide it, and neither do all items, if the share stays.",
        "",
    )
    assert "at the limit" in step(2)[0]
    n = members_needed(1 - 4 / 20, 0.9, 0.95)
    assert step(4)[1].endswith(f"--set guarantee.items={n}"), (
        "fewer than for a pass: the lower bound breaches the limit"
    )


def test_the_p_value_of_a_gate_is_the_exact_binomial_tail() -> None:
    gate = GATE.model_copy(
        update={"select": GATE.select.model_copy(update={"edit": None, "severity": None, "metric": "losing@20"})}
    )
    (result,) = judge([gate], made_up([1.0] * 6 + [0.0] * 14, items=20))
    tail = sum(math.comb(20, k) * 0.1**k * 0.9 ** (20 - k) for k in range(6, 21))
    assert result.p_value == pytest.approx(tail)


def test_bounds_are_shown_rounded_up() -> None:
    assert bound_text(0.12341) == "12.4 %"
    assert bound_text(0.5) == "50 %"


def test_the_population_is_what_holds_a_place(run: runner.Measurements) -> None:
    row = rows_of(run.results.findings, "without_place@10")
    holders = clean_places(run.subjects[0][0], run.prepared.test, 10, frozen=False).holders
    assert row.clean == (holders == 0).mean()
