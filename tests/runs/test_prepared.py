"""What is found and what is hidden at test: exactly the pairs of its label, and exactly the pairs trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import robustrec.api.steps
import robustrec.runs.prepared
from robustrec.audits import run as runner
from robustrec.audits.plan import make_plan
from robustrec.cli.main import run
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.evaluation.ranking import rank
from robustrec.models.contract import Representation
from robustrec.results.report import read_report
from robustrec.runs.prepared import Prepared, prepare

Pair = tuple[int, int]
SUITE = """
schema_version = 1
name = "s"
metrics = ["ndcg@20"]
mask_validation = HIDDEN
[[audits]]
kind = "noise"
sigma2 = [1e-2]
draws = 2
"""


def _rows(folder: Path) -> dict[int, set[Pair]]:
    """Return label -> pairs, read from the file anew."""
    found: dict[int, set[Pair]] = {0: set(), 1: set(), 2: set()}
    for line in next(folder.glob("*.inter")).read_text().splitlines()[1:]:
        user, item, _, _, label = line.split("\t")
        found[int(label)].add((int(user), int(item)))
    return found


def _pairs(matrix: Any) -> set[Pair]:
    table = matrix.tocoo()
    return {(int(u), int(i)) for u, i, value in zip(table.row, table.col, table.data, strict=True) if value}


def test_test_is_the_pairs_of_label_2_and_hides_those_of_training(tiny: Prepared, tiny_folder: Path) -> None:
    rows = _rows(tiny_folder)
    assert all(rows.values())
    assert _pairs(tiny.test.relevant) == rows[2]
    assert _pairs(tiny.test.masked) == rows[0]
    assert set(tiny.test.users.tolist()) == {user for user, _ in rows[2]}


def test_validation_is_the_pairs_of_label_1_and_hides_those_of_training(tiny: Prepared, tiny_folder: Path) -> None:
    rows = _rows(tiny_folder)
    assert _pairs(tiny.validation.relevant) == rows[1]
    assert _pairs(tiny.validation.masked) == rows[0]


def test_a_model_is_built_and_trained_on_the_pairs_of_label_0(tiny: Prepared, tiny_folder: Path) -> None:
    rows = _rows(tiny_folder)
    assert {(int(u), int(i)) for u, i in tiny.problem.edges.T.tolist()} == rows[0]
    assert tiny.problem.edges.shape[1] == len(rows[0])
    assert len(tiny.positives.users) == len(rows[0])


@pytest.mark.parametrize("hidden", [True, False])
def test_validation_pairs_are_hidden_at_test_where_that_is_asked_for(
    hidden: bool, tiny: Prepared, tiny_folder: Path
) -> None:
    rows = _rows(tiny_folder)
    prepared = prepare(tiny.dataset, tiny.features, torch.device("cpu"), mask_validation=hidden)
    assert _pairs(prepared.test.masked) == (rows[0] | rows[1] if hidden else rows[0])
    assert _pairs(prepared.validation.masked) == rows[0]
    assert _pairs(prepared.test.relevant) == rows[2]


def test_lists_hold_no_pair_of_training(tiny: Prepared, tiny_folder: Path) -> None:
    """A model that scores what was trained highest gets none of it into its lists."""
    rows = _rows(tiny_folder)
    items = torch.eye(60)
    users = torch.zeros(80, 60)
    for user, item in rows[0] | rows[2]:
        users[user, item] = 5.0
    lists = rank(Representation(users, items), tiny.test.users, tiny.test.masked, k=20)
    listed = {(int(u), int(i)) for u, each in zip(lists.users, lists.items, strict=True) for i in each}
    assert not listed & rows[0]
    assert rows[2] <= listed


@pytest.mark.parametrize("hidden", [True, False])
def test_an_audit_hides_validation_pairs_where_its_suite_says_so(
    hidden: bool, tiny_folder: Path, tmp_path: Path
) -> None:
    rows = _rows(tiny_folder)
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE.replace("HIDDEN", str(hidden).lower()))
    settings = Settings(
        home=tmp_path,
        model=("vbpr",),
        strategy=("vanilla",),
        dataset=str(tiny_folder),
        suite=str(suite),
        device="cpu",
        set={"training": {"max_epochs": 1}},
    )
    measured = runner.measure(make_plan(settings))
    assert _pairs(measured.prepared.test.masked) == (rows[0] | rows[1] if hidden else rows[0])
    (subject, clean), *_ = measured.subjects
    listed = {(int(u), int(i)) for u, each in zip(clean.ranking.users, clean.ranking.items, strict=True) for i in each}
    assert bool(listed & rows[1]) is not hidden
    assert np.array_equal(clean.ranking.users, measured.prepared.test.users)
    assert subject.model is not None


@pytest.mark.parametrize("hidden", [True, False])
def test_evaluate_hides_validation_pairs_where_its_suite_says_so(
    hidden: bool, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, asked = tmp_path / "suite.toml", []
    suite.write_text(SUITE.replace("HIDDEN", str(hidden).lower()))

    def stop(*_args: Any, mask_validation: bool = False, **_options: Any) -> Prepared:
        asked.append(mask_validation)
        raise RobustrecError("stopped here", where="test", fix="nothing")

    monkeypatch.setattr(robustrec.api.steps, "prepare", stop)
    options = ["-d", str(tiny_folder), "--suite", str(suite), "--home", str(tmp_path), "-q"]
    assert run(["evaluate", "-m", "bpr", "-s", "vanilla", *options]) == 2
    assert "stopped here" in capsys.readouterr().err
    assert asked == [hidden]


@pytest.mark.parametrize(("hidden", "suite_says"), [(True, False), (False, True)])
def test_an_override_decides_what_is_hidden_at_test(
    hidden: bool, suite_says: bool, tiny_folder: Path, tmp_path: Path
) -> None:
    """By `--set evaluation.mask_validation`, and the suite of the report says what was done."""
    rows, suite = _rows(tiny_folder), tmp_path / "suite.toml"
    suite.write_text(SUITE.replace("HIDDEN", str(suite_says).lower()))
    settings = Settings(
        home=tmp_path,
        model=("vbpr",),
        strategy=("vanilla",),
        dataset=str(tiny_folder),
        suite=str(suite),
        device="cpu",
        set={"training": {"max_epochs": 1}, "evaluation": {"mask_validation": hidden}},
    )
    plan = make_plan(settings)
    assert plan.suite.mask_validation is hidden
    assert _pairs(runner.work_of(plan).context.prepared.test.masked) == (rows[0] | rows[1] if hidden else rows[0])


@pytest.mark.parametrize(
    ("override", "what"), [("mask_validations=true", "mask_validations"), ("mask_validation=7", "mask_validation = 7")]
)
def test_a_wrong_override_of_the_evaluation_is_refused(
    override: str, what: str, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["-d", str(tiny_folder), "--home", str(tmp_path), "--set", f"evaluation.{override}"]
    assert run(["audit", "-m", "vbpr", "--dry-run", *options]) == 2
    assert what in capsys.readouterr().err


GATED = (
    SUITE.replace("HIDDEN", "false")
    + """
