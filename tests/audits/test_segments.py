"""Segments: opposite drifts that the mean hides, small segments, gates by segment, and their correction."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from merchant_shop import make_shop, shop_plan
from rich.console import Console

from robustrec.audits import run as runner
from robustrec.audits.outcome import make_report
from robustrec.audits.rows import Intervals, drift_rows
from robustrec.audits.segments import Segment, chosen_segments, segment_rows, segments_of
from robustrec.audits.suites import Bootstrap, parse_suite, suite_of
from robustrec.config import resolve
from robustrec.errors import RobustrecError
from robustrec.reading.segments import segment_section
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
    found = segments_of(("activity", "popularity", "category", "brand"), plan.dataset, run.prepared.test)
    sizes = {(each.by, each.name): len(each.rows) for each in found}
    assert [sizes["activity", name] for name in ("low", "medium", "high")] == [27, 27, 26]
    assert sizes["category", "Home"] == 80, "every item is in it"
    assert sum(sizes["category", name] for name in ("Cup", "Lamp", "Rug", "Vase", "Bowl")) == 80
    return make_report(plan, run, command=["robustrec", "audit"])[0]


def test_a_run_has_the_segments_of_its_suite_and_says_which_are_too_small(report: Report) -> None:
    assert {row.segment for row in report.segments} == {"Home"}, "other segments have fewer than 50 users"
    (home,) = [row for row in report.segments if row.metric == "ndcg@20" and row.condition.sigma2 == 4.0]
    (whole,) = [row for row in report.findings if row.metric == "ndcg@20" and row.condition.sigma2 == 4.0]
    assert (home.drift, home.n_users) == (pytest.approx(whole.drift), 80), "all users have a test item of it"
    assert any("segments by activity: 3 of 3 not measured" in line for line in report.warnings)
    assert any("segments by brand: 7 of 7 not measured" in line for line in report.warnings)
    assert not any(row.segment for row in report.findings)


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
