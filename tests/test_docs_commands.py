"""Every command on the pages is run here, planned here (audits, with --dry-run), or listed with the reason why not.

The commands that are not run are parsed by the real command line, so that their options and values are valid. Data,
settings and report are those that docs/ci.md makes with its own commands.
"""

import importlib.util
import json
import random
import re
import shlex
import shutil
import tomllib

import pytest
from pages import ROOT, blocks, commands_of, known_commands, parsed, words_of

from robustrec.cli.main import run

FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = {path.name: path.read_text() for path in FILES}
COMMANDS = sorted({command for text in PAGES.values() for command in commands_of(text)})

NOT_RUN = (
    (r"…|\bPATH\b|\bFOLDER\b|\bHOST\b|\bCOMMAND\b", "has a placeholder"),
    (r"\bmy_\w+:|\bshop_edits:|robustrec\.adapters", "needs code of the reader: tests/cli/test_own_models.py, "
     "test_own_encoders_command.py, tests/edits/test_own_edits.py and tests/adapters run such code"),
    (r"december\.toml|missing\.toml", "needs a suite with code of the reader: tests/audits/test_own_audits.py"),
    (r"--engine |--store ", "needs other machines: tests/engine and tests/encoders/test_object_store.py"),
    (r"--dataset (clothing|baby)\b|describe baby|--features blip",
     "needs a sample edition, which takes a minute to draw, or weights: tests/shop, .ci/run"),
    (r"^robustrec compare (?!report-a)", "trains for minutes: tests/cli/test_compare_strategies.py, tests/compare"),
    (r"^robustrec compare report-a", "needs two reports: tests/report/test_compare.py"),
    (r"^robustrec encoder (pretrain|card|evaluate)", "trains an encoder: tests/pretraining/test_pretrain_command.py"),
    (r"^robustrec data prepare", "needs published files: tests/datasets/test_prepare.py"),
    (r"--dataset movielens", "needs real data: tests/cli/test_movielens.py"),
    (r"^robustrec reproduce", "trains for hours: its plan is tested in tests/reproduce"),
    (r"shop\.pt", "needs a graph of PyTorch Geometric: tests/adapters"),
    (r"4d3f6da6|20261127T1432", "has the key of a run or report: tests/cli run such commands with keys of their own"),
    (r"^robustrec (view|report open)", "opens a server or a browser: tests/cli"),
    (r"^robustrec (cache prune|runs rm)", "removes files: tests/cli"),
    (r"^robustrec report trend", "needs several reports: tests/cli"),
    (r"^robustrec report (mlflow|card)", "needs a server, or a report of sgbd: tests/adapters"),
    (r"basic\+shrink", "fits filters: tests/runs/test_shrinking.py"),
    (r"user:country", "needs a table of users: tests/audits/test_user_segments.py"),
    (r"migration\.toml", "needs a second encoder: tests/audits/test_migration_audit.py"),
    (r"merchant\(edit=promo", "judges edits, which the report here does not have: tests/audits/test_gate_text.py"),
)  # fmt: skip
"""(what a command matches, why it is not run here, and what runs it); the first match decides."""

OTHER = re.compile(r"(?:make|python3?|pip|ray|git|export|docker|gh)\s")


def reason(command):
    return next((why for pattern, why in NOT_RUN if re.search(pattern, command)), None)


TO_RUN = [command for command in COMMANDS if reason(command) is None]


@pytest.mark.parametrize("command", [each for each in COMMANDS if "…" not in each])
def test_every_command_is_accepted_by_the_command_line(command):
    parsed(words_of(command))


@pytest.mark.parametrize(("pattern", "why"), NOT_RUN)
def test_every_reason_is_still_of_a_command(pattern, why):
    """And the files that it names exist."""
    assert [command for command in COMMANDS if re.search(pattern, command)]
    for path in re.findall(r"tests/[\w/.]+\w|\.ci/\w+", why):
        assert (ROOT / path).exists(), path