[[gates]]
name = "noise"
select = { audit = "noise", metric = "ndcg@20" }
quantity = "relative_drift"
min = -0.99
"""
)


def test_a_sample_of_test_users_is_ranked_for_all_subjects_and_said(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the option to the verdict: plan, subjects, arrays, gates and cautions are of the same 30 users."""
    suite, made = tmp_path / "suite.toml", tmp_path / "report.json"
    suite.write_text(GATED.replace('["ndcg@20"]', '["ndcg@20", "coverage@20"]', 1))
    options = ["-m", "vbpr", "-m", "bpr", "-s", "vanilla", "-d", str(tiny_folder), "--suite", str(suite)]
    options += ["--home", str(tmp_path), "--users", "30", "--set", "training.max_epochs=2"]
    assert run(["audit", *options, "--dry-run"]) == 0
    assert "users a stratified sample of 30 of 80 test users" in " ".join(capsys.readouterr().out.split())
    assert run(["audit", *options, "--output-format", f"json:{made}", "--fail-on", "never"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    report = read_report(made)
    users = np.load(tmp_path / "report.users.npz")["users"]
    assert len(users) == 30
    assert {row.n_users for row in report.findings if row.n_users} == {30}
    assert report.suite.content["users"] == 30
    assert report.dataset.n_test_users == 80
    assert report.gates[0].message.endswith(", on a stratified sample of 30 of 80 test users")
    assert "users: a stratified sample of 30 of 80 test users was ranked" in printed
    assert any("coverage@20: of the lists of the sample" in line for line in report.cautions)


def test_a_baseline_of_other_users_is_refused_before_any_work(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, made, accepted = tmp_path / "suite.toml", tmp_path / "report.json", tmp_path / "baseline.json"
    suite.write_text(GATED)
    options = ["-m", "vbpr", "-s", "vanilla", "-d", str(tiny_folder), "--suite", str(suite), "--home", str(tmp_path)]
    options += ["--set", "training.max_epochs=1", "--fail-on", "never"]
    assert run(["audit", *options, "--users", "30", "--output-format", f"json:{made}"]) == 0
    assert run(["baseline", "accept", str(made), "--output", str(accepted)]) == 0
    capsys.readouterr()
    for other, said in (([], "all"), (["--users", "31"], "31")):
        assert run(["audit", *options, *other, "--baseline", str(accepted), "--dry-run"]) == 2
        expected = f"the baseline has different settings: users 30, not {said} (digest"
        assert expected in " ".join(capsys.readouterr().err.split())
    assert run(["audit", *options, "--users", "30", "--baseline", str(accepted)]) == 0
