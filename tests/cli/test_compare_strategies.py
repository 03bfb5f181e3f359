"""`robustrec compare` as a process would call it: two ways to be used, and not both at once."""

import json

import pytest

from robustrec.cli.main import run
from robustrec.comparison.result import StrategyReport

TRAINING = [
    f"training.{key}={value}" for key, value in (("learning_rate", 0.01), ("batch_size", 128), ("max_epochs", 3))
]
SET = [word for setting in TRAINING for word in ("--set", setting)]


def test_strategies_are_compared_and_written(tiny_folder, tmp_path, capsys):
    folder, out = str(tiny_folder), tmp_path / "out.json"
    words = [
        "compare",
        "-m",
        "vbpr",
        "-s",
        "vanilla",
        "-s",
        "sgbd",
        "-d",
        folder,
        "--home",
        str(tmp_path / "home"),
        *SET,
    ]
    small = [
        "--seeds",
        "2",
        "--epochs",
        "3",
        "--draws",
        "2",
        "--edit",
        "none",
        "--triples",
        "40",
        "--probes",
        "2",
        "--steps",
        "4",
    ]
    assert run([*words, *small, "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert "10 training runs" in said
    assert "users:" not in said
    assert run([*words, *small, "--users", "30", "--dry-run"]) == 0
    assert "note: users: a stratified sample of 30 of 80 test users is ranked" in capsys.readouterr().err
    assert not (tmp_path / "home" / "runs").exists()
    assert run([*words, *small, "--output", str(out), "--quiet"]) == 0
    told = capsys.readouterr().out
    report = StrategyReport.model_validate_json(out.read_text(), strict=True)
    assert report.seeds == (0, 1)
    for sentence in report.sentences:
        assert sentence in " ".join(told.split())
    for word in ("vbpr, equal epochs", "vbpr, equal gradient evaluations", "input sharpness image", "λ₁"):
        assert word in told
    assert run([*words, *small, "--json", "--quiet"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["rows"] == json.loads(out.read_text())["rows"], "the same trainings, the same numbers"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing to compare"),
        (["a.json", "--model", "vbpr"], "reports and --model cannot be combined"),
        (["--model", "vbpr", "-s", "sam", "-s", "sgbd"], "not among the compared strategies"),
        (["--model", "vbpr", "-s", "quick"], "unknown strategy"),
    ],
)
def test_what_makes_no_comparison_is_refused(words, told, tmp_path, capsys):
    assert run(["compare", *words, "--home", str(tmp_path)]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
