"""Each folder of the package imports only what lies below it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "robustrec"
FOLDERS = {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists()}


def test_folders_import_only_lower_ones() -> None:
    # In a process of its own: import-linter switches off every logger there is.
    script = "import sys; from importlinter import cli; sys.exit(cli.lint_imports('pyproject.toml', no_cache=True))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_folder_has_a_layer() -> None:
    import tomllib

    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = {name for layer in contract["layers"] for name in layer.split(" | ")}
    assert named == FOLDERS - {"untrusted"}


@pytest.mark.parametrize("module", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_modules_beside_the_folders_import_no_folder(module: Path) -> None:
    if module.stem in ("start", "__main__", "__init__"):
        pytest.skip("the first code of the process starts the command line, and the package offers its API")
    imported = {
        name.split(".")[1]
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
        if name.startswith("robustrec.")
    }
    assert not imported & (FOLDERS - {"untrusted"})


def test_modules_form_no_circle_of_imports() -> None:
    """Type annotations may name what lies above, as those of an audit kind do; imports at run time may not."""
    script = """
import grimp, json
graph = grimp.build_graph("robustrec", exclude_type_checking_imports=True, cache_dir=None)
print(json.dumps({name: sorted(graph.find_modules_directly_imported_by(name)) for name in graph.modules}))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = json.loads(done.stdout)
    # Packages that offer what a module of theirs has, at the first use.
    imported["robustrec"].remove("robustrec.api")
    imported["robustrec.edits"].remove("robustrec.edits.resolve")
    with pytest.raises(CycleError):
        tuple(TopologicalSorter({"a": ["b"], "b": ["a"]}).static_order())
    assert len(tuple(TopologicalSorter(imported).static_order())) == len(imported)
