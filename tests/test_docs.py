"""What the README shows must work."""

import re
import textwrap
from pathlib import Path

from robustrec.audits.suites import parse_suite
from robustrec.cli.main import run

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_suite_in_the_readme_is_one():
    block = re.search(r"\n( {4}schema_version = 1\n.*?)\n\n\S", README, re.S)
    suite = parse_suite(textwrap.dedent(block[1]), source="README.md")
    assert suite.require_edition == "full"
    assert len(suite.gates) == 2


def test_every_command_in_the_readme_and_the_docs_exists(capsys):
    texts = README + "".join(path.read_text() for path in [ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
    commands = {
        tuple(words.split())
        for words in re.findall(r"robustrec ((?:audit|doctor|data \w+|list \w+|report \w+|config \w+))", texts)
    }
    assert len(commands) >= 6
    for command in commands:
        assert run([*command, "--help"]) == 0, command


def test_every_path_in_the_architecture_page_exists():
    text = (ROOT / "docs" / "architecture.md").read_text()
    for path in re.findall(r"\*\*`((?:robustrec|fixtures|benchmarks|audits)/[\w/.]*)`\*\*", text):
        assert (ROOT / path).exists(), path
    rooms = {path.name for path in (ROOT / "robustrec").iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(re.findall(r"\*\*`robustrec/(\w+)/`\*\*", text)), "each room has its paragraph"
