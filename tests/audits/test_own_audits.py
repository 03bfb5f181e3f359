"""User-defined audits, from the documentation's example to every way they can be wrong."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

import pytest

from robustrec.audits.kind import AuditKind
from robustrec.audits.registry import KINDS, built_in, kind_of
from robustrec.audits.suites import load_suite, parse_suite, recorded_suite
from robustrec.cli.main import run
from robustrec.errors import RobustrecError
from robustrec.results.gates import Gate

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "own-audits.md").read_text()
CODE, SUITE = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.S)[1] for kind in ("python", "toml"))
TRAINING = [
    "--set",
    "training.max_epochs=3",
    "--set",
    "training.learning_rate=0.01",
    "--set",
    "training.batch_size=128",
]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = signal.getsignal(signal.SIGTERM)
    kind_of.cache_clear()
    yield
    signal.signal(signal.SIGTERM, before)
    kind_of.cache_clear()
    for name, module in list(sys.modules.items()):
        if "/pytest-" in str(getattr(module, "__file__", None)):
            del sys.modules[name]


@pytest.fixture
def audit(tiny_folder, tmp_path):
    """Run the example with changes of its code and suite; return exit code and report."""

    def go(*, code=CODE, suite=SUITE, more=("--strategy", "vanilla"), report="report.json"):
        (tmp_path / "shop_audits.py").write_text(code)
        (tmp_path / "missing.toml").write_text(
            suite.replace("[[audits]]", "bootstrap = { replicates = 100 }\n[[audits]]")
        )
        output = tmp_path / report
        command = [
            "audit",
            "--model",
            "vbpr",
            "--dataset",
            str(tiny_folder),
            "--suite",
            "missing.toml",
            "--device",
            "cpu",
        ]
        outputs = ["--output-format", f"json:{output}", "--output-format", "html:page.html"]
        exit_code = run([*command, *TRAINING, *outputs, *more])
        return exit_code, json.loads(output.read_text()) if output.exists() else None

    return go


def test_the_example_passes_and_fails_its_gate(audit, tmp_path, capsys):
    assert len(CODE.splitlines()) <= 60
    wide = SUITE.replace("min = -0.05", "min = -0.99")
    exit_code, report = audit(suite=wide, more=("--strategy", "vanilla", "--strategy", "mirror"))
    assert exit_code == 0
    rows = [row for row in report["findings"] if row["audit"] == "shop_audits:Missing"]
    assert {row["reference"] for row in rows} == {"clean", "vanilla"}
    (drift,) = [
        r for r in rows if (r["metric"], r["subject"]["strategy"], r["reference"]) == ("ndcg@20", "vanilla", "clean")
    ]
    assert drift["drift"] != 0
    assert drift["n_draws"] == 6
    assert drift["ci_low"] < drift["ci_high"]
    assert report["suite"]["content"]["audits"][0]["draws"] == 6, "defaults are resolved"
    capsys.readouterr()
    narrow = SUITE.replace('quantity = "relative_drift"\nmin = -0.05', 'quantity = "drift"\nmin = 0.5')
    assert audit(suite=narrow)[0] == 1


def test_a_report_is_shown_without_the_audit(audit, capsys):
    assert audit(suite=SUITE.replace("min = -0.05", "min = -0.99"))[0] == 0
    Path("shop_audits.py").write_text("raise SystemExit(0)")
    capsys.readouterr()
    assert run(["report", "show", "--full", "report.json"]) == 0
    shown = capsys.readouterr().out
    assert "shop_audits:Missing: measures" in shown
    assert re.search(r"items +missing share=0.3 image +items +60", shown)
    page = Path("page.html").read_text()
    assert "Share of the items with mean features instead of their own." in page
    assert re.search(r"<summary>shop_audits:Missing: \d+ measures</summary>", page)


FAULTS = {
    "raises": ("raise SystemExit(0)", "failed: SystemExit"),
    "nothing": ("return []", "returned no findings"),
    "number": ("return [1.0]", "a float; expected"),
    "in place": (
        "audited.tables[config.modality].mul_(1)\n        return [audited.value('c', 'm', 1.0, unit='')]",
        "in place",
    ),
    "twice": ("return [audited.value('c', 'm', 1.0, unit='')] * 2", "two findings of condition 'c', metric 'm'"),
    "no number": ("return [audited.value('c', 'm', None, unit='')]", "without a number and without a note"),
    "foreign": (
        "return [audited.value('c', 'm', 1.0, unit='').model_copy(update={'audit': 'noise'})]",
        "a finding of audit 'noise'",
    ),
    "not finite": (
        "return [audited.value('c', 'm', 1.0, unit='').model_copy(update={'clean': float('nan')})]",
        "not finite",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_an_error_that_names_the_audit(fault, audit):
    body, told = FAULTS[fault]
    code = CODE[: CODE.index("        table = audited")] + f"        {body}\n"
    exit_code, report = audit(code=code, suite=SUITE.partition("[[gates]]")[0])
    assert exit_code == 2
    assert report["verdict"] == "error"
    (status,) = [each for each in report["statuses"] if each["audit"] == "shop_audits:Missing"]
    assert status["status"] == "error"
    assert told in status["message"]
    assert "shop_audits:Missing" in status["message"]
    assert not [row for row in report["findings"] if row["audit"] not in ("clean", "content_use")]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit(0)", "cannot be imported: SystemExit"),
        ("class Missing: pass", "not a class derived from robustrec.audits.kind.AuditKind"),
        (CODE.replace("def measure", "def measured"), "has no method measure"),
        (CODE.replace("    config = MissingSettings", "    config = dict"), "AuditConfig"),
        (CODE.replace("draws: int = Field(default=6, ge=1, ", "draws: int = Field(ge=1, "), "key 'draws' is missing"),
    ],
)
def test_what_is_no_audit_is_refused_before_any_work(code, told, audit, tmp_path, capsys):
    assert audit(code=code)[0] == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "home" / "runs").exists()


def test_settings_are_checked_by_the_class_before_any_work(audit, capsys):
    assert audit(suite=SUITE.replace("share = 0.3", "share = 3"))[0] == 2
    assert "share" in capsys.readouterr().err
    assert audit(suite=SUITE.replace("share", "shar"))[0] == 2
    assert "did you mean 'share'" in capsys.readouterr().err


def test_reading_a_suite_or_a_report_imports_nothing():
    suite = parse_suite(SUITE, source="missing.toml")
    again = recorded_suite(suite.model_dump(mode="json"), source="report.json")
    assert again == suite
    assert again.digest == suite.digest
    assert suite.audits[0].share == 0.3
    assert "shop_audits" not in sys.modules


def test_its_cost_is_in_the_dry_run(audit, capsys):
    exit_code, _ = audit(more=("--dry-run", "--json"))
    assert exit_code == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["cost"]["rankings"] == 2 * (1 + 6 + 6), "clean lists, content use with two modalities, six draws"


class _Installed:
    name, value, dist, module = "outage", "shop_audits:Missing", None, "shop_audits"

    def load(self):
        import shop_audits

        return shop_audits.Missing


def _install(monkeypatch, point):
    found = {"robustrec.audits": [point]}
    monkeypatch.setattr("robustrec.plugins._installed", lambda group, _state: found.get(group, []))


def test_an_entry_point_is_listed_and_found_by_its_name(audit, monkeypatch, capsys):
    _install(monkeypatch, _Installed())
    suite = SUITE.replace("shop_audits:Missing", "outage").replace("min = -0.05", "min = -0.99")
    monkeypatch.syspath_prepend(Path.cwd())
    assert audit(suite=suite)[0] == 0
    capsys.readouterr()
    assert run(["list", "audits", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [*KINDS, "outage"]
    assert rows[-1]["what"].startswith("Replace the features of one modality")
    assert rows[-1]["place"] == "shop_audits:Missing"


def test_a_name_of_two_audits_is_refused(monkeypatch):
    point = _Installed()
    point.name = "noise"
    _install(monkeypatch, point)
    with pytest.raises(RobustrecError, match="two audits are named 'noise'"):
        load_suite_with("anything")


def load_suite_with(kind):
    return parse_suite(SUITE.replace("shop_audits:Missing", kind), source="missing.toml")


@pytest.mark.parametrize("name", KINDS)
def test_each_built_in_kind_describes_itself(name):
    kind = built_in(name)
    assert isinstance(kind, AuditKind)
    assert kind.name == name
    assert kind.summary.endswith(".")
    for gate in kind.gates:
        assert Gate.model_validate(gate).select.audit == name
    configs = [audit for suite in ("full", "merchant", "sharpness", "encoder") for audit in load_suite(suite).audits]
    assert any(isinstance(audit, kind.config) for audit in configs)
