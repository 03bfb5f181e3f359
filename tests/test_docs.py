"""What the README and the pages show must work, and what there is must be shown."""

import functools
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from robustrec.audits.registry import KINDS
from robustrec.audits.suites import Suite, load_suite, parse_suite, suite_names
from robustrec.cli.main import run
from robustrec.edits import EDITS, edit
from robustrec.edits.content import Content
from robustrec.edits.contract import apply_edit
from robustrec.edits.view import CatalogueView
from robustrec.models import MODELS, training_defaults
from robustrec.results.waivers import read_waivers

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}

sys.path.insert(0, str(ROOT / "docs" / "generate"))
import site_commands  # noqa: E402
import site_suites  # noqa: E402
import site_tables  # noqa: E402
import site_tutorial  # noqa: E402

sys.path.pop(0)

COMMANDS = {words.removeprefix("robustrec ") for words, _ in site_commands.commands()}


@functools.cache
def filled():
    return {name: site_tables.filled(text) for name, text in PAGES.items()}


def test_the_readme_quotes_the_tutorials_screen():
    tutorial = (ROOT / "docs" / "tutorial.md").read_text()
    quoted = tutorial.split("<!-- console: robustrec report show report.json -->")[1].split("\n## ")[0].strip("\n")
    assert quoted.startswith("    SAMPLE EDITION")
    assert quoted in README


def test_the_suite_in_the_readme_is_one():
    block = re.search(r"\n( {4}schema_version = 1\n.*?)\n\n\S", README, re.S)
    suite = parse_suite(textwrap.dedent(block[1]), source="README.md")
    assert suite.require_edition == "full"
    assert len(suite.gates) == 2


def test_every_command_in_the_readme_and_the_docs_exists(capsys):
    texts = "\n".join([README, (ROOT / "CONTRIBUTING.md").read_text(), *filled().values()])
    groups = {words.split()[0] for words in COMMANDS if " " in words}
    named = set(re.findall(r"(?:^ {4}|`)robustrec ([a-z]+(?: [a-z]+)?)\b", texts, re.M))
    commands = {words if words.split()[0] in groups else words.split()[0] for words in named}
    assert len(commands) >= 15
    for command in commands - {"COMMAND"}:
        assert run([*command.split(), "--help"]) == 0, command


def test_every_command_is_in_the_reference():
    sections = set(re.findall(r"^## robustrec (.*)$", filled()["commands.md"], re.M))
    assert sections == COMMANDS
    assert {"audit", "report show", "encoder pretrain", "data import"} <= sections


def test_every_suite_and_every_key_of_suites_is_in_the_reference():
    text = filled()["suites.md"]
    for name in suite_names():
        assert f"\n### {name}\n" in text
    for kind in KINDS:
        assert f'kind = "{kind}"' in text
    for key in Suite.model_fields:
        assert f"| `{key}` |" in text
    assert list(site_suites.undescribed()) == [], "each key of a suite has a description in its model"


def test_every_edit_is_in_the_reference():
    for name in EDITS:
        assert f"| `{name}` |" in filled()["edits.md"]


def test_every_model_and_its_defaults_are_in_the_reference():
    text = filled()["models.md"]
    assert re.findall(r"^## ([a-z0-9-]+)$", text, re.M) == list(MODELS)
    for name in MODELS:
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert re.search(r"arXiv\s+\d{4}\.\d{5}|arXiv\s+\d{4}\.\d{4}|DOI\s+10\.", section), f"{name}: no paper"
        shown = dict(re.findall(r"^\| `[a-z0-9-]+\.(\w+)` \| (\S+) \|", section, re.M))
        assert {key: _value(text) for key, text in shown.items()} == training_defaults(name)


def _value(text: str) -> object:
    """Return a setting as it is shown: a word stands for itself."""
    return text if text.isidentifier() and text not in ("true", "false") else json.loads(text)


def test_defaults_of_one_data_set_are_shown_beside_the_usual_ones():
    assert "| `dragon.reg_weight` | 0.001 | clothing: 0.1 |" in filled()["models.md"]
    assert "| `bm3.layers` | 1 | electronics: 2 |" in filled()["models.md"]


