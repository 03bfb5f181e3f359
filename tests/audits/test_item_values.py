"""Values of items in an audit: from the catalog to findings, segments by column, means over seeds, and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from merchant_shop import make_shop, shop_plan

from robustrec.audits import run as runner
from robustrec.audits.against_baseline import MeasuredState, refuse_incomparable
from robustrec.audits.item_values import columns_of, item_values
from robustrec.audits.outcome import dataset_record, make_report
from robustrec.audits.segment_groups import column_groups
from robustrec.audits.suites import parse_suite, suite_of
from robustrec.config import Settings
from robustrec.datasets.importing import ImportOptions, import_folder
from robustrec.datasets.items import items_text, read_items
from robustrec.datasets.registry import Dataset, load_folder
from robustrec.errors import RobustrecError
from robustrec.evaluation.value import known_or_mean
from robustrec.reading.over_seeds import MeanSubject, shown_segments
from robustrec.results.report import Report

SUITE = """
schema_version = 1
name = "values"
metrics = ["ndcg@20", "value@20", "value_ndcg@20"]
value = "margin"
segments = ["activity", "item:season", "item:margin"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
sigma2 = [0.0, 4.0]
relative = []
draws = 2
[[audits]]
kind = "merchant"
edits = ["category_mistag"]
severities = [0, 5]
shares = [0.5]
draws = 2
[[gates]]
name = "value of edited items"
select = { audit = "merchant", edit = "category_mistag", severity = 5, metric = "value_exposure@20", group = "edited" }
quantity = "relative_drift"
min = -0.9
[[gates]]
name = "value"
select = { audit = "noise", metric = "value@20" }
quantity = "relative_drift"
min = -0.9
[[gates]]
name = "winter"
select = { audit = "noise", metric = "exposure@20", segment_by = "item:season", segment = "winter" }
quantity = "relative_drift"
min = -0.9
"""
COLUMNS = ("price=cost", "margin=profit", "season=time")


@pytest.fixture(scope="module")
def dataset(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a shop with a margin of most items, a price of one, and a season of each."""
    shop = make_shop(tmp_path_factory.mktemp("shop") / "shop", tiny_folder / "tiny.inter", pictures=False)
    lines = [json.loads(line) for line in (shop / "items.jsonl").read_text().splitlines()]
    for item, line in enumerate(lines):
        line.update({"time": "summer" if item % 3 else "winter", "cost": 2 if item == 4 else None})
        line.update({} if item % 10 == 0 else {"profit": item / 4})
    (shop / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    home = tmp_path_factory.mktemp("home")
    return load_folder(import_folder(shop, "own", home, ImportOptions(columns=COLUMNS)), home=home)


@pytest.fixture(scope="module")
def report(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Report:
    plan = shop_plan(dataset.folder, tmp_path_factory.mktemp("home"), suite=SUITE, seeds=2)
    return make_report(plan, runner.measure(plan), command=["robustrec", "audit"])[0]


def test_an_import_keeps_columns_under_the_users_names(dataset: Dataset, tmp_path: Path) -> None:
    assert columns_of(dataset) == ["price", "margin", "season"]
    assert dataset.catalog is not None
    rows = dataset.catalog.items
    assert [dict(row.own) for row in rows[:2] if row] == [{"season": "winter"}, {"margin": 0.25, "season": "summer"}]
    (tmp_path / "again.jsonl").write_text(items_text(rows))
    again = read_items(tmp_path / "again.jsonl", len(rows), stored=True).rows
    assert [row and row.own for row in again] == [row and row.own for row in rows]
    assert read_items(tmp_path / "again.jsonl", len(rows)).rows[1].own == (), "only what an import stored"  # type: ignore[union-attr]


def test_items_without_a_value_are_counted_and_have_the_mean(dataset: Dataset, report: Report) -> None:
    values = item_values(dataset, "margin")
    assert values is not None
    assert int(values.unknown.sum()) == 6
    assert values.values[10] == pytest.approx(np.mean([item / 4 for item in range(60) if item % 10]))
    (line,) = [line for line in report.warnings if "have no margin" in line]
    assert line.startswith("6 of 60 items have no margin: value@k, value_ndcg@k and value_exposure@k count each with")
    assert "positions in the clean top 20" in line


def test_values_have_drifts_gates_and_segments(report: Report) -> None:
    drifts = [row for row in report.findings if row.metric == "value@20" and row.audit == "noise"]
    assert {row.condition.sigma2 for row in drifts} == {0.0, 4.0}
    still = [row for row in drifts if row.condition.sigma2 == 0.0]
    assert {(row.drift, row.ci_low, row.ci_high) for row in still} == {(0.0, 0.0, 0.0)}, "an A/A audit moves nothing"
    assert any(row.drift for row in drifts)
    (clean, *_) = [row for row in report.findings if row.metric == "value@20" and row.audit == "clean"]
    assert clean.unit == "value"
    assert (clean.clean or 0) > 1, "a sum of values and no share"
    assert {gate.gate: gate.status for gate in report.gates}["value"] in ("pass", "inconclusive")
    winter = next(gate for gate in report.gates if gate.gate == "winter")
    assert winter.seeds == (0, 1)
    assert winter.message.startswith("item:season winter: ")


def test_exposures_weighted_by_value_are_in_the_merchant_audit(report: Report) -> None:
    rows = [row for row in report.findings if row.metric.startswith("value_exposure@20_")]
    still = [row for row in rows if row.condition.severity == 0]
    assert {row.group for row in still} == {"all", "untouched"}
    assert {(row.drift, row.ci_low, row.ci_high) for row in still} == {(0.0, 0.0, 0.0)}, "an A/A audit moves nothing"
    edited = [row for row in rows if row.condition.severity == 5]
    assert {row.group for row in edited} == {"all", "edited", "head", "tail", "untouched"}
    assert {row.unit for row in rows} == {"share"}
    means = [row for row in report.over_seeds if row.metric.startswith("value_exposure@20_")]
    assert {(row.metric, row.condition) for row in means} == {(row.metric, row.condition) for row in rows}
    for mean in means:
        pair = [row.drift for row in rows if (row.metric, row.condition) == (mean.metric, mean.condition)]
        assert mean.drift == pytest.approx(np.mean(pair))
    assert next(gate for gate in report.gates if gate.gate == "value of edited items").seeds == (0, 1)


def test_gates_on_exposures_weighted_by_value_need_a_value() -> None:
    parse_suite(SUITE, source="own.toml")
    plain = SUITE.replace(', "value@20", "value_ndcg@20"', "").replace('value = "margin"\n', "")
    with pytest.raises(RobustrecError, match="'value_exposure@20_edited', which the suite does not list"):
        parse_suite(plain, source="own.toml")


def test_segments_have_means_over_training_seeds(report: Report) -> None:
    keys = {(row.metric, row.segment_by, row.segment, row.condition, row.quantity) for row in report.segments}
    means = {
        (row.metric, row.segment_by, row.segment, row.condition, row.quantity): row
        for row in report.segments_over_seeds
    }
    assert means.keys() == keys, "users and exposures alike"
    own = [row for row in report.segments if row.condition.sigma2 == 4.0 and row.metric == "value@20"]
    for row in own:
        pair = [each for each in own if (each.segment_by, each.segment) == (row.segment_by, row.segment)]
        mean = means[row.metric, row.segment_by, row.segment, row.condition, row.quantity]
        assert mean.drift == pytest.approx(np.mean([each.drift for each in pair]))
        assert mean.n_users == row.n_users
        assert "mean of 2 training seeds" in mean.note
    shown = shown_segments(report)
    assert len(shown) == len(keys)
    assert all(isinstance(row.subject, MeanSubject) for row in shown)


def test_columns_of_numbers_are_thirds_and_of_texts_their_labels() -> None:
    texts = {name: rows.tolist() for name, rows in column_groups(["a", None, "b", 3.0, "a"]).items()}
    assert texts == {"a": [0, 4], "b": [2], "3": [3]}
    assert set(column_groups([1.0, 2.0, 3.0, None])) == {"low", "middle", "high"}
    assert column_groups([None]) == {}
    path = "Clothing, Shoes and Jewelry > Women > Shoes > Sandals > Platforms and "
    long = column_groups([f"{path}wedges", f"{path}heels", f"{path}wedges", path])
    assert sorted(rows.tolist() for rows in long.values()) == [[0, 2], [1], [3]], "cut at the end, they are the same"
    assert all(len(name) <= 60 and name.startswith("Clothing, Shoes") for name in long)


def test_values_that_cannot_weigh_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    for column, what in (("stock", "columns with values: price, margin, season"), ("season", "is not numeric")):
        with pytest.raises(RobustrecError, match=what):
            item_values(dataset, column)
    path = tmp_path / "margins.toml"
    path.write_text(SUITE)
    with pytest.raises(RobustrecError, match="no item has a value in the column 'stock'"):
        shop_plan(dataset.folder, tmp_path / "home", suite=SUITE, value="stock")
    imported = replace(dataset, folder=tmp_path / "home" / "data" / dataset.name)
    with pytest.raises(RobustrecError) as raised:
        item_values(imported, "stock")
    name, home = dataset.name, tmp_path / "home"
    again = f"robustrec data import PATH --name {name} --home {home} --columns stock=COLUMN --replace"
    assert raised.value.fix == f"name the column at import, for example: {again}"
    with pytest.raises(ValueError, match="no item has a value"):
        known_or_mean([None])


def test_negative_values_are_refused(dataset: Dataset) -> None:
    assert dataset.catalog is not None
    items = [row and replace(row, own=(("margin", -1.0),)) for row in dataset.catalog.items]
    low: Any = SimpleNamespace(name="own", catalog=SimpleNamespace(items=items), interactions=dataset.interactions)
    with pytest.raises(RobustrecError, match="60 items have a negative value in the column 'margin', the lowest -1"):
        item_values(low, "margin")


def test_a_value_is_named_once() -> None:
    with pytest.raises(RobustrecError, match='add value = "price"'):
        parse_suite(SUITE.replace('value = "margin"\n', ""), source="own.toml")
    with pytest.raises(RobustrecError, match="is read by no metric"):
        parse_suite(SUITE.replace(', "value@20", "value_ndcg@20"', "").split("[[gates]]")[0], source="own.toml")
    suite = suite_of(Settings(suite="quick", value="price"))
    assert suite.metrics[-2:] == ("value@20", "value_ndcg@20")
    assert suite.value == "price"
    assert "value" not in suite_of(Settings(suite="quick")).model_dump(mode="json"), "no digest changes"


def test_a_baseline_of_other_values_is_refused(dataset: Dataset) -> None:
    content = parse_suite(SUITE, source="own.toml").model_dump(mode="json")
    ours = MeasuredState(dataset_record(dataset, "margin"), content, 0, {}, {})
    record = SimpleNamespace(dataset=ours.dataset, suite=SimpleNamespace(content=content), audit_seed=0, subjects=())
    baseline: Any = SimpleNamespace(record=record, file="base.json")
    refuse_incomparable(ours, baseline)
    record.dataset = dataset_record(dataset, "price")
    with pytest.raises(RobustrecError, match=r"the items have other values \(margin\) than in the baseline"):
        refuse_incomparable(ours, baseline)
    assert dataset_record(dataset).item_values is None
