from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped
from labelled import finding
from made_up_exhibits import fragile, full_report
from made_up_report import SGBD, VANILLA, comparisons, drift, made_up_report, noise_findings, value

from robustrec.errors import RobustrecError
from robustrec.report.forms import BINARY, FORMATS
from robustrec.report.forms.findings_table import COLUMNS, guarded
from robustrec.report.forms.github import append_step_summary
from robustrec.report.forms.markdown import escaped
from robustrec.report.forms.outputs import Output, parse_outputs, write_outputs
from robustrec.results.findings import AuditStatus
from robustrec.results.report import read_report, write_report
from robustrec.results.waivers import Waived

HOSTILE = "=cmd()|<b>x</b> `a` [l](http://evil.example) @team ::error::%0A,\r\n\x1b[31m\u202e\x00| --> ]]>"
SIMPLE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
NUMBER = st.floats(allow_nan=False, allow_infinity=False, width=64)


def with_gates(*statuses, severity="error", waived=None):
    """A report whose gates ended so, one after the other, whatever its findings say."""
    base = made_up_report()
    gate = base.gates[0]
    gates = tuple(
        gate.model_copy(update={"gate": f"gate {place}", "status": status, "severity": severity, "waived": waived})
        for place, status in enumerate(statuses)
    )
    return base.model_copy(update={"gates": gates, "verdict": "pass"})


def cases(report):
    suites = JUnitXml.fromstring(FORMATS["junit"](report).decode())
    return [case for suite in suites for case in suite]


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "html"])  # that has a test file of its own
def test_every_form_of_every_kind_of_report_is_made(form):
    reports = [
        full_report([SGBD, VANILLA]),
        made_up_report(findings=[], statuses=[], subjects=(), gates=(), verdict="error", verdict_reason="nothing"),
        made_up_report(warnings=(HOSTILE,), findings=[drift(note=HOSTILE, condition=HOSTILE, metric=HOSTILE)]),
    ]
    for report in reports:
        content = FORMATS[form](report)
        assert content
        if form not in BINARY:
            content.decode()


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent / "data").glob("report*.json")), ids=lambda path: path.name
)
def test_every_form_is_made_of_reports_of_every_version(path):
    for write in FORMATS.values():
        assert write(read_report(path))


@settings(max_examples=40, deadline=None)
@given(SIMPLE, SIMPLE, NUMBER, st.none() | NUMBER)
def test_a_report_read_again_gives_the_same_forms(tmp_path_factory, text, name, number, other):
    rows = [
        value(SGBD, number, None, metric=name, condition=text, note=text, unit=name),
        finding(
            subject=VANILLA,
            audit=name,
            condition=text,
            metric="x",
            quantity="drift",
            drift=other,
            n_users=3,
            n_draws=0,
            unit="",
        ),
    ]
    report = made_up_report(findings=rows, warnings=(text,), command=(text,), exhibits=(fragile(SGBD, item=text),))
    path = tmp_path_factory.mktemp("round") / "r.json"
    write_report(report, path)
    again = read_report(path)
    assert again == report
    for form in set(FORMATS) - {"html"}:
        assert FORMATS[form](again) == FORMATS[form](report), form


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(SIMPLE, NUMBER), max_size=5))
def test_the_csv_has_every_number_unrounded_and_no_formula(rows):
    findings = [value(SGBD, number, None, condition=text, note=text) for text, number in rows]
    table = list(csv.DictReader(io.StringIO(FORMATS["csv"](made_up_report(findings=findings)).decode(), newline="")))
    assert len(table) == len(findings)
    for row, own in zip(table, findings, strict=True):
        assert float(row["clean"]) == own.clean
        assert row["condition"] == guarded(own.condition.label)
        for text in (row["note"], row["condition"]):
            assert not text.lstrip().startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", " =1", "'=1", "plain", ""])
def test_texts_that_begin_like_formulas_get_an_apostrophe(text):
    assert guarded(text) == (text if text in ("'=1", "plain", "") else f"'{text}")


def test_negative_numbers_stay_numbers_in_csv():
    row = next(csv.DictReader(io.StringIO(FORMATS["csv"](made_up_report(findings=[drift()])).decode())))
    assert float(row["drift"]) == pytest.approx(-0.001)
    assert row["drift"].startswith("-")