def test_no_page_refers_to_a_section_of_the_unpublished_specification():
    for name, text in {"README.md": README, **filled()}.items():
        assert not re.search(r"\bspec(?: section)? \d", text), name


def test_every_table_stands_on_one_page():
    marks = [mark for text in PAGES.values() for mark in site_tables.MARK.findall(text)]
    assert sorted(marks) == sorted(site_tables.TABLES)


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"^ +- .*?([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == sorted(PAGES)


def test_every_link_between_pages_leads_somewhere():
    for name, text in {"README.md": README, **filled()}.items():
        folder = ROOT if name == "README.md" else ROOT / "docs"
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)):
            if not re.match(r"[a-z]+:", target):
                file, _, anchor = target.partition("#")
                assert not file or (folder / file).exists(), f"{name}: {target}"
                if anchor and (not file or file in filled()):
                    assert anchor in _anchors(filled()[file or name]), f"{name}: {target}"


def _anchors(text):
    given = set(re.findall(r"\{#([\w-]+)\}", text))
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return given | {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def test_every_place_in_the_repository_that_the_pages_name_exists():
    for name, text in PAGES.items():
        for path in re.findall(r"`((?:benchmarks|tests|docs)/[\w./-]+\.\w+)`", text):
            assert (ROOT / path).exists(), f"{name}: {path}"


def test_nothing_of_a_workplace_is_in_the_pages():
    for name, text in {"README.md": README, **filled()}.items():
        assert not re.search(r"/(?:work|tmp|root|home/\w+)/", text), name


def test_the_own_edit_works_and_its_suite_is_one(tmp_path, monkeypatch):
    blocks = re.findall(r"```(\w+)\n(.*?)```", PAGES["own-edits.md"], re.S)
    code, toml = (next(text for kind, text in blocks if kind == wanted) for wanted in ("python", "toml"))
    (tmp_path / "shop_edits.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    gift = edit("shop_edits:gift")
    content = Content("Red mug", "Acme", (), "", None)
    titles = [apply_edit(gift, content, n, np.random.default_rng(0), CatalogueView()).title for n in range(6)]
    assert titles[0] == "Red mug"
    assert all(worse.endswith("Red mug") and len(worse) > len(less) for less, worse in itertools.pairwise(titles))
    suite = parse_suite(toml, source="own-edits.md")
    assert suite.audits[0].edits == ("shop_edits:gift", "shop_edits:gift+promo_badge")
    assert suite.gates[0].select.edit == "shop_edits:gift"


def test_the_waiver_in_the_docs_is_one(tmp_path):
    block = textwrap.dedent(re.search(r"\n( {4}\[\[waivers\]\]\n.*?)\n\n\S", PAGES["gates.md"], re.S)[1])
    (tmp_path / "waivers.toml").write_text(block)
    waiver = read_waivers(tmp_path / "waivers.toml")[0]
    assert waiver.gate in {gate.name for gate in load_suite("quick").gates}


def test_the_tutorial_quotes_what_is_printed():
    text = PAGES["tutorial.md"]
    assert text.count("<!-- console: ") >= 4
    assert site_tutorial.refreshed(text) == text, "put it right: python docs/generate/site_tutorial.py"
    toml = re.search(r"```toml\n(.*?)```", text, re.S)[1]
    assert parse_suite(toml, source="tutorial.md").gates[0].min == -0.01


def test_every_path_in_the_architecture_page_exists():
    text = PAGES["architecture.md"]
    for path in re.findall(r"\*\*`((?:robustrec|fixtures|benchmarks|audits)/[\w/.]*)`\*\*", text):
        assert (ROOT / path).exists(), path
    packages = {path.name for path in (ROOT / "robustrec").iterdir() if (path / "__init__.py").exists()}
    assert packages == set(re.findall(r"\*\*`robustrec/(\w+)/`\*\*", text)), "each package has its paragraph"


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="the site needs the extra docs: make docs")
def test_the_site_builds_strictly_and_needs_no_network(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted(path.stem for path in tmp_path.glob("*.html") if path.stem != "404")
    assert pages == sorted(name.removesuffix(".md") for name in PAGES)
    for path in tmp_path.glob("*.html"):
        text = path.read_text()
        assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=.?(?:https?:)?//", text), path.name
        assert "generated:" not in text
    assert not (tmp_path / "generate").exists()
