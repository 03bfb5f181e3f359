"""What the CI itself runs names options and suites that exist, and docs/ci.md a waiver and a hook that do.

The recipes of docs/ci.md are run by tests/packaging/test_recipes.py.
"""

import re
import tomllib
from pathlib import Path

import pytest

from robustrec.audits.suites import load_suite
from robustrec.cli.main import run
from robustrec.config import Settings
from robustrec.results.waivers import read_waivers

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "ci.md").read_text()
EXAMPLE = (ROOT / ".ci" / "gate-example").read_text()


def commands(text):
    """Every robustrec command with its options, continuation lines joined."""
    joined = re.sub(r"\s*\\?\n\s+(?=--)", " ", text).replace('"$robustrec"', "robustrec")
    found = re.findall(r"(?:^|[\s>-])robustrec ((?:audit|gate|baseline \w+|compare)\b[^\n`]*)", joined)
    return [each.split() for each in found]


@pytest.mark.parametrize("words", commands(EXAMPLE), ids=" ".join)
def test_every_option_in_a_recipe_exists(words, capsys):
    command = words[: 2 if words[0] == "baseline" else 1]
    assert run([*command, "--help"]) == 0
    help_text = capsys.readouterr().out
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert option in help_text, option
    for suite in (words[place + 1] for place, word in enumerate(words) if word == "--suite"):
        if not suite.startswith(("stricter", "$")):
            load_suite(str(ROOT / suite) if "/" in suite else suite)


def test_the_example_is_run_by_the_ci():
    assert {words[0] for words in commands(EXAMPLE)} == {"audit", "baseline", "gate"}
    assert ".ci/gate-example" in (ROOT / ".ci" / "run").read_text()


def test_the_settings_and_the_waiver_of_the_page_are_read(tmp_path):
    blocks = re.findall(r"(?:^ {4}.*\n|^\n)+", PAGE, re.M)
    dedented = [re.sub(r"^ {4}", "", block, flags=re.M).strip() for block in blocks]
    table = tomllib.loads(next(each for each in dedented if each.startswith("[tool.robustrec]")))["tool"]["robustrec"]
    assert set(table) <= set(Settings.model_fields)
    path = tmp_path / "waivers.toml"
    path.write_text(next(each for each in dedented if each.startswith("[[waivers]]")))
    (waiver,) = read_waivers(path)
    assert waiver.gate in {gate.name for gate in load_suite("ci").gates}


def test_the_example_waives_the_gate_that_fails():
    assert "--waivers .ci/waivers.toml" in EXAMPLE
    (waiver,) = read_waivers(ROOT / ".ci" / "waivers.toml")
    gates = {gate.name: gate for gate in load_suite(str(ROOT / ".ci" / "failing.toml")).gates}
    assert gates[waiver.gate].min == 0.5, "the limit that no model can keep"


def test_the_hook_is_the_one_that_the_page_names():
    hooks = (ROOT / ".pre-commit-hooks.yaml").read_text()
    (name,) = re.findall(r"- id: (\S+)", hooks)
    assert f"- id: {name}" in PAGE
    entry = re.search(r"entry: robustrec (\w+)", hooks)[1]
    assert run([entry, "--help"]) == 0


def test_the_ci_suite_needs_no_baseline_and_the_failing_one_asks_for_what_ci_measures():
    suite, failing = load_suite("ci"), load_suite(str(ROOT / ".ci" / "failing.toml"))
    assert suite.correction == "holm"
    assert {gate.name for gate in suite.gates if gate.reference == "baseline"}
    assert all(gate.optional for gate in suite.gates if gate.reference == "baseline")
    assert (failing.metrics, failing.audits) == (suite.metrics, suite.audits)
