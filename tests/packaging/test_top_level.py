"""The top level of the project has the entries that it should have, and no file that a test or a command left there."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPECTED = {
    *(".ci", ".gitignore", ".pre-commit-hooks.yaml", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile"),
    *("README.md", "audits", "benchmarks", "constraints.txt", "docs", "fixtures", "mkdocs.yml", "pyproject.toml"),
    *("robustrec", "tests"),
}


def test_no_stray_file_is_tracked() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("the project is not a git checkout")
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} == EXPECTED
