from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from labelled import finding
from rich.cells import cell_len
from rich.console import Console

from robustrec.audits.judged import judged_again
from robustrec.audits.suites import parse_suite
from robustrec.cli.bars import bars
from robustrec.cli.main import run
from robustrec.results.findings import AuditStatus
from robustrec.results.report import (
    Costs,
    DatasetRecord,
    Environment,
    Report,
    SubjectRecord,
    SuiteRecord,
    read_report,
    write_report,
)
from robustrec.results.verdict import verdict_with_reason
from robustrec.subject import Subject

SUITE = parse_suite(
    'schema_version = 1\nname = "small"\nmetrics = ["ndcg@20"]\n[[audits]]\nkind = "noise"', source="small.toml"
)
SUBJECT = Subject(model="bpr", strategy="vanilla", features="none", seed=0)
TEXT = "σ² = 1e-06 · 購物 \u202e"


@pytest.fixture
def stored(tmp_path):
    """A small report on disk, with texts that ASCII lacks."""
    statuses = (AuditStatus(audit="noise", subject=SUBJECT, status="ok"),)
    row = {"subject": SUBJECT, "audit": "clean", "condition": "test", "metric": "ndcg@20", "quantity": "value"}
    word, reason = verdict_with_reason((), statuses)
    report = Report(
        robustrec="0.1.0",
        created=datetime(2026, 2, 3, tzinfo=UTC),
        command=("robustrec", "audit"),
        dataset=DatasetRecord(
            name=TEXT,
            edition="sample",
            synthetic=True,
            digest="d",
            n_users=9,
            n_items=9,
            n_train=9,
            n_validation=9,
            n_test=9,
        ),
        suite=SuiteRecord(name=SUITE.name, digest=SUITE.digest, content=SUITE.model_dump(mode="json")),
        subjects=(SubjectRecord(subject=SUBJECT, parameters_digest="p", run="r", config={}),),
        statuses=statuses,
        findings=(finding(**row, clean=0.1, ci_low=0.09, ci_high=0.11, n_users=9, n_draws=0, unit="share", note=TEXT),),
        gates=(),
        verdict=word,
        verdict_reason=reason,
        warnings=(TEXT,),
        seeds={"audit": 0},
        environment=Environment(python="3", torch="2", numpy="2", platform="p", device="cpu", threads=1),
        durations={"noise": 1.0},
        costs=Costs(),
    )
    path = tmp_path / "report.json"
    write_report(judged_again(report, SUITE, now=report.created), path)
    return path


def test_a_report_is_shown_on_one_screen_or_in_full(stored, capsys):
    assert run(["report", "show", str(stored)]) == 0
    short = capsys.readouterr().out
    assert run(["report", "show", str(stored), "--full"]) == 0
    full = capsys.readouterr().out
    assert "\nChecks  " in short
    assert "best epoch" in full
    assert "and .html" not in " ".join(short.split())
    assert run(["report", "convert", str(stored), "--output-format", f"html:{stored.with_suffix('.html')}"]) == 0
    assert run(["report", "show", str(stored)]) == 0
    assert "and .html" in " ".join(capsys.readouterr().out.split())


def test_every_form_is_made_from_a_stored_report_and_nothing_runs(stored, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    out = tmp_path / "out"
    forms = {"json": "json", "html": "html", "junit": "xml", "markdown": "md", "github": "txt", "csv": "csv"}
    asked = [part for form, end in forms.items() for part in ("--output-format", f"{form}:{out / f'r.{end}'}")]
    assert run(["report", "convert", str(stored), *asked]) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(f"r.{end}" for end in forms.values())
    assert read_report(out / "r.json") == read_report(stored)
    assert not (tmp_path / "home").exists()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--output-format", "pdf"], "available formats"),
        (["--output-format", "json:"], "json:PATH"),
        ([], "--help"),
    ],
)
def test_wrong_conversions_are_code_2(arguments, told, stored, capsys):
    assert run(["report", "convert", str(stored), *arguments]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_no_terminal_breaks_a_report(encoding, stored):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "40", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "robustrec", "report"]

    def output(*arguments):
        done = subprocess.run([*command, *arguments], capture_output=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = output("show", str(stored)).decode(encoding)
    assert "\x1b" not in shown
    assert max(cell_len(line) for line in shown.splitlines()) <= 40
    # A form is its bytes, whatever the terminal.
    assert json.loads(output("convert", str(stored), "--output-format", "json"))["warnings"] == [TEXT]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_live_view_says_stage_item_and_time_left_in_any_width(width):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, color_system=None)
    with bars(console) as progress:
        progress("training slmrec/vanilla seed 0", 1, 21, "loss 7.4 · [red]ndcg@20[/] " + "w" * 100)
        progress("break point", 2, 6, "slmrec/vanilla/basic/seed 0 σ²=1e-08")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", file.getvalue()).replace("\r", "\n").splitlines()
    assert max(cell_len(line) for line in lines) <= width
    text = "\n".join(lines)
    assert "break point" in text
    assert "2/6" in text
    assert "σ²=1e-08" in text
    assert "-:--" in text
