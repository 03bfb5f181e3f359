"""Segments by a column of the users: from the table to findings, gates, means over seeds, pages, and no user ids."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from merchant_shop import make_shop, shop_plan
from rich.console import Console

from robustrec.audits import run as runner
from robustrec.audits.outcome import make_report
from robustrec.audits.segment_groups import Segment, chosen_segments, segments_of, user_column_notes
from robustrec.datasets.importing import ImportOptions, import_folder
from robustrec.datasets.registry import Dataset, load_folder
from robustrec.errors import RobustrecError
from robustrec.report.console.console import print_report
from robustrec.report.html.page import html_page
from robustrec.results.report import Report

SUITE = """
schema_version = 1
name = "users"
metrics = ["ndcg@20"]
stability = ["rbo@20"]
segments = ["user:country", "user:age", "category"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
sigma2 = [0.0, 4.0]
relative = []
draws = 2
[[audits]]
kind = "missing"
[[gates]]
name = "norway"
select = { audit = "noise", metric = "ndcg@20", segment_by = "user:country", segment = "Norway" }
quantity = "relative_drift"
min = -0.9
"""
NAMES = [f"shopper-{user:03}" for user in range(80)]


@pytest.fixture(scope="module")
def dataset(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a shop whose users have a country (52 Norway, 25 Sweden, 3 unknown) and an age."""
    shop = make_shop(tmp_path_factory.mktemp("shop") / "shop", tiny_folder / "tiny.inter", pictures=False)
    mapping = "".join(f"{name}\t{user}\n" for user, name in enumerate(NAMES))
    (shop / "u_id_mapping.csv").write_text("user_id\tuserID\n" + mapping)
    countries = ["Norway"] * 52 + ["Sweden"] * 25 + [""] * 3
    lines = [f"{name},{country},{20 + user // 70}" for user, (name, country) in enumerate(zip(NAMES, countries))]  # noqa: B905
    (shop / "people.csv").write_text("\n".join(["customer,country,age", *lines]) + "\n")
    options = ImportOptions(user_table=Path("people.csv"), user_columns=("country", "age"))
    home = tmp_path_factory.mktemp("home")
    return load_folder(import_folder(shop, "own", home, options), home=home)


@pytest.fixture(scope="module")
def report(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Report:
    plan = shop_plan(dataset.folder, tmp_path_factory.mktemp("home"), suite=SUITE, seeds=2)
    return make_report(plan, runner.measure(plan), command=["robustrec", "audit"])[0]


def test_every_audit_has_the_users_of_a_column(report: Report) -> None:
    rows = [row for row in report.segments if row.segment_by == "user:country"]
    assert {(row.segment, row.n_users) for row in rows} == {("Norway", 52)}
    assert {row.audit for row in rows} == {"clean", "noise", "missing"}
    assert {row.metric for row in rows} == {"ndcg@20", "rbo@20"}, "groups of users have no exposure"
    still = [row for row in rows if row.condition.sigma2 == 0.0]
    assert still
    assert {(row.drift, row.ci_low, row.ci_high) for row in still} == {(0.0, 0.0, 0.0)}
    assert any(row.drift for row in rows if row.condition.sigma2 == 4.0)
    keys = {(row.audit, row.metric, row.condition, row.quantity) for row in rows}
    means = [row for row in report.segments_over_seeds if row.segment == "Norway"]
    assert {(row.audit, row.metric, row.condition, row.quantity) for row in means} == keys


def test_segments_are_the_users_with_the_value_by_their_original_ids(dataset: Dataset) -> None:
    users = np.arange(10, 80)
    found = {(each.by, each.name): users[each.rows].tolist() for each in segments_of(("user:country",), dataset, users)}
    assert found == {("user:country", "Norway"): list(range(10, 52)), ("user:country", "Sweden"): list(range(52, 77))}


def test_numbers_are_thirds_with_their_limits_and_unknown_values_are_counted(report: Report) -> None:
    assert "segments by user:age: low is at most 20, middle at most 20, high above 20" in report.warnings
    assert "segments by user:country: 3 of 80 test users have no country and are in no segment" in report.warnings
    ages = {row.segment for row in report.segments if row.segment_by == "user:age"}
    assert ages == {"low"}, "equal ages are in one segment, and 10 users are too few for another"


def test_few_users_are_counted_without_the_value_that_could_tell_who_they_are(report: Report) -> None:
    (line,) = [line for line in report.warnings if "user:country" in line and "not measured" in line]
    assert line == "segments by user:country: 1 of 2 not measured, with fewer than 50 test users each (25 in all)"
    parts = [Segment("user:city", f"Place {n}", np.arange(n)) for n in (3, 49, 50)]
    kept, lines = chosen_segments(parts)
    assert [each.name for each in kept] == ["Place 50"]
    assert lines == ["segments by user:city: 2 of 3 not measured, with fewer than 50 test users each (52 in all)"]


def test_no_form_of_the_report_has_a_user_id(report: Report) -> None:
    out = io.StringIO()
    print_report(report, Console(file=out, width=160))
    forms = (report.model_dump_json(), html_page(report), out.getvalue())
    assert not any("shopper-" in form for form in forms)
    assert not any("Sweden" in form for form in forms), "too few users for a name"


def test_a_gate_has_the_segment_over_seeds_and_counts_in_the_correction(report: Report) -> None:
    (gate,) = report.gates
    assert (gate.status in ("pass", "fail", "inconclusive"), gate.seeds, gate.selected) == (True, (0, 1), 2)
    assert gate.message.startswith("user:country Norway: ")


@pytest.mark.parametrize(
    ("old", "new", "what", "fix"),
    [
        ('segment = "Norway"', 'segment = "Norwya"', "'Norwya' by user:country, which is not measured", "'Norway'"),
        ('segment = "Norway"', 'segment = "Sweden"', "is not measured: it has 25 users", "Norway"),
        ('"user:age"', '"user:agee"', "the users have no column 'agee'; columns of users: age, country", "'age'"),
        ('user:country", segment = "Norway"', 'category", segment = "Cup"', "'Cup' by category, which is not", "Home"),
    ],
)
def test_a_plan_refuses_segments_that_will_not_be_there(
    dataset: Dataset, tmp_path: Path, old: str, new: str, what: str, fix: str
) -> None:
    with pytest.raises(RobustrecError, match=re.escape(what)) as raised:
        shop_plan(dataset.folder, tmp_path / "home", suite=SUITE.replace(old, new))
    assert fix in raised.value.fix
    if "agee" not in new:
        optional = SUITE.replace(old, new).replace("min = -0.9", "min = -0.9\noptional = true")
        assert shop_plan(dataset.folder, tmp_path / "home", suite=optional).suite.gates


def test_the_sizes_of_a_plan_are_those_of_the_ranked_users(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match=r"is not measured: it has 2\d users"):
        shop_plan(dataset.folder, tmp_path / "home", suite=SUITE, users=40)


def test_exposure_gates_name_groups_of_items(dataset: Dataset, tmp_path: Path) -> None:
    cups = SUITE.replace('metric = "ndcg@20", segment_by = "user:country", segment = "Norway"', 'metric = "exposure@20", segment_by = "category", segment = "Cup"')  # fmt: skip  # noqa: E501
    assert shop_plan(dataset.folder, tmp_path / "home", suite=cups).suite.gates, "a group of items needs no users"
    with pytest.raises(RobustrecError, match="'Cupp' by category, which is not measured") as raised:
        shop_plan(dataset.folder, tmp_path / "home", suite=cups.replace('"Cup"', '"Cupp"'))
    assert "did you mean 'Cup'?" in raised.value.fix
    with pytest.raises(RobustrecError, match="exposure@20"):
        shop_plan(
            dataset.folder,
            tmp_path / "home",
            suite=cups.replace('segment_by = "category"', 'segment_by = "user:country"'),
        )


def test_a_data_set_without_columns_says_how_to_name_them(dataset: Dataset, tmp_path: Path, tiny_folder: Path) -> None:
    shop = make_shop(tmp_path / "shop", tiny_folder / "tiny.inter", pictures=False)
    with pytest.raises(RobustrecError, match="no column 'country'; columns of users: none") as raised:
        shop_plan(shop, tmp_path / "home", suite=SUITE)
    assert "--user-table FILE --user-columns country=COLUMN" in raised.value.fix
    assert user_column_notes(("user:country",), load_folder(shop, home=tmp_path), np.arange(3)) == [
        "segments by user:country: 3 of 3 test users have no country and are in no segment"
    ]


def test_members_are_beside_the_report_as_numbers_only(dataset: Dataset) -> None:
    assert dataset.user_columns is not None
    first = json.loads(dataset.user_columns.read_text().splitlines()[0])
    assert first == {"userID": 0, "columns": {"country": "Norway", "age": 20.0}}
