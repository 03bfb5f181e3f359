"""Forms for build systems: comment, OpenMetrics, SARIF, code quality, and properties of JUnit."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from made_up_exhibits import fragile, full_report
from made_up_report import SGBD, VANILLA, made_up_report, noise_only
from markdown_it import MarkdownIt
from measured_report import SUITE, written
from test_forms import HOSTILE, cases, with_gates

from robustrec.audits.judged import judged_again
from robustrec.audits.suites import load_suite
from robustrec.cli.main import run
from robustrec.report.forms import FORMATS
from robustrec.report.forms.comment import MARK
from robustrec.results.baseline import Baseline, baseline_of
from robustrec.results.exhibits import Look
from robustrec.results.findings import AuditStatus
from robustrec.results.report import read_report
from robustrec.results.waivers import Waived

WAIVED = Waived(reason="known", expires=date(2099, 1, 1), findings=1, otherwise="pass")
NO_VERDICT = {"findings": [], "statuses": [], "subjects": (), "gates": (), "verdict": "error"}
BROKEN = AuditStatus(audit=HOSTILE, subject=SGBD, status="error", message=HOSTILE)


def every_kind():
    return {
        "full": full_report([SGBD, VANILLA]),
        "of all statuses": with_gates("pass", "fail", "inconclusive", "error"),
        "waived": with_gates("fail", waived=WAIVED),
        "warning": with_gates("fail", severity="warn"),
        "nothing": made_up_report(**NO_VERDICT, verdict_reason="nothing was measured"),
        "hostile": made_up_report(statuses=[BROKEN], command=("robustrec", "audit", "--suite", "a b/my.toml")),
    }


# --- OpenMetrics


SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')


def parsed(text):
    """Read OpenMetrics text strictly: families in one piece, TYPE, UNIT and HELP before the samples, and the end."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""]
    families, current, samples = {}, None, {}
    for line in lines[:-2]:
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            if word == "TYPE":
                assert name not in families
                current, families[name] = name, {"TYPE": rest}
                continue
            assert name == current, "in one piece"
            assert word in ("UNIT", "HELP")
            assert not any(key.startswith(name) for key, *_ in samples if key == name), "before the samples"
            assert word not in families[name]
            families[name][word] = rest
            continue
        name, labels, number = SAMPLE.fullmatch(line).groups()
        end = {"info": "_info"}.get(families[current]["TYPE"], "")
        assert name == current + end
        key = (name, labels or "")
        assert key not in samples, "no sample twice"
        samples[key] = float(number)
    for name, family in families.items():
        assert "HELP" in family
        assert not family.get("UNIT") or name.endswith(f"_{family['UNIT']}")
    return families, samples


@pytest.mark.parametrize("kind", every_kind())
def test_openmetrics_are_valid_and_say_the_verdict(kind):
    report = every_kind()[kind]
    families, samples = parsed(FORMATS["openmetrics"](report).decode())
    states = {labels: number for (name, labels), number in samples.items() if name == "robustrec_verdict"}
    assert states[f'robustrec_verdict="{report.verdict}"'] == 1
    assert sum(states.values()) == 1
    passed = [number for (name, _), number in samples.items() if name == "robustrec_gate_passed"]
    assert passed == [float(gate.effective == "pass") for gate in report.gates]
    assert families["robustrec_report"]["TYPE"] == "info"


def test_openmetrics_have_the_numbers_of_the_gates_unrounded_and_escape_names():
    gate = made_up_report().gates[0].model_copy(update={"gate": 'a"b\\c\n{x} 1'})
    _, samples = parsed(FORMATS["openmetrics"](made_up_report(gates=(gate,))).decode())
    label = 'gate="a\\"b\\\\c {x} 1",severity="error"'
    assert samples["robustrec_gate_estimate_ratio", label] == gate.estimate
    assert samples["robustrec_gate_low_ratio", label] == gate.low
    quality = [labels for name, labels in samples if name == "robustrec_quality"]
    assert 'metric="ndcg@20",model="slmrec",strategy="sgbd",features="basic",seed="0"' in quality


