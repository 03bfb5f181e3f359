"""Conditions are fields with a label made from them; older reports are read into the same fields."""

import json
from pathlib import Path

import pytest
from labelled import condition_of
from pydantic import ValidationError

from robustrec.audits.checked import checked_report
from robustrec.audits.merchant.audit import MerchantCondition
from robustrec.audits.noise.condition import NoiseCondition
from robustrec.audits.sharpness.rows import sigma_condition
from robustrec.audits.suites import recorded_suite
from robustrec.errors import RobustrecError
from robustrec.results.baseline import read_baseline, write_baseline
from robustrec.results.conditions import Condition
from robustrec.results.gates import selects
from robustrec.results.report import read_report, write_report
from robustrec.runs.treatments import Treatment

DATA = Path(__file__).parent / "data"
RUN, BASELINE = DATA / "run-v2.json", DATA / "baseline-v1.json"

LABELS = {
    NoiseCondition(1e-6).condition: "sigma2=1e-06",
    NoiseCondition(0.05, True, "image", frozen=True).condition: "sigma_rel=0.05 frozen graphs image",
    NoiseCondition(0.01, trained=True).condition: "trained sigma2=0.01",
    NoiseCondition(0.0).condition: "sigma2=0",
    MerchantCondition(Treatment("typos+crop", ()), 3, 0.1).condition: "edit=typos+crop severity=3 share=0.1",
    MerchantCondition(
        Treatment("m.n:f", ()), 0, 0.25, True
    ).condition: "edit=m.n:f severity=0 share=0.25 frozen graphs",
    MerchantCondition(Treatment("typos", ()), 3, 0.1).mean_over("all"): "edit=all severity=3 share=0.1",
    sigma_condition(0.1): "sigma_std=0.1",
    sigma_condition(0.1, "image", standardised=True): "sigma_std=0.1 image standardised",
    sigma_condition(0.5, rebuilt=True): "sigma_std=0.5 rebuilt graphs",
    Condition(kind="edit", edit="crop", severity=1): "edit=crop severity=1",
    Condition(kind="edit", edit="all", severity=1, modality="both"): "edits of both severity=1",
    Condition(kind="edit", edit="all", severity=1, modality="all"): "all edits severity=1",
    Condition(kind="break_point", metric="ndcg@20", drop=0.05): "break point: ndcg@20 -5%",
    Condition(kind="clean_content", denoise="capfilt"): "merchant noise, capfilt",
    Condition(kind="parameters", rho=0.5, steps=3, standardised=True): "parameters rho=0.5 steps=3 standardised",
    Condition(kind="parameters", part="users", standardised=True): "parameters standardised: users",
    Condition(kind="training_loss", part="items", standardised=False): "training loss: items",
    Condition(kind="features", modality="text", standardised=True): "features text standardised",
    Condition(kind="clean_loss", standardised=True): "clean standardised",
    Condition(kind="other", name="no image at all"): "no image at all",
}


@pytest.mark.parametrize(("condition", "label"), LABELS.items(), ids=list(LABELS.values()))
def test_a_label_is_made_from_the_fields_and_older_labels_give_them_back(condition, label):
    assert condition.label == label
    assert condition_of(label) == condition
    assert Condition.model_validate_json(condition.model_dump_json(), strict=True) == condition


def test_equal_labels_are_equal_conditions():
    """A label has six digits, so that a seventh must not make two conditions of one name."""
    assert NoiseCondition(1e-6).condition == NoiseCondition(1.00000001e-6).condition
    assert hash(NoiseCondition(1e-6).condition) == hash(condition_of("sigma2=1e-06"))
    assert Condition(kind="break_point", metric="a", drop=0.0512) == condition_of("break point: a -5%")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "test", "label": "sigma2=1"}, "label 'sigma2=1' does not match the fields .* give 'test'"),
        ({"kind": "test", "edit": "crop"}, "kind test has no edit"),
        ({"kind": "noise", "sigma2": 1.0, "graphs": "frozen", "trained": False}, "kind noise needs modality"),
        ({"kind": "noise", "modality": "all", "graphs": "frozen", "trained": False}, "either sigma2 or sigma_rel"),
        ({"kind": "edit", "edit": "crop", "severity": 1, "share": 0.1}, "both share and graphs"),
        ({"kind": "edit", "edit": "crop", "severity": 1, "modality": "text"}, "exactly if it is a mean"),
        ({"kind": "edit", "edit": "all", "severity": 1}, "exactly if it is a mean"),
        ({"kind": "smell"}, "Input should be"),
        ({"kind": "test", "colour": 1}, "Extra inputs"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, says):
    with pytest.raises(ValidationError, match=says):
        Condition(**fields)


