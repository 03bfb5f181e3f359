"""Each folder of the package imports only what lies below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "robustrec"
FOLDERS = {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists()}


def test_folders_import_only_lower_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlinter import cli

    monkeypatch.chdir(ROOT)
    assert cli.lint_imports(config_filename="pyproject.toml", no_cache=True) == cli.EXIT_STATUS_SUCCESS


def test_every_folder_has_a_layer() -> None:
    import tomllib

    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = {name for layer in contract["layers"] for name in layer.split(" | ")}
    assert named == FOLDERS - {"untrusted"}


@pytest.mark.parametrize("module", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_modules_beside_the_folders_import_no_folder(module: Path) -> None:
    if module.stem in ("start", "__main__"):
        pytest.skip("the first code of the process starts the command line")
    imported = {
        name.split(".")[1]
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
        if name.startswith("robustrec.")
    }
    assert not imported & (FOLDERS - {"untrusted"})