def test_openmetrics_of_the_same_numbers_are_the_same():
    """GitLab shows each difference, so no time or duration is in them."""
    first, second = (made_up_report(durations={"train": seconds}) for seconds in (1.0, 2.0))
    assert FORMATS["openmetrics"](first) == FORMATS["openmetrics"](second)


# --- SARIF and code quality


@pytest.mark.parametrize("kind", every_kind())
def test_sarif_has_the_structure_of_2_1_0(kind):
    report = every_kind()[kind]
    log = json.loads(FORMATS["sarif"](report))
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    run_ = log["runs"][0]
    rules = run_["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    (invocation,) = run_["invocations"]
    assert invocation["executionSuccessful"] is (report.verdict != "error")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", invocation["endTimeUtc"])
    for result in run_["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert (result["kind"] == "fail") == (result["level"] != "none")  # 3.27.10
        assert not re.search(r"(?<!\\)\]\(|(?<!\{)\{\d+\}(?!\})", result["message"]["text"])  # no link, no placeholder
        (location,) = result["locations"]
        uri = location["physicalLocation"]["artifactLocation"]["uri"]
        assert uri == ("a%20b/my.toml" if kind == "hostile" else "robustrec.toml")
        assert re.fullmatch(r"[0-9a-f]{64}", result["partialFingerprints"]["robustrec/v1"])
    assert run_["results"]


def test_sarif_has_a_level_for_each_status_and_suppresses_what_is_waived():
    def results(report):
        found = json.loads(FORMATS["sarif"](report))["runs"][0]["results"]
        return {each["ruleId"]: (each["kind"], each["level"], bool(each.get("suppressions"))) for each in found}

    assert results(with_gates("pass", "fail", "inconclusive", "error")) == {
        "gate 1": ("fail", "error", False),
        "gate 2": ("open", "none", False),
        "gate 3": ("fail", "error", False),
    }
    assert results(with_gates("fail", severity="warn")) == {"gate 0": ("fail", "warning", False)}
    assert results(with_gates("fail", waived=WAIVED)) == {"gate 0": ("fail", "warning", True)}
    assert results(every_kind()["nothing"]) == {"verdict": ("fail", "error", False)}


@pytest.mark.parametrize("path", ["/etc/own.toml", "../own.toml", "ci", "own.txt"])
def test_a_file_outside_the_project_is_not_named(path):
    report = with_gates("fail").model_copy(update={"command": ("robustrec", "audit", f"--suite={path}")})
    (issue,) = json.loads(FORMATS["codequality"](report))
    assert issue["location"] == {"path": "robustrec.toml", "lines": {"begin": 1}}


def test_code_quality_has_the_keys_that_gitlab_reads():
    issues = json.loads(FORMATS["codequality"](with_gates("pass", "fail", "inconclusive", "error")))
    assert [issue["check_name"] for issue in issues] == ["gate 3", "gate 1", "gate 2"]
    assert [issue["severity"] for issue in issues] == ["critical", "critical", "info"]
    for issue in issues:
        assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}
    assert len({issue["fingerprint"] for issue in issues}) == 3
    assert json.loads(FORMATS["codequality"](with_gates("pass"))) == []


# --- JUnit


def test_junit_cases_have_the_numbers_of_the_gate_as_properties():
    report = made_up_report()
    for case, gate in zip(cases(report), report.gates, strict=True):
        properties = {each.get("name"): each.get("value") for each in case._elem.iterfind("properties/property")}
        assert properties["severity"] == gate.severity
        assert float(properties["estimate"]) == gate.estimate
        assert properties.get("min") == (None if gate.min is None else repr(gate.min))


# --- comment


def test_a_comment_of_a_report_without_a_baseline_says_so():
    text = FORMATS["comment"](full_report()).decode()
    assert text.startswith(f"{MARK}\n")
    assert "No baseline was given" in text
    assert "### Most fragile item" in text
    assert "**Cotton crew sock, blue** (item B0000000)" in text
    assert "mean rank 4.3 → 61.5 for 7 users" in text


def test_a_comment_shows_hostile_texts_as_they_are_and_stays_below_the_limit():
    title = f"<img src=x onerror=alert(1)> {MARK} | [l](javascript:x) @team #1 {HOSTILE} ` ** /close"
    worst = fragile(SGBD, item=HOSTILE, before=Look(text=f"{title}\nx"), after=Look(text="y"))
    gate = made_up_report().gates[0].model_copy(update={"status": "fail", "message": HOSTILE * 40, "gate": HOSTILE * 9})
    report = made_up_report(exhibits=(worst,)).model_copy(update={"gates": (gate,) * 3000, "verdict_reason": title})
    text = FORMATS["comment"](report).decode()
    assert len(text) < 65_536
    assert text.count(MARK) == 1
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    tags = set(re.findall(r"<(/?[a-z0-9]+)", page))
    assert not {tag.strip("/") for tag in tags} - set(
        ["p", "h2", "h3", "table", "thead", "tbody", "tr", "th", "td", "strong", "blockquote", "sub", "code"]
    )
    assert "<code>--baseline FILE</code>" in page
    assert page.count("<code>") == 1


@pytest.fixture
def accepted(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    report = written(tmp_path)
    assert run(["baseline", "accept", str(report), "--output", "baseline.json"]) == 0
    return report


def test_a_comment_names_the_gates_with_another_result_than_on_the_baseline(accepted, capsysbinary):
    """The baseline is the same run, so nothing changed; then its numbers are made better than the limit."""
    limit = SUITE.replace("min = -0.9", "min = -0.2")
    Path("suite.toml").write_text(limit)
    options = ["--baseline", "baseline.json", "--suite", "suite.toml"]
    assert run(["gate", str(accepted), *options, "--output-format", "json:judged.json"]) in (0, 1)
    judged = read_report(Path("judged.json"))
    assert judged.baseline.gates == {gate.gate: gate.status for gate in judged.gates}
    capsysbinary.readouterr()
    assert run(["report", "convert", "judged.json", "--output-format", "comment:-"]) == 0
    assert "None of 1 gates has another result." in capsysbinary.readouterr().out.decode()
    other = {name: "fail" if status != "fail" else "pass" for name, status in judged.baseline.gates.items()}
    changed = judged.model_copy(update={"baseline": judged.baseline.model_copy(update={"gates": other})})
    text = FORMATS["comment"](changed).decode()
    (row,) = [line for line in text.splitlines() if " → " in line and line.startswith("| ")]
    assert "stands noise" in row
    before, now = row.strip("| ").split(" | ")[2:]
    assert before == now, "the same numbers in both runs"
    assert before.endswith(" %")


def test_the_screen_is_on_stderr_where_a_form_is_on_stdout(accepted, capsys):
    for options in (["--output-format", "json:-"], ["--output-format", "json"], ["--json"]):
        assert run(["gate", str(accepted), *options]) == 0
        told = capsys.readouterr()
        assert json.loads(told.out)["verdict"]
        assert "VERDICT: " in told.err
    assert run(["gate", str(accepted), "--output-format", "json:out.json"]) == 0
    told = capsys.readouterr()
    assert "VERDICT: " in told.out
    assert "VERDICT: " not in told.err
    assert not Path("-").exists()


def test_gates_on_the_baseline_are_of_the_subjects_that_the_report_has_too():
    """Else a model that is not audited any more would look like a change."""
    suite = noise_only(load_suite("quick"))
    gate = next(each for each in suite.gates if each.select.metric == "ndcg@20" and each.quantity == "relative_drift")
    suite = suite.model_copy(update={"gates": (gate.model_copy(update={"min": -0.005, "max": None}),)})
    both = made_up_report(suite)
    baseline = Baseline(baseline_of(both, None), None, "baseline.json", "d" * 64)
    kept = {
        "subjects": tuple(each for each in both.subjects if each.subject == SGBD),
        "findings": tuple(each for each in both.findings if each.subject == SGBD and each.reference == "clean"),
        "statuses": tuple(each for each in both.statuses if each.subject == SGBD),
    }
    now = datetime(2026, 2, 4, tzinfo=UTC)
    found = [judged_again(report, suite, baseline=baseline, now=now) for report in (both, both.model_copy(update=kept))]
    assert [report.baseline.gates for report in found] == [{gate.name: "fail"}, {gate.name: "inconclusive"}]
    assert [report.gates[0].status for report in found] == ["fail", "inconclusive"]