def test_parquet_holds_the_same_table():
    pq = pytest.importorskip("pyarrow.parquet")
    report = full_report([SGBD])
    table = pq.read_table(io.BytesIO(FORMATS["parquet"](report)))
    assert tuple(table.column_names) == COLUMNS
    rows = table.to_pylist()
    for row, own in zip(rows, report.findings, strict=True):
        assert row["clean"] == own.clean
        assert row["ci_low"] == own.ci_low
        assert row["model"] == own.subject.model
        assert row["n_users"] == own.n_users
    assert str(table.schema.field("clean").type) == "double"
    assert table.schema.metadata[b"suite"] == b"paper"


def test_parquet_without_pyarrow_is_refused_before_any_work(monkeypatch, tmp_path):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "pyarrow" else find_spec(name, *a)
    )
    with pytest.raises(RobustrecError, match="pyarrow") as error:
        parse_outputs([f"parquet:{tmp_path / 'x.parquet'}"])
    assert "pip install 'robustrec[parquet]'" in error.value.fix


def test_junit_has_one_case_a_gate_with_its_end():
    report = with_gates("pass", "fail", "inconclusive", "error")
    ended = [[type(each) for each in case.result] for case in cases(report)]
    assert ended == [[], [Failure], [Skipped], [Error]]
    assert [case.name for case in cases(report)] == [f"gate {place}" for place in range(4)]
    skipped = cases(report)[2].result[0].message
    assert skipped.startswith("INCONCLUSIVE: ")
    assert "limits -2 to 2 %" in skipped
    root = ElementTree.fromstring(FORMATS["junit"](report))
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }


def test_junit_does_not_fail_what_only_warns_or_is_waived():
    waived = Waived(reason="known", expires=date(2099, 1, 1), findings=1, otherwise="pass")
    for report in (with_gates("fail", severity="warn"), with_gates("fail", waived=waived)):
        (case,) = cases(report)
        assert [type(each) for each in case.result] == [Skipped]
    assert "warning gate" in cases(with_gates("fail", severity="warn"))[0].result[0].message
    assert "known (until 2099-01-01)" in case.result[0].message


def test_junit_shows_audits_that_ended_in_an_error_and_errors_of_the_whole_run():
    statuses = [AuditStatus(audit="reach", subject=SGBD, status="error", message=HOSTILE)]
    found = [case for case in cases(made_up_report(statuses=statuses)) if "reach of" in case.name]
    assert [type(each) for each in found[0].result] == [Error]
    empty = made_up_report(findings=[], statuses=[], subjects=(), gates=(), verdict="error", verdict_reason="nothing")
    assert [type(each) for case in cases(empty) for each in case.result] == [Error]


def test_markdown_is_short_and_says_what_matters():
    text = FORMATS["markdown"](full_report()).decode()
    for word in (
        "robustrec: FAIL",
        "**SAMPLE EDITION**",
        "No recommendation: ",
        "| ❌ FAIL |",
        "input sharpness, nats",
    ):
        assert word in text
    assert len(text.encode()) < 10_000


def test_markdown_and_annotations_stay_below_their_limits():
    gate = made_up_report().gates[0].model_copy(update={"status": "fail", "message": "x" * 5000, "gate": HOSTILE * 9})
    report = made_up_report().model_copy(update={"gates": (gate,) * 3000, "verdict_reason": "y" * 100_000})
    assert len(FORMATS["markdown"](report)) < 60_000
    lines = FORMATS["github"](report).decode().splitlines()
    assert len(lines) == 13
    assert sum(line.startswith("::error ") for line in lines) == 10
    assert "2991 more" in lines[9]


@pytest.mark.parametrize(
    "text",
    ["| a |", "<script>", "[x](http://e.example)", "![i](x)", "`code`", "*b* _i_", "# h", "- li", "1. li", "&lt;"],
)
def test_markdown_shows_data_as_it_is(text):
    shown = escaped(text)
    assert not re.search(r"(?<!\\)[|<>`*_\[\]()#!]", shown)
    assert not re.match(r"(-|\d+\.) ", shown)
    assert "&lt;" not in shown
    assert "://" not in shown