def test_commands_of_several_kinds_are_run():
    kinds = {" ".join(words_of(command)[1:3]) for command in TO_RUN}
    assert len(TO_RUN) >= 20
    assert {"data import", "baseline accept", "report show", "report convert", "gate report.json"} <= kinds
    assert "doctor" not in kinds, "it would test the whole machine"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project as docs/ci.md describes it, with the report and the baseline that its commands write."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "data").mkdir()
    (settings,) = [block for block in blocks(PAGES["ci.md"]) if block.startswith("[tool.robustrec]")]
    (folder / "pyproject.toml").write_text(settings.replace('"sgbd", "vanilla"', '"vanilla"'))
    draw = random.Random(1)
    rows = [f"{user},{item}" for user in range(60) for item in draw.sample(range(user % 3, 45, 3), 8)]
    (folder / "data" / "ratings.csv").write_text("\n".join(["user,item", *rows]) + "\n")
    items = [{"item_id": item, "title": f"{('Red', 'Blue', 'Oak')[item % 3]} lamp no {item}"} for item in range(45)]
    (folder / "data" / "items.jsonl").write_text("".join(json.dumps(each) + "\n" for each in items))
    for name in sorted({path for command in TO_RUN for path in re.findall(r"--suite (\S+\.toml)", command)}):
        shutil.copy(ROOT / "audits" / "ci.toml", folder / name)
    return folder


@pytest.fixture
def inside(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("ROBUSTREC_HOME", str(project / "home"))
    monkeypatch.setenv("ROBUSTREC_SET", "training.max_epochs=2")
    return project


def _first(command):
    """Imports first, then the audit that writes the report, then the baseline of it."""
    order = (
        "robustrec data import data",
        "robustrec audit --output-format json:report.json",
        "robustrec baseline accept",
    )
    return next((place for place, start in enumerate(order) if command.startswith(start)), len(order)), command


@pytest.mark.parametrize("command", sorted(TO_RUN, key=_first))
def test_every_other_command_runs(command, inside, capsys):
    words = words_of(command)[1:]
    if "import" in words and "--replace" not in words:
        words.append("--replace")
    if "--home" in words:
        words[words.index("--home") + 1] = str(inside / "home")
    if "--dataset" in words:  # one set of data for all pages
        words[words.index("--dataset") + 1] = "my-shop"
    planned = words[0] == "audit" and not command.endswith("robustrec audit --output-format json:report.json")
    if planned and "--dry-run" not in words:
        words.append("--dry-run")
    assert run(words) in (0, 1), capsys.readouterr().err


def test_inline_commands_have_options_that_exist():
    for name, text in PAGES.items():
        outside = re.sub(r"^```.*?^```|^ {4}.*$", "", text, flags=re.M | re.S)
        for inline in re.findall(r"(?<!`)`(robustrec [a-z][^`]*)`(?!`)", outside):
            words = inline.split()
            known = known_commands()
            found = [each for each in (" ".join(words[:3]), " ".join(words[:2])) if each in known]
            if not found:  # a group, as in "robustrec data"
                assert any(each.startswith(f"{' '.join(words[:2])} ") for each in known), f"{name}: {inline}"
                continue
            options = {option for each in known[found[0]].params for option in (*each.opts, *each.secondary_opts)}
            used = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert used - {"--help"} <= options, f"{name}: {inline}"


def test_commands_of_other_programs_name_what_exists():
    """They are not run: they install, start servers, or use a repository. .ci/run runs the targets of make."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    lines = [
        (name, line)
        for name, text in PAGES.items()
        for block in blocks(text)
        for line in block.split("\n")
        if OTHER.match(line)
    ]
    assert len(lines) >= 8
    for name, line in lines:
        words = shlex.split(line.rstrip("\\"), comments=True)
        if words[0] == "make":
            assert next(each for each in words[1:] if "=" not in each) in targets, f"{name}: {line}"
        if "-m" in words[:2]:
            assert importlib.util.find_spec(words[2]), f"{name}: {line}"
        for extras in re.findall(r"robustrec\[([\w,-]+)\]", line):
            assert set(extras.split(",")) <= set(project["optional-dependencies"]), f"{name}: {line}"
    for text in PAGES.values():
        for extras in re.findall(r"pip install '?robustrec\[([\w,-]+)\]", text):
            assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_robustrec_docs_lists_pages_and_prints_one(capsys):
    assert run(["docs"]) == 0
    listed = capsys.readouterr().out
    for path in FILES[2:]:
        assert re.search(rf"^{path.stem} +\w", listed, re.M), path.stem
    assert run(["docs", "docs/gates.md"]) == 0
    assert capsys.readouterr().out == PAGES["gates.md"]
    assert run(["docs", "suites"]) == 0
    assert "<!-- generated" not in capsys.readouterr().out
    assert run(["docs", "gate"]) == 2
    assert "did you mean 'gates'" in capsys.readouterr().err
