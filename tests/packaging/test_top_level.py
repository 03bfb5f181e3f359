"""The top level of the project has the entries that it should have and no other file, and modules are short."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 400
EXPECTED = {
    *(".ci", ".gitignore", ".pre-commit-hooks.yaml", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile"),
    *("README.md", "audits", "benchmarks", "constraints.txt", "docs", "fixtures", "mkdocs.yml", "pyproject.toml"),
    *("robustrec", "tests"),
    *(".dockerignore", "Dockerfile"),
    *("action.yml", "templates"),  # where GitHub and GitLab look for an action and for components
}


def test_no_stray_file_is_tracked() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("the project is not a git checkout")
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} == EXPECTED


def test_modules_are_of_a_size_to_read() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sorted((ROOT / "robustrec").rglob("*.py"))
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    }
    assert not long