@pytest.mark.parametrize(
    "text", ["fixes #12", "see !12", "GH-12", "www.evil.example", "a@evil.example", "/close", "x/y#3"]
)
def test_nothing_is_linked_or_run_without_markup(text):
    """Pages of repositories link issues, addresses and bare hosts, and GitLab runs lines that begin with a slash."""
    shown = escaped(text)
    assert not re.search(r"[#!]\d|(?i:gh)-\d|www\.|\w@[a-z]|^/", shown)
    assert shown.replace("\N{WORD JOINER}", "").replace("\\", "") == text


def test_nobody_is_mentioned():
    assert "@team" not in escaped("ask @team")
    assert "ndcg@20" in escaped("ndcg@20")


def test_annotations_escape_what_would_command():
    report = made_up_report(statuses=[AuditStatus(audit="a:b,c", subject=SGBD, status="error", message=HOSTILE)])
    lines = FORMATS["github"](report).decode().splitlines()
    assert lines[0].startswith("::error title=a%3Ab%2Cc of slmrec/sgbd/basic/seed 0::=cmd()")
    assert "%250A,\N{REPLACEMENT CHARACTER}%0A" in lines[0]
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in lines)


def test_the_worst_come_first_and_passes_are_silent():
    lines = FORMATS["github"](with_gates("pass", "inconclusive", "fail", "error")).decode().splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        "::error",
        "::error",
        "::warning",
        *["::notice"] * 2,
        "::warning",
    ]
    assert "ERROR%3A gate 3" in lines[0]
    assert "FAIL%3A gate 2" in lines[1]


def test_the_step_summary_is_appended_and_bounded(tmp_path, monkeypatch):
    path = tmp_path / "summary.md"
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert not append_step_summary(made_up_report())
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    path.write_text("earlier\n")
    assert append_step_summary(made_up_report())
    assert path.read_text().startswith("earlier\n## ")
    path.write_text("z" * ((1 << 20) - 500))
    append_step_summary(made_up_report())
    assert path.stat().st_size < 1 << 20
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    with pytest.raises(RobustrecError):
        append_step_summary(made_up_report())


def test_outputs_are_read_and_written(tmp_path, capsysbinary, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    outputs = parse_outputs(["junit", f"csv:{tmp_path / 'new' / 'a:b.csv'}"])
    assert outputs == [Output("junit", None), Output("csv", tmp_path / "new" / "a:b.csv")]
    write_outputs(made_up_report(), outputs)
    assert capsysbinary.readouterr().out == FORMATS["junit"](made_up_report())
    assert (tmp_path / "new" / "a:b.csv").read_bytes() == FORMATS["csv"](made_up_report())


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["pdf:x"], "html"),
        (["markdwon"], "did you mean 'markdown'"),
        (["json:"], "json:PATH"),
        (["parquet"], "parquet:PATH"),
        (["csv", "github"], "csv:PATH"),
        (["csv:{0}/x", "json:{0}/x"], "different paths"),
        (["csv:{0}"], "folder"),
    ],
)
def test_wrong_outputs_are_refused_with_a_way_out(texts, expected, tmp_path):
    with pytest.raises(RobustrecError) as error:
        parse_outputs([text.format(tmp_path) for text in texts])
    assert expected in error.value.fix
    with pytest.raises(RobustrecError, match="--json"):
        parse_outputs(["csv"], stdout_taken=True)


def test_ten_thousand_findings_fit_every_form():
    rows = [drift(SGBD, -0.01 * math.sin(n), condition=f"c{n} {HOSTILE}") for n in range(10_000)]
    report = made_up_report(findings=[*noise_findings(VANILLA, ["sigma2=1e-06"], 0.01), *comparisons("x"), *rows])
    sizes = {form: len(FORMATS[form](report)) for form in set(FORMATS) - {"html"}}
    assert sizes["markdown"] < 60_000
    assert sizes["github"] < 20_000
    assert json.loads(FORMATS["json"](report))["findings"][-1]["condition"]["label"] == f"c9999 {HOSTILE}"
