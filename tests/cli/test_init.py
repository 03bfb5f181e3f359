"""`robustrec init`: what it recognises, and files that the other commands accept."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

from robustrec.audits.suites import load_suite
from robustrec.cli.main import run
from robustrec.config import resolve
from robustrec.datasets.conversion import SplitOptions
from robustrec.datasets.import_options import ImportOptions

DAY = 86_400
START = 1_500_000_000


def shop(folder: Path, *, users: int = 40, items: int = 30, timed: bool = False) -> Path:
    folder.mkdir(parents=True)
    rows = [
        (user, (7 * user + step) % items, START + DAY * (10 * user + step))
        for user in range(users)
        for step in range(1, 12)
    ]
    header = "user,item" + (",timestamp" if timed else "")
    lines = [",".join(map(str, row if timed else row[:2])) for row in rows]
    (folder / "ratings.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder


def catalog(folder: Path, items: int = 30) -> None:
    lines = [json.dumps({"item_id": item, "title": f"Blue lamp number {item}"}) for item in range(items)]
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")


def pictures(folder: Path, items: int = 30) -> None:
    from PIL import Image

    (folder / "images").mkdir()
    for item in range(items):
        Image.new("RGB", (16, 16), (8 * item, 10, 200 - 5 * item)).save(folder / "images" / f"{item}.png")


def features(folder: Path, items: int = 30) -> None:
    np.save(folder / "text_feat.npy", np.random.default_rng(0).normal(size=(items, 6)).astype(np.float32))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    return folder


@pytest.mark.parametrize("ci", ["github", "gitlab"])
@pytest.mark.parametrize(
    ("content", "audits", "edits"),
    [
        ("texts", ["noise", "merchant"], ["truncation"]),
        ("texts and pictures", ["noise", "merchant"], ["truncation", "promo_badge"]),
        ("pictures", ["noise", "merchant"], ["promo_badge"]),
        ("features", ["noise"], []),
        ("features and texts", ["noise"], []),  # the files are used as they are
    ],
)
def test_what_it_writes_imports_and_passes_the_dry_run(
    project: Path, capsys: pytest.CaptureFixture[str], content: str, audits: list[str], edits: list[str], ci: str
) -> None:
    """By the commands that the CI workflow runs."""
    folder = shop(project / "data")
    for word, add in (("texts", catalog), ("pictures", pictures), ("features", features)):
        if word in content:
            add(folder)
    assert run(["init", "data", "--name", "shop", "--ci", ci]) == 0
    shown = capsys.readouterr()
    assert "CSV: ratings.csv (440 rows)" in " ".join(shown.out.split())
    assert "robustrec data import data --name shop" in shown.err
    suite = load_suite("robustrec-suite.toml")
    assert [audit.kind for audit in suite.audits] == audits
    assert [list(audit.edits) for audit in suite.audits if audit.kind == "merchant"] == ([edits] if edits else [])
    assert any(gate.severity == "error" and not gate.optional for gate in suite.gates)
    path = project / (".github/workflows/robustrec.yml" if ci == "github" else ".gitlab-ci.yml")
    commands = re.findall(r"robustrec (?:data import|audit)\b[^\n]*", path.read_text())
    imported, audit = map(shlex.split, commands)
    assert run(imported[1:]) == 0
    capsys.readouterr()
    assert run([*audit[1:], "--dry-run"]) == 0
    assert "shop" in capsys.readouterr().out
    assert resolve({}).sources["dataset"].endswith("robustrec.toml, dataset")


@pytest.mark.parametrize("name", ["my: data #1", "${{ github.token }}", "it's", '"x" `y` $z', "[a] - b", "ü {b}"])
@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_a_folder_of_any_name_stays_one_argument_in_the_workflow(project: Path, name: str, ci: str) -> None:
    """In YAML, in GitHub's expressions, and in the shell."""
    catalog(shop(project / name))
    assert run(["init", name, "--name", "shop", "--ci", ci, "--quiet"]) == 0
    if ci == "github":
        content = yaml.safe_load((project / ".github/workflows/robustrec.yml").read_text())
        scripts = [step["run"] for step in content["jobs"]["audit"]["steps"] if "run" in step]
        scripts = [text.replace("${{ '${{' }}", "${{") for text in scripts]
        assert not [text for text in scripts if "${{" in text and name != "${{ github.token }}"]
    else:
        scripts = yaml.safe_load((project / ".gitlab-ci.yml").read_text())["robustness"]["script"]
    (imported,) = [text for text in scripts if text.startswith("robustrec data import")]
    assert shlex.split(imported)[3] == name


