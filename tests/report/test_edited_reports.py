"""Reports and baselines that were edited by hand never show a verdict that their findings do not give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from measured_report import SUITE, written

from robustrec.cli.main import run
from robustrec.files import digest_json
from robustrec.results.report import JUDGEMENT_RULES, Report
from robustrec.results.section_digests import section_digests

FAILING = SUITE.replace("min = -0.9", "min = 0.5")
WAIVER = {"gate": "stands noise", "subject": "*", "reason": "edited in", "expires": "2126-01-01"}


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def failing(tmp_path):
    """A report that was judged FAIL by its own suite, with its arrays beside it."""
    path, judged = written(tmp_path), tmp_path / "judged.json"
    suite = tmp_path / "failing.toml"
    suite.write_text(FAILING)
    assert run(["gate", str(path), "--suite", str(suite), "--output-format", f"json:{judged}"]) == 1
    return judged


def edit(path, change, *, resealed=False):
    """Edit a report's JSON; `resealed` gives it the digests of what it then holds, as a careful editor would."""
    data = json.loads(path.read_text())
    change(data)
    if resealed:
        data["suite"]["digest"] = digest_json(data["suite"]["content"])
        judgement = data["judgement"]
        judgement["digest"] = digest_json(judgement["content"] or data["suite"]["content"])
        data["digests"] = {}
        judgement["rules"] = JUDGEMENT_RULES
        data["digests"] = section_digests(Report.model_validate_json(json.dumps(data), strict=True))
    path.write_text(json.dumps(data))


def shows(path):
    """Exit codes of every command that shows a report's verdict or relies on it."""
    name = str(path)
    return {
        "show": run(["report", "show", name]),
        "full": run(["report", "show", name, "--full"]),
        "convert": run(["report", "convert", name, "--output-format", f"junit:{path.parent / 'x.xml'}"]),
        "gate": run(["gate", name]),
        "accept": run(["baseline", "accept", name, "--output", str(path.parent / "x.json")]),
        "compare": run(["compare", name]),
    }


def lower_limit(data):
    data["judgement"]["content"]["gates"][0]["min"] = -0.9


def add_waiver(data):
    data["judgement"]["content"]["waivers"] = [WAIVER]


def pass_it(data):
    data["gates"][0].update(status="pass", message="ndcg@20 did not change")
    data.update(verdict="pass", verdict_reason="1 blocking gate passed")


def change_a_finding(data):
    row = next(each for each in data["findings"] if each["audit"] == "noise" and each["metric"] == "ndcg@20")
    row.update(ci_low=-1e-9, ci_high=1e-9, relative_ci_low=-1e-8, relative_ci_high=1e-8)


def drop_a_gate(data):
    pass_it(data)
    data["gates"] = []
    data["verdict"] = "inconclusive"


def more_users(data):
    data["findings"][0]["n_users"] = 10**6


def test_an_unedited_report_is_shown(failing):
    assert set(shows(failing).values()) == {0}


@pytest.mark.parametrize("change", [lower_limit, add_waiver, pass_it, change_a_finding, drop_a_gate, more_users])
def test_every_edit_ends_with_2_wherever_the_verdict_is_shown(change, failing, capsys):
    edit(failing, change)
    assert set(shows(failing).values()) == {2}
    told = capsys.readouterr().err
    assert "error: " in told
    assert "where: " in told
    assert not (failing.parent / "x.xml").exists()
    assert not (failing.parent / "x.json").exists()


@pytest.mark.parametrize("change", [lower_limit, add_waiver, pass_it, drop_a_gate])
def test_digests_made_anew_do_not_make_a_verdict_true(change, failing, capsys):
    edit(failing, change, resealed=True)
    assert set(shows(failing).values()) == {2}
    assert "does not match" in capsys.readouterr().err


def no_verdict(data):
    data["judgement"] = None


@pytest.mark.parametrize("change", [lower_limit, add_waiver, change_a_finding, no_verdict])
def test_digests_taken_out_do_not_make_a_report_of_earlier_rules(change, failing, capsys):
    """It has sections that no version without digests wrote: its limits, waivers and findings are not believed."""

    def without(data):
        change(data)
        data["digests"] = {}
        if data["judgement"]:
            data["judgement"]["digest"] = digest_json(data["judgement"]["content"])
            data["judgement"]["rules"] = 1

    edit(failing, without)
    assert set(shows(failing).values()) == {2}
    assert "edited after robustrec wrote it" in " ".join(capsys.readouterr().err.split())


def test_a_changed_mean_is_noticed_beside_its_arrays(failing, capsys):
    def change(data):
        row = next(each for each in data["findings"] if each["audit"] == "noise" and each["metric"] == "ndcg@20")
        row.update(perturbed=row["clean"], drift=0.0)

    edit(failing, change, resealed=True)
    assert run(["report", "show", str(failing)]) == 2
    assert "in the per-user arrays beside it" in " ".join(capsys.readouterr().err.split())
    assert run(["gate", str(failing), "--suite", str(failing.parent / "failing.toml")]) == 2


def test_a_report_whose_suite_was_edited_names_the_suite(tmp_path, capsys):
    path = written(tmp_path)
    edit(path, lambda data: data["suite"]["content"]["gates"][0].update(min=-0.99))
    assert run(["report", "show", str(path)]) == 2
    told = capsys.readouterr().err
    assert "the suite was edited" in told
    assert "key suite" in told


def test_a_report_of_earlier_rules_is_shown_as_its_findings_are_judged_now(tmp_path, capsys):
    path = written(tmp_path)  # it records no judgement

    def claim_a_failure(data):
        data["digests"] = {}
        data["gates"][0]["status"] = "fail"
        data.update(verdict="fail", verdict_reason="of another version")

    edit(path, claim_a_failure)
    assert run(["report", "show", str(path)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "VERDICT: PASS" in told
    assert "the report records the verdict fail" in told


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(verdict="error"),
        lambda data: data["findings"][0].update(clean=0.9),
        lambda data: data["dataset"].update(edition="full", synthetic=False),
        lambda data: data["suite"]["content"].update(metrics=["ndcg@10"]),
        lambda data: data.pop("digests"),
    ],
)
def test_an_edited_baseline_is_refused(change, tmp_path):
    path = written(tmp_path)
    assert run(["baseline", "accept", str(path)]) == 0
    assert run(["gate", str(path), "--baseline", "baseline.json"]) == 0
    baseline = Path("baseline.json")
    data = json.loads(baseline.read_text())
    change(data)
    baseline.write_text(json.dumps(data))
    assert run(["gate", str(path), "--baseline", "baseline.json"]) == 2
    assert run(["baseline", "show", "baseline.json"]) == 2
