"""What cannot be measured on a data set is refused when the run is planned, not by an ERROR after the trainings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from merchant_shop import make_shop, shop_plan

from robustrec.audits.plan_checks import check_gates_select
from robustrec.audits.suites import parse_suite
from robustrec.errors import RobustrecError

SUITE = """
schema_version = 1
name = "edges"
metrics = ["ndcg@20"]
[[audits]]
kind = KIND
"""


@pytest.fixture(scope="module")
def shop(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop") / "shop", tiny_folder / "tiny.inter", pictures=False)


@pytest.mark.parametrize(
    ("kind", "keys", "what"),
    [
        ("worst", "targets = [59, 60]", "there is no item 60: the items have the numbers 0 to 59"),
        (
            "migration",
            'new_encoders = ["int8", "imported"]',
            "'imported' reads feature files, and data set",
        ),
        ("sharpness", "triples = 1", "2"),
    ],
)
def test_what_a_data_set_does_not_have(shop: Path, tmp_path: Path, kind: str, keys: str, what: str) -> None:
    suite = SUITE.replace("KIND", f'"{kind}"') + keys + "\n"
    with pytest.raises(RobustrecError, match=re.escape(what)) as raised:
        shop_plan(shop, tmp_path / "home", suite=suite)
    assert raised.value.fix


@pytest.mark.parametrize(
    ("audit", "select", "quantity"),
    [
        ("worst", 'metric = "ndcg@20"', "relative_drift"),
        ("guarantee", 'metric = "ndcg@20"', "drift"),
        ("cause", 'metric = "ndcg@20"', "relative_drift"),
        ("worst", 'metric = "exposure@20_edited", segment_by = "category"', "drift"),
        ("merchant", 'metric = "ndcg@20_edited", segment_by = "category"', "relative_drift"),
        ("merchant", 'metric = "rank_edited", segment_by = "category"', "drift"),
        ("merchant", 'metric = "touched", segment_by = "category"', "value"),
        ("merchant", 'metric = "touched"', "drift"),
        ("merchant", 'metric = "median_rank_shift_edited"', "drift"),
        ("content_use", 'metric = "content_use", segment_by = "category"', "value"),
        ("noise", 'metric = "ndcg@20_cold_items", segment_by = "category"', "relative_drift"),
    ],
)
def test_gates_on_what_an_audit_does_not_report(audit: str, select: str, quantity: str) -> None:
    kind = "noise" if audit == "content_use" else audit
    head = SUITE.replace("KIND", f'"{kind}"').replace("[[audits]]", 'segments = ["category"]\n[[audits]]')
    gate = f'[[gates]]\nname = "g"\nselect = {{ audit = "{audit}", {select} }}\nquantity = "{quantity}"\nmax = 0.5\n'
    with pytest.raises(RobustrecError, match="cannot match a finding"):
        check_gates_select(parse_suite(head + gate, source="own.toml"))


@pytest.mark.parametrize(
    ("audit", "select", "quantity"),
    [
        ("worst", 'metric = "exposure@20_edited"', "relative_drift"),
        ("worst", 'metric = "ndcg@20_edited"', "drift"),
        ("merchant", 'metric = "ndcg@20", segment_by = "category"', "relative_drift"),
        ("merchant", 'metric = "exposure@20", segment_by = "category"', "drift"),
        ("merchant", 'metric = "median_rank_shift_edited"', "value"),
        ("noise", 'metric = "*", segment_by = "category"', "drift"),
        ("clean", 'metric = "ndcg@20", segment_by = "category"', "value"),
    ],
)
def test_gates_on_what_an_audit_reports(audit: str, select: str, quantity: str) -> None:
    kind = "noise" if audit == "clean" else audit
    head = SUITE.replace("KIND", f'"{kind}"').replace("[[audits]]", 'segments = ["category"]\n[[audits]]')
    gate = f'[[gates]]\nname = "g"\nselect = {{ audit = "{audit}", {select} }}\nquantity = "{quantity}"\nmax = 0.5\n'
    check_gates_select(parse_suite(head + gate, source="own.toml"))