def test_the_workflow_comments_and_shows_the_numbers(project: Path) -> None:
    """By the script of the action, and with the reports of the component."""
    catalog(shop(project / "data"))
    root = Path(__file__).resolve().parents[2]
    assert run(["init", "data", "--quiet"]) == 0
    action = yaml.safe_load((root / "action.yml").read_text())["runs"]["steps"]
    own = yaml.safe_load((project / ".github/workflows/robustrec.yml").read_text())["jobs"]["audit"]["steps"]
    scripts = [next(step["run"] for step in steps if "Comment" in step.get("name", "")) for steps in (own, action)]
    assert scripts[0] == scripts[1]
    audit = next(step["run"] for step in own if "robustrec audit" in step.get("run", ""))
    assert "--output-format comment:comment.md --output-format github" in audit
    assert run(["init", "data", "--quiet", "--ci", "gitlab", "--force"]) == 0
    job = yaml.safe_load((project / ".gitlab-ci.yml").read_text())["robustness"]
    _, component = yaml.safe_load_all((root / "templates" / "audit.yml").read_text())
    assert job["artifacts"] == component["robustrec"]["artifacts"]
    for path in (*job["artifacts"]["reports"].values(), "report.json", "report.html"):
        assert f":{path}" in job["script"][-1]


def test_the_split_follows_from_the_data(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times: one cut if it leaves enough test users, else the last two; no times: random; a published one stays."""
    for name, timed, wanted in (("plain", False, ""), ("timed", True, "--split leave-last-two")):
        catalog(shop(project / name, timed=timed))
        assert run(["init", name, "--output", f"out-{name}", "--ci", "none"]) == 0
        err = " ".join(capsys.readouterr().err.split())
        assert f"data import {project / name} --name {name} {wanted}".strip() in err
    folder = project / "many"
    folder.mkdir()
    rows = [f"{user},{(user + step) % 30},{START + DAY * step}" for user in range(600) for step in range(10)]
    (folder / "ratings.csv").write_text("\n".join(["user,item,timestamp", *rows]) + "\n")
    catalog(folder)
    assert run(["init", "many", "--ci", "none"]) == 0
    assert "data import many --name many --split time" in " ".join(capsys.readouterr().err.split())


def test_nothing_is_overwritten_without_force(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog(shop(project / "data"))
    (project / "robustrec.toml").write_text("seed = 7\n")
    assert run(["init", "data"]) == 2
    assert "robustrec.toml already exists" in capsys.readouterr().err
    assert (project / "robustrec.toml").read_text() == "seed = 7\n"
    assert not (project / "robustrec-suite.toml").exists()
    assert run(["init", "data", "--force"]) == 0
    assert 'dataset = "data"' in (project / "robustrec.toml").read_text()


@pytest.mark.parametrize(
    ("prepare", "arguments", "what", "fix"),
    [
        (lambda folder: None, [], "no item has a text, a picture or features", "add a catalog"),
        (lambda folder: (folder / "ratings.csv").unlink(), [], "no interactions found", "add the file"),
        (
            lambda folder: [(folder / name).write_text("user,item\n1,2\n") for name in ("interactions.csv", "x.csv")]
            and (folder / "ratings.csv").rename(folder / "y.csv") and (folder / "interactions.csv").unlink(),
            ["--ci", "gitlab"],
            "several files match",
            "robustrec init data --ci gitlab --interactions",
        ),
        (
            lambda folder: (folder / "ratings.csv").write_text("user,item\n1,2\n1,3\n2,2\n"),
            [],
            "no interactions left after the 5-core filter",
            "robustrec init data --k 1",
        ),
        (
            lambda folder: (folder.parent / "pyproject.toml").write_text("[tool.robustrec]\nseed = 1\n"),
            [],
            "robustrec.toml would not be read",
            "--output DIR",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_set_up_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], prepare: object, arguments: list[str], what: str, fix: str
) -> None:
    prepare(shop(project / "data"))  # type: ignore[operator]
    assert run(["init", "data", *arguments]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert what in error
    assert fix in error
    assert not (project / "robustrec.toml").exists()


def test_an_unknown_folder_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert project.is_dir()
    assert run(["init", "nowhere"]) == 2
    assert "nowhere is not a directory" in capsys.readouterr().err


def test_options_of_an_import_are_written_as_they_are_read() -> None:
    times = {"valid_from": "2020-01-01", "test_from": "2021-01-01"}
    options = ImportOptions(k=2, split="time", columns=("user", "item"), **times)  # type: ignore[arg-type]
    assert options.words() == [
        *("--columns", "user,item", "--k", "2", "--split", "time"),
        *("--valid-from", "2020-01-01", "--test-from", "2021-01-01"),
    ]
    assert options.how == SplitOptions(kind="time", **times)  # type: ignore[arg-type]
