from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_report import SGBD, VANILLA, drift, made_up_report
from pydantic import ValidationError

from robustrec.errors import RobustrecError
from robustrec.results import report as report_module
from robustrec.results.findings import AuditStatus
from robustrec.results.report import Report, read_report, report_schema, write_report
from robustrec.results.waivers import WaiverRecord
from robustrec.subject import Subject

DOCS = Path(__file__).parents[2] / "docs"
DATA = Path(__file__).parent / "data"
SCHEMA_FILE = DOCS / "report-schema-v3.json"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture(scope="module")
def report():
    return made_up_report()


def refused(path):
    with pytest.raises(RobustrecError) as caught:
        read_report(path)
    assert str(path) in caught.value.where
    assert caught.value.fix
    return caught.value


def test_a_report_comes_back_as_it_was(report, tmp_path):
    path = tmp_path / "deep" / "report.json"
    write_report(report, path)
    assert read_report(path) == report
    assert [each.name for each in path.parent.iterdir()] == ["report.json"]


def test_the_published_schema_is_the_schema():
    assert json.loads(SCHEMA_FILE.read_text()) == report_schema()


def test_reports_follow_the_published_schema(report):
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    data = json.loads(report.model_dump_json())
    jsonschema.validate(data, schema)
    for damage in ({"verdict": "good"}, {"surprise": 1}, {"findings": None}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**data, **damage}, schema)


@pytest.mark.parametrize("version", [1, 2])
def test_reports_of_every_version_are_read(version):
    path = DATA / f"report-v{version}.json"
    data = json.loads(path.read_text())
    assert data["schema_version"] == version
    jsonschema.validate(data, json.loads((DOCS / f"report-schema-v{version}.json").read_text()))
    report = read_report(path)
    assert report.schema_version == 3
    assert (report.verdict, len(report.findings)) == (data["verdict"], len(data["findings"]))
    assert json.loads(report.model_dump_json())["findings"][0]["metric"] == data["findings"][0]["metric"]


def test_an_older_report_gets_what_can_be_known_of_it_and_nothing_else():
    report = read_report(DATA / "report-v1.json")
    assert (report.judgement, report.baseline, report.waivers) == (None, None, ())
    kinds = {row.note: row.interval for row in report.findings if row.metric == "sigma2" and not row.censored}
    assert kinds == {"bracket of the search, not a confidence interval": "bracket"}
    assert all(row.degrees is None for row in report.findings)


def test_an_expired_waiver_cannot_be_edited_into_a_pass():
    waiver = {"gate": "g", "reason": "known", "expires": "2026-01-01", "state": "expired"}
    with pytest.raises(ValidationError, match="does not match"):
        made_up_report(waivers=(WaiverRecord(**waiver),))


def test_the_verdict_must_follow(report):
    failing = made_up_report(findings=[drift(VANILLA, -0.5), drift(SGBD, -0.5)])
    assert failing.verdict == "error"  # the gates on recall and rbo selected nothing
    for claimed in ("fail", "inconclusive", "error"):
        with pytest.raises(ValidationError, match="does not match"):
            made_up_report(verdict=claimed)
    broken = AuditStatus(audit="reach", subject=SGBD, status="error", message="no")
    with pytest.raises(ValidationError, match="does not match"):
        made_up_report(statuses=(broken,), verdict="pass")


def test_an_edited_file_cannot_claim_a_pass(report, tmp_path):
    path = tmp_path / "report.json"
    data = json.loads(report.model_dump_json())
    data["gates"][0]["status"] = "fail"
    path.write_text(json.dumps(data))
    assert "does not match" in refused(path).what


def test_results_need_a_known_subject_and_each_stands_there_once(report):
    stranger = Subject(model="bpr", strategy="vanilla", features="none", seed=3)
    with pytest.raises(ValidationError, match="has results but no subject record"):
        made_up_report(findings=[drift(stranger)], verdict="error")
    with pytest.raises(ValidationError, match="duplicate subject"):
        made_up_report(subjects=report.subjects + report.subjects[:1])


def test_a_sample_cannot_call_itself_real(report):
    with pytest.raises(ValidationError, match="edition sample must be synthetic"):
        type(report.dataset)(**{**dict(report.dataset), "synthetic": False})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"schema_version": NaN}', "not valid JSON"),
        ("[1]", "no schema_version"),
        ("{}", "no schema_version"),
        ('{"schema_version": 4}', "schema version 4; expected a version from 1 to 3"),
        ('{"schema_version": 0}', "schema version 0"),
        ('{"schema_version": "1"}', "schema version '1'"),
        ('{"schema_version": true}', "schema version True"),
        ('{"schema_version": 1.0}', "schema version 1.0"),
        ('{"schema_version": 1}', "is missing"),
        ('{"schema_version": 1, "findings": 3}', "is missing"),
        ('{"schema_version": 2}', "is missing"),
        ('{"schema_version": 2, "findings": [{"condition": 3}], "gates": [7]}', "is missing"),
        ('{"schema_version": 3}', "is missing"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, text, what):
    path = tmp_path / "report.json"
    path.write_text(text)
    assert what in refused(path).what


def test_what_cannot_be_read_is_refused(tmp_path, monkeypatch, report):
    assert "No such file" in refused(tmp_path / "absent.json").what
    assert "cannot read" in refused(tmp_path).what
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\x00\xff")
    assert "cannot read" in refused(binary).what
    path = tmp_path / "report.json"
    write_report(report, path)
    monkeypatch.setattr(report_module, "MAX_BYTES", 1000)
    assert "larger than" in refused(path).what


@pytest.mark.parametrize(
    ("keys", "value", "where"),
    [
        (("findings", 0, "clean"), "0.5", "findings[0].clean"),
        (("findings", 0, "n_users"), -1, "findings[0].n_users"),
        (("findings", 0, "colour"), "red", "findings[0].colour"),
        (("subjects", 0, "training", "epochs"), 1.5, "subjects[0].training.epochs"),
        (("created",), "2026-01-01T00:00:00", "created"),
        (("environment", "threads"), 0, "environment.threads"),
    ],
)
def test_damage_is_named_by_its_place(report, tmp_path, keys, value, where):
    data = json.loads(report.model_dump_json())
    target = data
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    path = tmp_path / "report.json"
    path.write_text(json.dumps(data))
    assert refused(path).where.endswith(f"key {where}")


def test_a_number_too_large_for_float64_is_refused(report, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(report.model_dump_json().replace('"clean":0.0712', '"clean":1e999', 1))
    assert "finite" in refused(path).what


@given(
    relative=st.floats(-1, 1, allow_subnormal=False),
    clean=st.floats(1e-3, 1e3),
    note=TEXTS,
    warning=TEXTS,
)
def test_json_keeps_numbers_to_the_bit_and_texts_to_the_letter(relative, clean, note, warning):
    report = made_up_report(
        findings=[drift(relative=relative, clean=clean, note=note)], warnings=(warning,), command=(warning,)
    )
    assert Report.model_validate_json(report.model_dump_json(), strict=True) == report
