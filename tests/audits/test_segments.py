"""Segments: opposite drifts that the mean hides, small segments, gates by segment, and their correction."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from merchant_shop import make_shop, shop_plan
from rich.console import Console
from scipy.sparse import csr_array

from robustrec.audits import run as runner
from robustrec.audits.item_groups import ItemGroups, group_rows
from robustrec.audits.outcome import make_report
from robustrec.audits.plan_checks import check_gates_select
from robustrec.audits.rows import Intervals, drift_rows
from robustrec.audits.segment_groups import Segment, chosen_segments, segments_of, thirds
from robustrec.audits.segments import segment_rows
from robustrec.audits.suites import Bootstrap, parse_suite, suite_of
from robustrec.config import resolve
from robustrec.datasets.interactions import TRAIN, Interactions
from robustrec.errors import RobustrecError
from robustrec.reading.segments import exposure_section, segment_section
from robustrec.report.console.console import print_report
from robustrec.results.arrays import array_key
from robustrec.results.conditions import CLEAN_TEST, Condition
from robustrec.results.findings import CLEAN, Finding
from robustrec.results.gates import Gate
from robustrec.results.judging import judge
from robustrec.results.report import Report
from robustrec.subject import Subject

SUBJECT = Subject(model="vbpr", strategy="vanilla", features="basic", seed=0)
NOISE = Condition(kind="noise", modality="all", graphs="rebuilt", trained=False, sigma2=0.1)
INTERVALS = Intervals(Bootstrap(replicates=200), 3)
N = 400
SUITE = """
schema_version = 1
name = "parts"
metrics = ["ndcg@20"]
stability = ["rbo@20"]
segments = ["activity", "category", "brand"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "noise"
sigma2 = [0.0, 4.0]
relative = []
draws = 4
"""


def planted(effects: np.ndarray[Any, Any], *, idle: bool = False) -> tuple[list[Finding], list[Finding]]:
    """Return the findings of all users and of two halves, with these mean effects of the users."""
    random = np.random.default_rng(1)
    clean = random.uniform(0.4, 0.6, N)
    noise = 0.0 if idle else random.normal(0, 0.02, (4, N))
    perturbed = clean + effects + noise
    rows = drift_rows(
        SUBJECT, "noise", NOISE, {"ndcg@20": clean}, {"ndcg@20": perturbed + np.zeros((4, N))}, INTERVALS, idle=idle
    )
    arrays = {
        "users": np.arange(N),
        array_key(SUBJECT, CLEAN, CLEAN_TEST, "ndcg@20"): clean,
        array_key(SUBJECT, "noise", NOISE, "ndcg@20"): perturbed + np.zeros((4, N)),
    }
    halves = [
        Segment("category", "<b>shoes</b>", np.arange(N // 2), 20),
        Segment("category", "hats", np.arange(N // 2, N), 20),
    ]
    return rows, segment_rows(rows, arrays, halves, INTERVALS)


def gate(**select: Any) -> Gate:
    return Gate.model_validate(
        {
            "name": "g",
            "select": {"audit": "noise", "metric": "ndcg@20", **select},
            "quantity": "relative_drift",
            "min": -0.05,
        }
    )


SIMPSON = np.where(np.arange(N) < N // 2, -0.1, 0.1)


def test_users_with_few_training_interactions_are_a_segment_where_there_are_any() -> None:
    def parts(*counts: int) -> dict[str, list[int]]:
        users = np.repeat(np.arange(len(counts)), counts)
        items = np.concatenate([np.arange(count) for count in counts])
        data = Interactions(users, items, np.full(len(users), TRAIN, dtype=np.int8), len(counts), 9)
        found = segments_of(("activity",), SimpleNamespace(interactions=data), np.arange(len(counts)))  # type: ignore[arg-type]
        return {each.name: each.rows.tolist() for each in found}

    assert parts(9, 4, 5, 1, 6, 7)["cold (at most 4)"] == [1, 3]
    assert parts(9, 4, 5, 1, 6, 7)["low"] == [1, 3], "they are in a third too"
    assert set(parts(5, 6, 7)) == {"low", "medium", "high"}


def test_opposite_segments_that_the_mean_hides_are_found_and_gated() -> None:
    rows, parts = planted(SIMPSON)
    assert rows[0].relative_drift == pytest.approx(0, abs=0.01)
    drifts = {row.segment: row.relative_drift for row in parts}
    assert drifts["<b>shoes</b>"] == pytest.approx(-0.2, abs=0.02)
    assert drifts["hats"] == pytest.approx(0.2, abs=0.02)
    every = [*rows, *parts]
    assert judge([gate()], every)[0].status == "pass", "without a segment a gate is on all users alone"
    (failed,) = judge([gate(segment_by="category", segment="*shoes*")], every)
    assert (failed.status, failed.selected) == ("fail", 1)
    assert failed.message.startswith("category <b>shoes</b>: ")
    assert judge([gate(segment_by="category", segment="hats")], every)[0].status == "pass"
    (both,) = judge([gate(segment_by="category")], every, correction="holm")
    assert (both.status, both.selected, both.family) == ("fail", 2, 2), "the correction counts every segment"
    assert judge([gate(segment_by="brand")], every)[0].status == "error", "no finding is no pass"


def test_an_a_a_audit_has_no_drift_in_any_segment() -> None:
    _, parts = planted(np.zeros(N), idle=True)
    assert {(row.drift, row.ci_low, row.ci_high) for row in parts} == {(0.0, 0.0, 0.0)}


def test_small_segments_are_listed_with_the_reason() -> None:
    parts = [
        Segment("category", "large", np.arange(60), 10),
        Segment("category", "few users", np.arange(49), 10),
        Segment("category", "few items", np.arange(60), 9),
    ]
    kept, lines = chosen_segments(parts)
    assert [each.name for each in kept] == ["large"]
    assert lines == [
        "segments by category: 2 of 3 not measured, with fewer than 50 users or 10 items: few users (49 users),"
        " few items (9 items)"
    ]


@pytest.fixture(scope="module")
def report(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    shop = make_shop(tmp_path_factory.mktemp("shop") / "shop", tiny_folder / "tiny.inter", brands=True)
    plan = shop_plan(shop, tmp_path_factory.mktemp("home"), suite=SUITE)
    run = runner.measure(plan)
    found = segments_of(("activity", "popularity", "category", "brand"), plan.dataset, run.prepared.test.users)
    sizes = {(each.by, each.name): len(each.rows) for each in found}
    assert [sizes["activity", name] for name in ("low", "medium", "high")] == [27, 27, 26]
    assert sizes["category", "Home"] == 80, "every item is in it"
    assert sum(sizes["category", name] for name in ("Cup", "Lamp", "Rug", "Vase", "Bowl")) == 80
    return make_report(plan, run, command=["robustrec", "audit"])[0]


def test_a_run_has_the_segments_of_its_suite_and_says_which_are_too_small(report: Report) -> None:
    of_users = [row for row in report.segments if row.metric != "exposure@20"]
    assert {row.segment for row in of_users} == {"Home"}, "other segments have fewer than 50 users"
    (home,) = [row for row in report.segments if row.metric == "ndcg@20" and row.condition.sigma2 == 4.0]
    (whole,) = [row for row in report.findings if row.metric == "ndcg@20" and row.condition.sigma2 == 4.0]
    assert (home.drift, home.n_users) == (pytest.approx(whole.drift), 80), "all users have a test item of it"
    assert any("segments by activity: 3 of 3 not measured" in line for line in report.warnings)
    assert any("segments by brand: 7 of 7 not measured" in line for line in report.warnings)
    assert not any(row.segment for row in report.findings)


def test_a_run_has_the_exposure_of_groups_of_items(report: Report) -> None:
    rows = [row for row in report.segments if row.metric == "exposure@20"]
    assert {row.segment for row in rows} >= {"Home", "Cup", "Lamp", "Rug", "Vase", "Bowl"}
    assert {row.n_users for row in rows} == {80}, "of the lists of all users"
    for sigma2 in (0.0, 4.0):
        drifts = {row.segment: row for row in rows if row.quantity == "drift" and row.condition.sigma2 == sigma2}
        parts = [drifts[name] for name in ("Cup", "Lamp", "Rug", "Vase", "Bowl")]
        assert sum(row.perturbed or 0 for row in parts) == pytest.approx(drifts["Home"].perturbed)
        assert drifts["Home"].drift == 0, "every item is in it"
        assert sum(row.drift or 0 for row in parts) == pytest.approx(0, abs=1e-12)
        moved = [(row.drift, row.ci_low, row.ci_high) != (0.0, 0.0, 0.0) for row in parts]
        assert all(moved) if sigma2 else not any(moved), "an A/A condition moves no group"
    assert not any("group_exposure" in row.metric for row in (*report.findings, *report.over_seeds, *report.segments))


def groups_of(*members: list[int], n_items: int = 6, k: int = 2) -> ItemGroups:
    """Return groups a, b, ... of these items."""
    table = np.zeros((n_items, len(members)))
    for column, items in enumerate(members):
        table[items, column] = 1
    return ItemGroups(tuple(("category", "ab"[place]) for place in range(len(members))), csr_array(table), k)


def test_exposure_is_the_share_of_positions_by_hand() -> None:
    lists = np.array([[0, 1, 5], [0, 4, 1], [3, -1, -1]], dtype=np.int32)
    found = groups_of([0, 1, 2], [1, 3]).values(lists)
    np.testing.assert_array_equal(found["group_exposure@2_0"], [1.0, 0.5, 0.0])
    np.testing.assert_array_equal(found["group_exposure@2_1"], [0.5, 0.0, 0.5], "an item of two groups is in both")


def test_thirds_by_price_keep_equal_prices_together() -> None:
    found = thirds([None, 9.0, 1.0, None, 2.0, 3.0, 8.0, 7.0])
    assert {name: items.tolist() for name, items in found.items()} == {"low": [2, 4], "middle": [5, 7], "high": [1, 6]}
    equal = thirds([None, 5.0, 5.0, 5.0, 9.0])
    assert {name: items.tolist() for name, items in equal.items()} == {"low": [1, 2, 3], "high": [4]}
    assert thirds([None]) == {}


def test_groups_that_move_in_opposite_directions_are_found_where_the_items_together_do_not() -> None:
    # a loses two thirds of its positions to b; both together hold the same positions as before.
    groups = groups_of([0, 1], [2, 3])
    before = groups.values(np.array([[0, 1], [0, 2]] * 50, dtype=np.int32))
    after = groups.values(np.array([[0, 2], [2, 3]] * 50, dtype=np.int32))
    rows = drift_rows(SUBJECT, "noise", NOISE, before, {name: each[None] for name, each in after.items()}, INTERVALS)
    strategies = [row.model_copy(update={"reference": "vanilla"}) for row in rows]
    a, b = group_rows([*rows, *strategies], groups)
    assert (a.segment_by, a.segment, a.metric, a.clean, a.perturbed) == ("category", "a", "exposure@2", 0.75, 0.25)
    assert (b.drift, a.drift) == (0.5, -0.5)
    assert a.ci_high is not None
    assert a.ci_high < 0
    limit = {"name": "g", "quantity": "relative_drift", "min": -0.05}
    select = {"audit": "noise", "metric": "exposure@2", "segment_by": "category"}
    (result,) = judge([Gate.model_validate({**limit, "select": select})], [a, b], correction="holm")
    assert (result.status, result.selected) == ("fail", 2)


def test_the_table_of_groups_shows_both_numbers_and_escapes_names(report: Report) -> None:
    rows = [row for row in report.segments if row.metric == "exposure@20" and row.segment == "Cup"]
    named = tuple(
        row.model_copy(
            update={
                "segment": "<b>cups</b>",
                "relative_ci_high": -0.01,
                "relative_ci_low": -0.2,
                "relative_drift": -0.1,
            }
        )
        for row in rows
        if row.quantity == "drift"
    )
    made = report.model_copy(update={"segments": named})
    section = exposure_section(made, {}, "95 %")
    assert section is not None
    assert section.rows[0][0] == "category: <b>cups</b>"
    from robustrec.report.html.page import html_page

    page = html_page(made)
    assert "&lt;b&gt;cups&lt;/b&gt;" in page
    assert "<b>cups</b>" not in page
    assert 'id="item-groups"' in page


def test_a_gate_selects_the_exposure_of_a_group() -> None:
    gated = (
        SUITE
        + """
[[gates]]
name = "cups"
select = { audit = "noise", metric = "exposure@20", segment_by = "category", segment = "Cup" }
quantity = "relative_drift"
min = -0.5
"""
    )
    suite = parse_suite(gated, source="own.toml")
    check_gates_select(suite)
    for fault in ('"exposure@20", segment_by = "category", segment = "Cup"', '"relative_drift"'):
        wrong = gated.replace(fault, '"exposure@20"' if "segment" in fault else '"value"')
        with pytest.raises(RobustrecError, match="exposure@20"):
            check_gates_select(parse_suite(wrong, source="own.toml"))
    plain = gated.replace('segments = ["activity", "category", "brand"]', 'segments = ["activity"]')
    with pytest.raises(RobustrecError, match="exposure@20"):
        parse_suite(plain, source="own.toml")


def test_the_table_shows_what_excludes_zero_and_escapes_names(report: Report) -> None:
    rows, parts = planted(SIMPSON)
    made = report.model_copy(update={"segments": tuple(parts), "findings": (*report.findings, *rows)})
    section = segment_section(made, {}, "95 %")
    assert section is not None
    assert [row[0] for row in section.rows] == ["category: <b>shoes</b>", "category: hats"]
    assert section.lines[0].startswith("Segments move in opposite directions")
    out = io.StringIO()
    print_report(made, Console(file=out, width=160))
    assert "category: <b>shoes</b>" in out.getvalue()
    from robustrec.report.html.page import html_page

    page = html_page(made)
    assert "&lt;b&gt;shoes&lt;/b&gt;" in page
    assert "<b>shoes</b>" not in page


def test_a_gate_on_segments_that_the_suite_does_not_measure_is_refused() -> None:
    gated = """
[[gates]]
name = "tail"
select = { audit = "noise", metric = "ndcg@20", segment_by = "popularity", segment = "tail" }
quantity = "relative_drift"
min = -0.05
"""
    with pytest.raises(RobustrecError, match='add segments = \\["popularity"\\]'):
        parse_suite(SUITE + gated, source="own.toml")
    near = SUITE.replace('"brand"]', '"brand", "user:country"]') + gated.replace('"popularity"', '"user:contry"')
    with pytest.raises(RobustrecError, match=r"did you mean 'user:country'\?"):
        parse_suite(near, source="own.toml")
    with pytest.raises(RobustrecError, match="segment needs segment_by"):
        parse_suite(SUITE + gated.replace('segment_by = "popularity", ', ""), source="own.toml")
    assert parse_suite((SUITE + gated).replace('"brand"]', '"popularity"]'), source="own.toml").gates


def test_segments_are_an_option_with_commas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = resolve({"segments": "activity,category"}).settings
    assert settings.segments == ("activity", "category")
    assert suite_of(settings).segments == ("activity", "category")
    with pytest.raises(RobustrecError, match="colour"):
        resolve({"segments": "colour"})


def test_a_suite_without_segments_keeps_its_digest() -> None:
    plain = SUITE.replace('segments = ["activity", "category", "brand"]\n', "")
    content = parse_suite(plain, source="own.toml").model_dump(mode="json")
    assert "segments" not in content
