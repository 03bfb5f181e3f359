"""The wheel: holds suites and fixtures, runs from anywhere, and declares everything it imports."""

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from robustrec import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built of what the Dockerfile copies, which is less than the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    context = folder / "context"
    context.mkdir()
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            (context / line[1:]).symlink_to(ROOT / line[1:])
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=context, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_carries_suites_fixtures_and_data_files(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {f"robustrec/_data/audits/{path.name}" for path in (ROOT / "audits").glob("*.toml")}
    shipped |= {
        f"robustrec/_data/{path.relative_to(ROOT)}" for path in (ROOT / "fixtures").rglob("*") if path.is_file()
    }
    assert {"robustrec/_data/audits/quick.toml", "robustrec/_data/fixtures/shop.toml"} <= shipped <= names
    pages = {f"robustrec/_data/docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert {"robustrec/_data/docs/gates.md", "robustrec/_data/docs/report-schema-v3.json"} <= pages | names
    assert pages <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert {"robustrec/models/defaults.toml", "robustrec/py.typed"} <= names
    templates = {"base.html.j2", "page.html.j2", "parts.html.j2", "sections/gates.html.j2", "style.css", "script.js"}
    assert {f"robustrec/report/html/templates/{name}" for name in templates} <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_installed_into_a_bare_environment_it_makes_the_sample_in_another_folder(wheel, tmp_path):
    """An audit from there is the recipe of docs/ci.md (test_recipes.py), installed from a wheel too."""
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", f"--python={python}", "install"]
    install = [*pip, "--quiet", "--no-deps", "--no-index", "--no-compile", wheel]
    subprocess.run(install, check=True, capture_output=True, cwd=tmp_path)
    # The dependencies come from the environment of the tests; its own robustrec is linked there by a .pth file, which
    # PYTHONPATH does not follow, so that the one imported is the wheel's.
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ROBUSTREC_")},
        "PYTHONPATH": sysconfig.get_paths()["purelib"],
        "ROBUSTREC_HOME": str(tmp_path / "home"),
    }
    where = [python, "-c", "import robustrec; print(robustrec.__file__)"]
    found = subprocess.run(where, check=True, capture_output=True, text=True, env=environment, cwd=tmp_path).stdout
    assert Path(found.strip()).is_relative_to(home)
    page = [home / "bin" / "robustrec", "docs", "docs/gates.md"]
    shown = subprocess.run(page, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True).stdout
    assert shown == (ROOT / "docs" / "gates.md").read_text()
    lists = [home / "bin" / "robustrec", "data", "describe", "baby", "--edition", "sample", "--json"]
    done = subprocess.run(lists, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert '"synthetic": true' in done.stdout


def _names(requirements):
    return {re.split(r"[<>=!~\[ ;]", requirement)[0].lower() for requirement in requirements}


def test_every_import_is_a_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for names in project["optional-dependencies"].values() for each in names]
    declared, optional = _names(project["dependencies"]), _names(extras)
    owners = packages_distributions()
    undeclared = set()
    for path in (ROOT / "robustrec").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            for module in modules:
                top = module.partition(".")[0]
                if top in sys.stdlib_module_names or top == "robustrec":
                    continue
                # What an extra brings is imported at its first use, or for type annotations.
                allowed = declared if node in tree.body else declared | optional
                if not {name.lower().replace("_", "-") for name in owners.get(top, [])} & allowed:
                    undeclared.add(f"{path.relative_to(ROOT)}: {top}")
    assert not undeclared


def test_the_pinned_torch_is_within_the_declared_range():
    constraint = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert constraint
    assert "torch>=2.6" in (ROOT / "pyproject.toml").read_text()


def test_pages_that_messages_name_are_in_the_wheel():
    named = set()
    for path in (ROOT / "robustrec").rglob("*.py"):
        named |= set(re.findall(r"docs/([\w-]+\.md)|robustrec docs ([a-z-]+)", path.read_text()))
    pages = {page or f"{name}.md" for page, name in named}
    assert len(pages) > 10
    assert not [page for page in pages if not (ROOT / "docs" / page).is_file()]


def test_the_image_is_built_as_a_user_that_is_not_root():
    """Docker is not in every environment of tests, so its file is read, and the wheel above is built of its context."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    assert [word for word, _ in steps if word == "FROM"] == ["FROM"] * 2
    bases = [rest.split()[0] for word, rest in steps if word == "FROM"]
    assert all(re.fullmatch(r"python:3\.1[1-9]-slim", base) for base in bases)
    last = {word: rest for word, rest in steps}
    assert last["USER"].isdigit()
    assert int(last["USER"]) > 0
    assert json.loads(last["ENTRYPOINT"]) == ["robustrec"]
    assert f"--uid {last['USER']}" in text
    install = next(rest for word, rest in steps if word == "RUN" and "pip install" in rest)
    assert "--constraint /tmp/constraints.txt" in install
    assert "--no-cache-dir" in install
    order = [word for word, _ in steps]
    assert order.index("USER") > max(place for place, word in enumerate(order) if word == "RUN"), "root for pip alone"


def test_the_changelog_begins_with_the_version():
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)[1]
    assert first == __version__
    for page in ("docs/ci.md", "docs/install.md", "CHANGELOG.md"):
        assert set(re.findall(r"robustrec(?:@v|==|-)(\d+\.\d+\.\d+)", (ROOT / page).read_text())) == {__version__}, page
