"""The script that compares the numbers of two reports finds planted differences."""

import json
from pathlib import Path

import pytest
from made_up_report import made_up_report

from benchmarks.same_numbers import differences, main, table_of
from robustrec.results.report import read_report, write_report

RUN = Path(__file__).parent / "data" / "run-v2.json"


def test_a_report_and_its_upgrade_have_the_same_numbers(tmp_path, monkeypatch, capsys):
    write_report(read_report(RUN), tmp_path / "v3.json")
    monkeypatch.setattr("sys.argv", ["same_numbers", str(RUN), str(tmp_path / "v3.json")])
    assert main() == 0
    told = json.loads(capsys.readouterr().out)
    assert told["differences"] == 0
    assert told["rows"] > 70


def test_a_planted_difference_and_missing_and_added_findings_are_reported(tmp_path, monkeypatch, capsys):
    report = read_report(RUN)
    first, second, *others = report.findings
    nudged = first.model_copy(update={"clean": first.clean * (1 + 2e-16)})
    renamed = second.model_copy(update={"metric": "hits@20"})
    write_report(report.model_copy(update={"findings": (nudged, renamed, *others)}), tmp_path / "v3.json")
    monkeypatch.setattr("sys.argv", ["same_numbers", str(RUN), str(tmp_path / "v3.json")])
    assert main() == 1
    told = capsys.readouterr().out.splitlines()
    assert json.loads(told[0])["differences"] == len(told) - 1 == 3
    assert f"clean is {nudged.clean!r}, was {first.clean!r}" in "".join(told)
    assert [line.partition(":")[0] for line in told[1:3]] == ["missing", "added"]


@pytest.mark.parametrize("field", ["value", "conclusion"])
def test_comparisons_of_strategies_are_compared_too(tmp_path, field):
    row = {"model": "m", "budget": "epochs", "strategy": "s", "measure": "ndcg@20", "value": {"estimate": 0.1}}
    row |= {"shares": {}, "difference": None, "ratio": None, "p": None, "conclusion": ""}
    for name, content in (
        ("a", row),
        ("b", {**row, field: {"estimate": 0.1 + 2e-16} if field == "value" else "better"}),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps({"kind": "strategies", "rows": [content]}))
    found = differences(table_of(tmp_path / "a.json"), table_of(tmp_path / "b.json"))
    assert len(found) == 1
    assert f": {field} is " in found[0]


def test_what_differs_in_gates_is_a_difference(tmp_path):
    report = made_up_report()
    gate = report.gates[0].model_copy(update={"p_value": 0.5})
    write_report(report, tmp_path / "a.json")
    write_report(report.model_copy(update={"gates": (gate, *report.gates[1:])}), tmp_path / "b.json")
    (line,) = differences(table_of(tmp_path / "a.json"), table_of(tmp_path / "b.json"))
    assert line.startswith(f"gate | {gate.gate}: p_value")
