"""`gate`, `baseline` and `compare` as a pipeline meets them: files in, exit codes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from measured_report import AGAINST, SUITE, written

from robustrec.cli.main import run
from robustrec.results.report import read_report

DATA = Path(__file__).parent / "data"
FAILING = SUITE.replace("min = -0.9", "min = 0.5")
OPEN = SUITE.replace('quantity = "relative_drift"\nmin = -0.9', 'quantity = "relative_drift"\nmin = -0.05')
WAIVER = '[[waivers]]\ngate = "stands noise"\nreason = "ticket 7"\nexpires = {}\n'


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def report(tmp_path):
    return str(written(tmp_path))


def suite(text, name="suite.toml"):
    Path(name).write_text(text)
    return name


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        (SUITE, [], 0),
        (FAILING, [], 1),
        (FAILING, ["--fail-on", "never"], 0),
        (FAILING + 'severity = "warn"\n', [], 0),
        (FAILING + 'severity = "warn"\n', ["--fail-on", "warn"], 1),
        (OPEN, [], 0),
        (OPEN, ["--fail-on", "inconclusive"], 1),
        (
            SUITE.replace("sigma2 = [0.01]", "sigma2 = [0.02]").replace('"noise", m', '"noise", sigma2 = 0.3, m'),
            [],
            2,
        ),
        (SUITE.replace('"noise", m', '"noise", strategy = "sam", m'), [], 2),
        (SUITE.replace('name = "own"', 'name = "own"\nrequire_edition = "full"'), [], 2),
        (SUITE.replace("replicates = 300", "level = 0.9"), [], 2),
        (SUITE + AGAINST, [], 2),
        (SUITE.replace("-0.9", '"low"'), [], 2),
        (SUITE, ["--baseline", "missing.json"], 2),
        (SUITE, ["--waivers", "missing.toml"], 2),
        (SUITE, ["--fail-on", "everything"], 2),
    ],
)
def test_exit_codes(text, options, code, report):
    assert run(["gate", report, "--suite", suite(text), *options]) == code


def test_without_a_suite_the_report_s_own_decides(report, capsys):
    assert run(["gate", report]) == 0
    told = capsys.readouterr().out
    assert "VERDICT: PASS" in told
    assert "judged by suite own" in told
    assert "fails this gate in 80 % of runs" in " ".join(told.split())


@pytest.mark.parametrize(
    ("line", "quantity", "limit", "code"),
    [("noise:ndcg@20>-90%", "relative_drift", -0.9, 0), ("clean:ndcg@20>=.99", "value", 0.99, 1)],
)
def test_a_gate_in_one_line_is_judged_and_recorded_like_any_other(line, quantity, limit, code, report, capsys):
    assert run(["gate", report, "--gate", line, "--json", "--output-format", "json:judged.json"]) == code
    gates = {gate["gate"]: gate for gate in json.loads(capsys.readouterr().out)["gates"]}
    assert {name: gates[line][name] for name in ("severity", "quantity", "min", "metric")} == {
        "severity": "error", "quantity": quantity, "min": limit, "metric": "ndcg@20",
    }  # fmt: skip
    # The judged report has the gate in its suite: judged again, it gives the same result.
    assert read_report(Path("judged.json")).judgement.content["gates"][-1]["name"] == line
    select = f'{{ audit = "{line.partition(":")[0]}", metric = "ndcg@20" }}'
    table = f'[[gates]]\nname = "{line}"\nselect = {select}\nquantity = "{quantity}"\nmin = {limit}\n'
    assert run(["gate", report, "--suite", suite(SUITE + table), "--json"]) == code
    same = {gate["gate"]: gate for gate in json.loads(capsys.readouterr().out)["gates"]}
    assert same == gates


def test_a_wrong_gate_in_one_line_is_refused_with_its_place(report, capsys):
    assert run(["gate", report, "--gate", "recall@20<-2%"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "--gate, character 11 of 'recall@20<-2%'" in told
    assert "write --gate 'recall@20>-2%'" in told


def test_changed_limits_are_judged_on_the_same_numbers(report, capsys):
    assert run(["gate", report, "--suite", suite(FAILING), "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["verdict"] == "fail"
    assert content["gates"][0]["p_adjusted"] < 0.001
    assert (content["gates"][0]["correction"], content["gates"][0]["family"]) == ("holm", 2)


def test_measurements_that_differ_from_the_suite_are_reported(report, capsys):
    assert run(["gate", report, "--suite", suite(SUITE.replace("draws = 4", "draws = 9"))]) == 0
    assert "measured with other settings" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("expires", "code", "says"), [("2126-01-01", 0, "waived"), ("2020-01-01", 1, "expired")])
def test_waivers_from_a_file_and_from_the_suite(expires, code, says, report, capsys):
    Path("waivers.toml").write_text(WAIVER.format(expires))
    assert run(["gate", report, "--suite", suite(FAILING), "--waivers", "waivers.toml"]) == code
    assert says in capsys.readouterr().out
    assert run(["gate", report, "--suite", suite(FAILING + WAIVER.format(expires))]) == code
    assert says in capsys.readouterr().out
    assert run(["gate", report, "--suite", suite(SUITE + WAIVER.format("2020-01-01"))]) == 1


def test_a_waiver_that_matches_nothing_is_a_warning(report, capsys):
    text = SUITE + WAIVER.format("2126-01-01").replace("stands noise", "no such gate")
    assert run(["gate", report, "--suite", suite(text)]) == 0
    assert "matches nothing" in " ".join(capsys.readouterr().out.split())


def test_a_judgement_is_written_in_every_form_and_can_be_judged_again(report, tmp_path):
    (tmp_path / "out").mkdir()
    forms = [f"--output-format=json:{tmp_path}/out/r.json", f"--output-format=junit:{tmp_path}/out/r.xml"]
    assert run(["gate", report, "--suite", suite(FAILING), *forms]) == 1
    written_report = json.loads((tmp_path / "out" / "r.json").read_text())
    assert (written_report["verdict"], written_report["arrays"]) == ("fail", None)
    assert "<failure" in (tmp_path / "out" / "r.xml").read_text()
    assert run(["gate", f"{tmp_path}/out/r.json", "--suite", suite(SUITE)]) == 0


def test_a_report_of_the_first_version_is_judged(capsys):
    assert run(["gate", str(DATA / "report-v1.json")]) == 0
    assert "VERDICT: PASS" in capsys.readouterr().out


def test_accept_then_compare_user_by_user(report, tmp_path, capsys):
    later = str(written(tmp_path, "later", seed=3))
    assert run(["baseline", "accept", report, "--output", "accepted.json"]) == 0
    assert "with per-user arrays" in " ".join(capsys.readouterr().err.split())
    assert run(["baseline", "show", "accepted.json"]) == 0
    assert "suite own" in capsys.readouterr().out
    assert run(["baseline", "show", "accepted.json", "--json"]) == 0
    assert "arrays" not in json.loads(capsys.readouterr().out)
    strict = suite(SUITE + AGAINST)
    assert run(["gate", later, "--suite", strict, "--baseline", "accepted.json"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "10 rows compared user by user" in told
    assert run(["gate", later, "--suite", strict, "--baseline", report]) == 0
    assert run(["gate", later, "--suite", suite(SUITE + AGAINST.replace("-0.1", "0.5")), "--baseline", report]) == 1


def test_a_baseline_of_other_data_ends_with_2(report, tmp_path, capsys):
    dataset = read_report(Path(report)).dataset.model_copy(update={"digest": "0" * 64})
    written(tmp_path, "other", changes={"dataset": dataset})
    assert run(["baseline", "accept", "other.json"]) == 0
    assert run(["gate", report, "--baseline", "baseline.json"]) == 2
    told = capsys.readouterr().err
    assert "error: the baseline is of different data: clothing with digest 0000000000000000" in told
    assert "where: baseline baseline.json, key dataset.digest" in told
    assert run(["baseline", "accept", "nothing.json"]) == 2


def test_compare_prints_a_table_or_json(report, tmp_path, capsys):
    later = str(written(tmp_path, "later", seed=3))
    assert run(["compare", report, later]) == 0
    assert "sgbd (later)" in capsys.readouterr().out
    assert run(["compare", report, later, "--by", "drift", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["by"] == "drift"
    for wrong in (["--by", "luck"], ["--metric", "x"]):
        assert run(["compare", report, *wrong]) == 2
    assert run(["compare", "nothing.json"]) == 2


def test_codes_as_a_shell_sees_them_and_torch_stays_away(report):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    suite(FAILING, "failing.toml")
    for arguments, code in (["--suite", "failing.toml"], 1), (["--suite", "quick"], 2):
        command = [sys.executable, "-m", "robustrec", "gate", report, *arguments]
        assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == code, arguments
    code = (
        "import sys; from robustrec.cli.main import run; "
        f"codes = [run(['gate', {report!r}, '--baseline', {report!r}]), run(['compare', {report!r}])]; "
        "sys.exit(any(codes) or 'torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False).returncode == 0
    )
