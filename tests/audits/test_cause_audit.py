"""The cause audit: shares sum to the drift, planted causes get theirs, what a model ignores gets exactly 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from merchant_shop import make_shop, shop_plan

from robustrec.audits import run as runner
from robustrec.audits.cause import measure
from robustrec.audits.cause.inputs import Inputs, with_rows
from robustrec.audits.cause.shapley import coalitions_of, leave_one_out, shapley_values
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import cost_of
from robustrec.audits.suites import parse_suite
from robustrec.errors import RobustrecError
from robustrec.models.contract import Representation
from robustrec.models.graphs import sparse_of
from robustrec.reading.advice import lines_that_matter
from robustrec.reading.cause import cause_tables
from robustrec.reading.conditions import condition_words
from robustrec.reading.summary import summary_of
from robustrec.results.conditions import Condition
from robustrec.results.findings import Finding
from robustrec.results.report import Report

SUITE = """
schema_version = 1
name = "causes"
metrics = ["ndcg@20", "recall@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "merchant"
edits = ["wrong_picture", "empty_description", "empty_description+recolour", "typos"]
severities = [SEVERITY]
shares = [0.3]
draws = 2
[[audits]]
kind = "cause"
edits = ["wrong_picture", "empty_description", "empty_description+recolour", "typos"]
severities = [SEVERITY]
share = 0.3
draws = 2
"""
PLANTED = """
schema_version = 1
name = "causes"
metrics = ["ndcg@20"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "cause"
edits = ["empty_description+wrong_picture"]
severities = [5]
share = 0.5
draws = 2
"""
TEXT_ONLY = """
from robustrec.models.vbpr import VBPR


class TextVBPR(VBPR):
    modalities = ("text",)
"""


def audited(plan: Any) -> Report:
    run = runner.measure(plan)
    assert run.context.costs.rankings <= cost_of(plan).rankings
    return make_report(plan, run, command=["robustrec", "audit"])[0]


def rows_of(report: Report, **wanted: Any) -> list[Any]:
    fields = ("cause", "edit", "severity")
    return [
        row
        for row in report.findings
        if row.audit == "cause"
        and all(getattr(row.condition if key in fields else row, key) == value for key, value in wanted.items())
    ]


@pytest.fixture(scope="module")
def shop(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop") / "shop", next(tiny_folder.glob("*.inter")))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of features and trainings that the tests share."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def report(shop: Path, home: Path) -> Report:
    return audited(shop_plan(shop, home, "vbpr", "freedom", suite=SUITE.replace("SEVERITY", "5")))


def sums(report: Report) -> list[tuple[Any, list[Any]]]:
    """Return (whole, parts) of every decomposed drift."""
    wholes = [row for row in rows_of(report, cause="all")]
    found = []
    for whole in wholes:
        own = rows_of(report, subject=whole.subject, metric=whole.metric, edit=whole.condition.edit)
        found.append((whole, [row for row in own if row.condition.cause != "all"]))
    return found


def test_shapley_values_of_known_games() -> None:
    def values(game: Any, players: str) -> dict[frozenset[str], Any]:
        return {each: np.array([float(game(each))]) for each in coalitions_of(players)}

    both = values(lambda each: {"a", "b"} <= each, "abc")
    assert {name: float(value[0]) for name, value in shapley_values(both, "abc").items()} == {
        "a": 0.5,
        "b": 0.5,
        "c": 0,
    }
    assert {name: float(value[0]) for name, value in leave_one_out(both, "abc").items()} == {"a": 1, "b": 1, "c": 0}
    gloves = values(lambda each: "a" in each and bool({"b", "c"} & each), "abc")  # one left glove, two right ones
    found = shapley_values(gloves, "abc")
    assert [float(found[name][0]) for name in "abc"] == pytest.approx([2 / 3, 1 / 6, 1 / 6], abs=1e-15)


def test_shapley_values_sum_to_the_whole_change_of_every_user() -> None:
    generator = np.random.default_rng(3)
    for n in range(1, 5):
        players = "abcd"[:n]
        values = {each: generator.normal(size=(3, 50)) for each in coalitions_of(players)}
        total = sum(shapley_values(values, players).values())
        assert np.abs(total - (values[frozenset(players)] - values[frozenset()])).max() < 1e-12
        assert len(values) == 2**n


def test_rows_of_edited_items_and_of_bystanders_make_the_edited_graph() -> None:
    def matrix(values: list[list[float]]) -> Any:
        dense = torch.tensor(values, dtype=torch.float32)
        rows, columns = dense.nonzero(as_tuple=True)
        return sparse_of(rows, columns, dense[rows, columns], tuple(dense.shape))

    def dense(graph: Any) -> Any:
        full = torch.zeros(graph.shape)
        full[graph.pattern.rows(), graph.pattern.columns.long()] = graph.values
        turned = torch.zeros(graph.shape)
        turned[graph.transpose.columns.long(), graph.transpose.rows()] = graph.transpose_values
        assert torch.equal(full, turned)
        return full

    clean = matrix([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    edited = matrix([[0, 2, 0], [0, 0, 2], [2, 0, 0]])
    items = torch.tensor([1])
    assert dense(with_rows(clean, edited, items, own=True)).tolist() == [[0, 1, 1], [0, 0, 2], [1, 1, 0]]
    assert dense(with_rows(clean, edited, items, own=False)).tolist() == [[0, 2, 0], [1, 0, 1], [2, 0, 0]]


def test_shares_sum_to_the_drift_that_the_merchant_audit_measures(report: Report) -> None:
    merchant = {
        (row.subject, row.condition.edit, row.metric): row
        for row in report.findings
        if row.audit == "merchant" and row.reference == "clean"
    }
    compared = 0
    for whole, parts in sums(report):
        assert abs(sum(row.drift for row in parts) - whole.drift) < 1e-12
        same = merchant.get((whole.subject, whole.condition.edit, whole.metric.replace("_shapley", "")))
        if same is not None:
            compared += 1
            assert whole.drift == pytest.approx(same.drift, abs=1e-14)
            assert whole.clean == pytest.approx(same.clean, abs=1e-14)
    assert compared >= 2 * (3 * 3 + 1)
    assert any(abs(whole.drift) > 0.01 for whole, _ in sums(report))
    assert {each.status for each in report.statuses if each.audit == "cause"} == {"ok"}


def test_players_follow_from_the_model(report: Report) -> None:
    vbpr = {row.condition.cause for row in rows_of(report) if row.subject.model == "vbpr"}
    freedom = [row for row in rows_of(report) if row.subject.model == "freedom"]
    assert vbpr == {"all", "image", "text"}
    assert {row.condition.cause for row in freedom} == {"all", "image", "text", "item_graph", "bystanders"}
    # Its scores use features by the item graph alone.
    assert {row.drift for row in freedom if row.condition.cause in ("image", "text")} == {0.0}
    assert any(row.drift for row in freedom if row.condition.cause == "bystanders")


def test_an_edit_of_pictures_has_the_picture_as_its_only_cause(report: Report) -> None:
    own = rows_of(report, edit="wrong_picture", metric="ndcg@20_shapley")
    own = {row.condition.cause: row for row in own if row.subject.model == "vbpr"}
    assert set(own) == {"all", "image"}
    assert own["image"].drift == own["all"].drift < 0


@pytest.mark.parametrize(("weights", "shares"), [((1.0, 0.0), (1.0, 0.0)), ((1.0, 1.0), (0.5, 0.5))])
def test_planted_causes_get_their_share(
    weights: tuple[float, float], shares: tuple[float, float], shop: Path, home: Path
) -> None:
    """Scores are a weighted sum of both modalities, whose planted vectors and edits are the same."""

    def represent(_: Any, features: Any = None, **__: Any) -> Representation:
        given = {"image": clean, "text": clean} if features is None else features
        return Representation(users, weights[0] * given["image"] + weights[1] * given["text"])

    def planted(*arguments: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(measure, "inputs_of", inputs)
            patch.setattr(runner.TrainedSubject, "represent", represent)
            measured(*arguments)

    plan = shop_plan(shop, home, suite=PLANTED)
    generator = torch.Generator().manual_seed(5)
    interactions = plan.dataset.interactions
    users = torch.randn(interactions.n_users, 8, generator=generator)
    clean = torch.randn(interactions.n_items, 8, generator=generator)
    edited = torch.randn(interactions.n_items, 8, generator=generator)

    def inputs(*_: Any) -> Inputs:
        return Inputs({"image": clean, "text": clean}, {"image": edited, "text": edited}, {})

    measured = measure.run_task
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "run_task", planted)
        run = runner.measure(plan)
    found = [row for row in run.results.findings if row.audit == "cause" and row.metric == "ndcg@20_shapley"]
    by_cause = {row.condition.cause: row.drift for row in found}
    assert abs(by_cause["all"]) > 0.001
    for cause, share in zip(("image", "text"), shares, strict=True):
        assert by_cause[cause] / by_cause["all"] == pytest.approx(share, abs=1e-9)


def test_what_a_model_does_not_read_is_exactly_nothing(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text_vbpr_cause.py").write_text(TEXT_ONLY)
    monkeypatch.syspath_prepend(tmp_path)
    report = audited(shop_plan(shop, tmp_path / "home", "text_vbpr_cause:TextVBPR", suite=PLANTED))
    pictures = rows_of(report, cause="image")
    assert len(pictures) == 6
    for row in pictures:
        assert (row.drift, row.ci_low, row.ci_high) == (0.0, 0.0, 0.0)
        assert row.note.startswith("the scores do not depend on the image vectors")
    texts = {row.metric: row.drift for row in rows_of(report, cause="text")}
    whole = {row.metric: row.drift for row in rows_of(report, cause="all")}
    assert texts["ndcg@20_shapley"] == whole["ndcg@20_shapley"] < 0


def test_an_audit_without_an_edit_says_nothing(shop: Path, home: Path) -> None:
    report = audited(shop_plan(shop, home, "freedom", suite=SUITE.replace("SEVERITY", "0")))
    found = rows_of(report)
    assert found
    for row in found:
        assert (row.drift, row.ci_low, row.ci_high) == (0.0, 0.0, 0.0), row
    assert not any("cause" in line for line in lines_that_matter(summary_of(report)))
    assert not any("(" in cell for table in cause_tables(summary_of(report)) for row in table.rows for cell in row[1:])


def test_tables_and_sentence(report: Report) -> None:
    summary = summary_of(report)
    tables = cause_tables(summary)
    assert len(tables) == 6
    vbpr = next(table for table in tables if "ndcg@20, vbpr" in table.title)
    assert vbpr.columns == ["edit", "drift", "95 %", "picture", "text"]
    assert next(row for row in vbpr.rows if row[0] == "wrong picture (upload fault)")[3].endswith("(100 %)")
    unsure = [line for table in tables for line in table.lines if line.startswith("no drift to explain")]
    assert unsure
    (sentence,) = [line for line in lines_that_matter(summary) if line.startswith("cause")]
    assert "points come from the " in sentence


def test_a_part_that_is_not_significant_is_told_so_and_gets_no_share(report: Report) -> None:
    summary = summary_of(report)

    def wider(row: Finding) -> Finding:
        if row.audit != "cause" or row.condition.cause in (None, "all") or not row.drift:
            return row
        return row.model_copy(update={"ci_low": -abs(row.drift) - 1, "ci_high": abs(row.drift) + 1})

    found = report.model_copy(update={"findings": [wider(row) for row in report.findings]})
    (before,) = [line for line in lines_that_matter(summary) if line.startswith("cause")]
    (after,) = [line for line in lines_that_matter(summary_of(found)) if line.startswith("cause")]
    assert after.count("(not significant)") == after.count("points come from the ") > before.count("(not significant)")
    cells = [cell for table in cause_tables(summary_of(found)) for row in table.rows for cell in row[1:]]
    assert not [cell for cell in cells if cell.endswith("%)")]


def test_only_the_edits_without_a_drift_have_none_to_explain(report: Report) -> None:
    def at(severity: int, row: Finding) -> Finding:
        where = {**row.condition.model_dump(exclude={"label"}), "severity": severity}
        idle = {"condition": Condition.model_validate(where), "drift": 0.0, "ci_low": -1.0, "ci_high": 1.0}
        return row.model_copy(update=idle)

    own = rows_of(report)
    more = [at(severity, row) for severity in (0, 1) for row in own]
    found = report.model_copy(update={"findings": [*report.findings, *more]})
    (before,), (after,) = (
        [table for table in cause_tables(summary_of(each)) if "of edited test items, vbpr" in table.title]
        for each in (report, found)
    )
    told = next(line.partition(": ")[2] for line in after.lines if line.startswith("no drift to explain")).split("; ")
    edits = {row[0] for row in before.rows if row[0] != "  alone"}
    drifts = {row[0] for row in before.rows if any("(" in cell for cell in row[3:])}
    assert drifts
    assert {f"{edit}, severity 1" for edit in edits} <= set(told), "A/A rows have nothing to explain, and are not named"
    assert not {each for each in told if each.endswith(("severity 0", *(f"{edit}, severity 5" for edit in drifts)))}


def test_gates_select_by_cause_and_wrong_settings_are_refused(shop: Path, home: Path) -> None:
    gate = """
[[gates]]
name = "pictures"
select = { audit = "cause", cause = "image", edit = "empty_description+wrong_picture", metric = "METRIC" }
quantity = "relative_drift"
min = -0.001
bound = "estimate"
"""
    report = audited(shop_plan(shop, home, suite=PLANTED + gate.replace("METRIC", "exposure@20_shapley_edited")))
    assert [(each.status, each.selected) for each in report.gates] == [("fail", 1)]
    with pytest.raises(RobustrecError, match="which the suite does not list"):
        parse_suite(PLANTED + gate.replace("METRIC", "exposure@10_shapley_edited"), source="x")
    with pytest.raises(RobustrecError, match="not in the metrics of the suite"):
        parse_suite(PLANTED.replace("draws = 2", 'draws = 2\nmetric = "recall@20"'), source="x")
    with pytest.raises(RobustrecError, match="wrong_pictur"):
        shop_plan(shop, home, suite=PLANTED.replace("wrong_picture", "wrong_pictur"))


def test_labels_and_words() -> None:
    condition = Condition(kind="cause", cause="item_graph", edit="all", severity=3, share=0.1)
    assert condition.label == "cause=item_graph edit=all severity=3 share=0.1"
    assert condition_words(condition) == "item graph: mean of the edits, severity 3, 10 % of items"