def test_a_report_of_version_2_gets_fields_and_keeps_every_label_and_number():
    raw, report = json.loads(RUN.read_text()), checked_report(RUN)
    assert raw["schema_version"] == 2
    assert report.schema_version == 3
    for old, new in zip(raw["findings"], report.findings, strict=True):
        assert new.condition.label == old["condition"]
        assert new.condition.kind != "other"
        for name in ("clean", "perturbed", "drift", "relative_drift", "ci_low", "ci_high", "n_users", "unit", "note"):
            assert getattr(new, name) == old[name]
    assert [gate.condition.label for gate in report.gates] == [gate["condition"] for gate in raw["gates"]]
    assert [item.condition.label for item in report.exhibits] == [item["condition"] for item in raw["exhibits"]]
    assert (report.verdict, report.verdict_reason) == (raw["verdict"], raw["verdict_reason"])
    found = {row.metric: (row.measure, row.group, row.modality) for row in report.findings}
    assert found["exposure@20_edited"] == ("exposure@20", "edited", None)
    assert found["exposure@20_all"] == ("exposure@20", "all", None)
    assert found["movement_fused"] == ("movement", None, "fused")
    assert found["snr_db_text"] == ("snr_db", None, "text")
    assert found["ndcg@20"] == ("ndcg@20", None, None)
    assert found["nearer_by_encoding_fused"] == ("nearer_by_encoding", None, "fused")
    assert found["distance_to_clean_text_input"] == ("distance_to_clean_text_input", None, None)
    assert {row.modality for row in report.findings if row.metric == "edit_size"} == {"text", "image"}
    assert {row.modality for row in report.findings if row.metric == "touched"} <= {"text", "image"}
    assert [(each.within_models, each.scale_dependent) for each in report.relations] == [(False, False), (False, True)]


def test_a_report_of_version_2_stays_as_it_was_judged_when_it_is_written_again(tmp_path):
    report = read_report(RUN)
    write_report(report, tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text())["schema_version"] == 3
    assert read_report(tmp_path / "again.json") == report
    again = checked_report(tmp_path / "again.json")
    assert [gate.status for gate in again.gates] == [gate.status for gate in report.gates]


@pytest.mark.parametrize("path", [RUN, BASELINE], ids=["report", "baseline"])
def test_an_edited_file_of_an_older_version_is_refused(tmp_path, path):
    read = read_report if path is RUN else read_baseline
    for old, new in (('"severity=', '"severity= '), ("typos severity=3", "typos severity=2"), ('"dB"', '"decibel"')):
        text = path.read_text()
        if old not in text:
            continue
        (tmp_path / "edited.json").write_text(text.replace(old, new, 1))
        with pytest.raises(RobustrecError, match="was edited"):
            read(tmp_path / "edited.json")


def test_a_baseline_of_the_first_version_is_read(tmp_path):
    old, report = read_baseline(BASELINE), read_report(RUN)
    assert json.loads(BASELINE.read_text())["schema_version"] == 1
    assert old.record.findings == tuple(row for row in report.findings if row.reference == "clean")
    write_baseline(old.record, tmp_path / "baseline.json")
    assert json.loads((tmp_path / "baseline.json").read_text())["schema_version"] == 2
    assert read_baseline(tmp_path / "baseline.json").record.findings == old.record.findings


def test_an_edited_label_is_refused(tmp_path):
    write_report(read_report(RUN), tmp_path / "report.json")
    data = json.loads((tmp_path / "report.json").read_text())
    data["findings"][-1]["condition"]["label"] = "test"
    (tmp_path / "report.json").write_text(json.dumps(data))
    with pytest.raises(RobustrecError, match="label 'test' does not match the fields") as caught:
        read_report(tmp_path / "report.json")
    assert "condition" in caught.value.where


def test_a_suite_of_an_older_report_selects_what_it_selected():
    report = read_report(RUN)
    gates = {gate.name: gate for gate in recorded_suite(report.suite.content, source="run-v2.json").gates}
    found = {
        name: {row.condition.label for row in report.findings if selects(gate, row)} for name, gate in gates.items()
    }
    assert found["noise"] == {"sigma2=0.01 image"}
    assert found["edits"] == {"edit=promo_badge severity=3 share=0.1", "edit=typos severity=3 share=0.1"}
    assert found["retrained"] == {"trained sigma2=1e-06"}


@pytest.mark.parametrize("label", ["sigma2=1e-6", "image sigma2=1e-06", "sigma2=1e-06  image", "severity=3 edit=crop"])
def test_a_label_that_no_version_wrote_keeps_its_own_name(label):
    assert condition_of(label) == Condition(kind="other", name=label)
