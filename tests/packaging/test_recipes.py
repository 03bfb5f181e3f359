"""The recipes of docs/ci.md run as they are printed; so do the scripts of the GitHub action and the GitLab component.

What is replaced, because a test has no network and no build system: actions that GitHub provides (checkout: the folder
is there; setup-python: a fresh virtual environment; cache and upload-artifact: nothing), and what pip would download:
the virtual environment finds dependencies, pip and the build backend in that of the tests. It trains one strategy for
two epochs, by variables of the environment.
"""

import json
import os
import random
import re
import stat
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml
from pages import blocks, parsed

from robustrec.audits.gate_text import parse_gate
from robustrec.audits.suites import load_suite
from robustrec.report.forms import FORMATS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text()
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
SPEC, COMPONENT = yaml.safe_load_all((ROOT / "templates" / "audit.yml").read_text())
REPLACED = {"actions/checkout", "actions/setup-python", "actions/cache", "actions/upload-artifact"}
HOSTILE = "'; touch owned; $(touch owned) `touch owned` \" \\ --json ${IFS}x"


def of_page(start):
    """The block of the page that begins so."""
    (found,) = [block for block in blocks(PAGE) if block.startswith(start)]
    return found


def workflow(uses_action):
    """The workflow of the page that does or does not use the action."""
    found = [yaml.safe_load(block) for block in blocks(PAGE) if block.startswith("name: robustness")]
    (steps,) = [
        each["jobs"]["audit"]["steps"]
        for each in found
        if any("/robustrec@" in step.get("uses", "") for step in each["jobs"]["audit"]["steps"]) is uses_action
    ]
    return steps


GITLAB = yaml.safe_load(of_page("robustness:"))["robustness"]


@pytest.fixture
def project(tmp_path):
    """A project as on the page: its settings, a small folder of data, and robustrec as a submodule would have it."""
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(of_page("[tool.robustrec]") + "\n")
    draw = random.Random(1)
    rows = [f"{user},{item}" for user in range(60) for item in draw.sample(range(user % 3, 45, 3), 8)]
    (folder / "data" / "ratings.csv").write_text("\n".join(["user,item", *rows]) + "\n")
    items = [{"item_id": item, "title": f"{('Red', 'Blue', 'Oak')[item % 3]} lamp no {item}"} for item in range(45)]
    (folder / "data" / "items.jsonl").write_text("".join(json.dumps(each) + "\n" for each in items))
    (folder / "robustrec").symlink_to(ROOT)
    return folder


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def shell(text, folder, environment, *, errexit=True):
    """Run a script as GitHub runs a step of bash, or as it is without `errexit`."""
    command = ["bash", "--noprofile", "--norc", *(["-eo", "pipefail"] if errexit else []), "-c", text]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def fresh(tmp_path):
    """A fresh virtual environment and a fresh home, as environment variables."""
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    packages = sysconfig.get_paths()["purelib"]
    places = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)})
    Path(places["purelib"], "dependencies.pth").write_text(f"{packages}\n")
    script(home / "bin" / "pip", f'#!/bin/sh\nexec "{home}/bin/python" -m pip "$@"\n')
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {
        **kept,
        "PATH": f"{home / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path / "user"),
        "XDG_DATA_HOME": str(tmp_path / "user" / "share"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # "0" is pip's way to say: no isolation
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_COMPILE": "0",  # what is imported is compiled at its first import
        "ROBUSTREC_SET": "training.max_epochs=2",
        "ROBUSTREC_STRATEGY": "vanilla",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }


def test_the_github_recipe_runs_in_a_fresh_environment(project, fresh, tmp_path):
    """From a wheel that pip builds of the checkout, in another folder: import, baseline, and a gated audit."""
    steps = workflow(uses_action=False)
    assert {step["uses"].partition("@")[0] for step in steps if "uses" in step} == REPLACED
    install, imported, audit = [step["run"] for step in steps if "run" in step]
    done = shell(f"{install}\ncd / && python -c 'import robustrec; print(robustrec.__file__)'", project, fresh)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(tmp_path / "environment"), "the wheel, not the checkout"
    done = shell("git init -q", project, fresh)
    done = shell(of_page("robustrec data import data --name my-shop\n"), project, fresh)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shell("git ls-files", project, fresh).stdout.split() == ["baseline.json"]
    for step in (imported, audit):
        done = shell(step, project, fresh)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "::notice title=robustrec%3A " in done.stdout
    assert "VERDICT" not in done.stderr, "quiet"
    report = json.loads((project / "report.json").read_text())
    assert report["dataset"]["name"] == "my-shop"
    assert report["baseline"]["file"] == "baseline.json"
    assert report["baseline"]["by_users"] > 0
    assert (project / "report.html").stat().st_size > 10_000
    assert "## " in (tmp_path / "summary.md").read_text()


# --- scripts, with a robustrec that records how it is called

RECORDER = f"""#!{sys.executable} -SE
import json, os, sys
name = os.path.basename(sys.argv[0])
settings = {{key: value for key, value in os.environ.items() if key.startswith(("ROBUSTREC_", "PIP_")) and value}}
with open(os.environ["RECORD"], "a", encoding="utf-8") as file:
    file.write(json.dumps([name, sys.argv[1:], settings]) + "\\n")
answer = os.environ.get("ANSWER_" + name.upper())
if answer:
    print(answer)
for word in sys.argv[2:] if sys.argv[1:2] == ["audit"] else []:
    form, colon, path = word.partition("=")[2].partition(":") if "=" in word else word.partition(":")
    if colon and form in {sorted(FORMATS)!r}:
        with open(path, "w", encoding="utf-8") as file:
            file.write('{{"verdict": "fail"}}')
if sys.argv[1:2] == ["audit"] or name == os.environ.get("FAILING"):
    sys.exit(int(os.environ.get("CODE", "0")))
"""


@pytest.fixture
def recorded(tmp_path):
    """Run a script in a folder with recording commands; return (completed process, calls)."""
    for name in ("robustrec", "pip", "gh"):
        script(tmp_path / "bin" / name, RECORDER)
    script(
        tmp_path / "bin" / "python", f'#!/bin/sh\n[ "$1" = -m ] && shift && exec "$@"\nexec "{sys.executable}" "$@"\n'
    )
    (tmp_path / "here").mkdir()

    def run_(text, *, errexit=True, **variables):
        record = tmp_path / "record.jsonl"
        record.write_text("")
        fixed = {
            "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
            "RECORD": str(record),
            "GITHUB_OUTPUT": str(tmp_path / "out"),
        }
        done = shell(text, tmp_path / "here", {**fixed, **variables}, errexit=errexit)
        assert not list(tmp_path.glob("**/owned")), "an input was run"
        return done, [json.loads(line) for line in record.read_text().splitlines()]

    return run_


def outputs(words):
    """Paths of --output-format by format."""
    given = parsed(["robustrec", *words])["output_format"]
    return dict(each.partition(":")[::2] for each in given)


def test_the_gitlab_recipe_writes_what_its_artifacts_name(recorded):
    done, calls = recorded("\n".join(GITLAB["script"]))
    assert done.returncode == 0, done.stderr
    (_, install, _), (_, imported, _), (_, audit, _) = calls
    assert install == ["install", "--constraint", "robustrec/constraints.txt", "./robustrec"]
    assert parsed(["robustrec", *imported])["name"] == "my-shop"
    check_artifacts(GITLAB["artifacts"], outputs(audit))
    assert parsed(["robustrec", *audit])["home"].as_posix() + "/" in GITLAB["cache"]["paths"]


def check_artifacts(artifacts, written):
    assert artifacts["when"] == "always"
    paths = set(artifacts["paths"])
    assert paths <= {*written.values(), written["json"].replace(".json", ".users.npz")}
    wanted = {"junit": "junit", "metrics": "openmetrics", "codequality": "codequality"}
    assert artifacts["reports"] == {name: written[form] for name, form in wanted.items()}


@pytest.mark.parametrize(
    ("code", "words"), [(0, "no blocking gate failed"), (1, "a gate was breached"), (2, "exit code 2")]
)
def test_the_shell_recipe_ends_with_the_exit_code_of_the_audit(recorded, code, words):
    text = of_page("#!/usr/bin/env bash")
    done, calls = recorded(text, errexit=False, CODE=str(code))
    assert done.returncode == code
    assert words in done.stdout
    assert [call[1][0] for call in calls] == ["data", "audit"]
    for _, call, _ in calls:
        parsed(["robustrec", *call])


def step(name):
    (found,) = [each for each in ACTION["runs"]["steps"] if each.get("name") == name]
    return found


def environment_of(part, inputs):
    """The variables of a step or job, with inputs in the place of their expressions."""
    found = {}
    for name, value in part.items():
        text = value["value"] if isinstance(value, dict) else value
        given = re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}|\$\[\[ inputs\.([\w-]+) \]\]", text)
        found[name] = inputs.get(given[1] or given[2], "") if given else text
    return found


def test_inputs_reach_scripts_as_variables_only():
    """Text that is put into a script would be run; that is also true of what GitHub puts into `${{ }}`."""
    for each in ACTION["runs"]["steps"]:
        assert "${{" not in each.get("run", "")
        assert "run" not in each or each["shell"] == "bash"
    scripts = "\n".join(COMPONENT["robustrec"]["script"])
    assert "$[[" not in scripts
    for name, value in COMPONENT["robustrec"]["variables"].items():
        assert "$[[" not in str(value) or value["expand"] is False, name
    used = re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text())
    assert set(used) == set(ACTION["inputs"])
    used = re.findall(r"\$\[\[ inputs\.([\w-]+) \]\]", (ROOT / "templates" / "audit.yml").read_text())
    assert set(used) == set(SPEC["spec"]["inputs"])
    for each in ACTION["inputs"].values():
        assert each["description"]
        assert "default" in each


def test_the_pages_give_inputs_that_exist():
    (given,) = [each["with"] for each in workflow(uses_action=True) if "/robustrec@" in each.get("uses", "")]
    assert set(given) <= set(ACTION["inputs"])
    for line in given["gates"].splitlines():
        parse_gate(line)
    (included,) = yaml.safe_load(of_page("include:"))["include"]
    assert included["component"].split("/")[-1].partition("@")[0] == "audit"
    assert set(included["inputs"]) <= set(SPEC["spec"]["inputs"])
    parse_gate(included["inputs"]["gates"])
    for line in re.findall(r"--gate '([^']*)'", PAGE):
        parse_gate(line)
    load_suite("ci")


ALL = {
    "data": "my data",
    "dataset": "my-shop",
    "model": "slmrec vbpr",
    "suite": "own suite.toml",
    "baseline": "base line.json",
    "waivers": "waivers.toml",
    "fail-on": "warn",
    "gates": "ndcg@20>-2%\n\nclean:ndcg@20>-10% vs baseline\n",
    "output": "out put",
}


def calls_of_audit(calls):
    (imported, imported_settings), (audit, settings) = [(words, settings) for _, words, settings in calls][-2:]
    return parsed(["robustrec", *imported]), parsed(["robustrec", *audit]), settings, imported_settings


def check_all(calls):
    imported, audit, settings, _ = calls_of_audit(calls)
    assert (str(imported["path"]), imported["name"], imported["replace"]) == ("my data", "my-shop", True)
    assert audit["gate"] == ["ndcg@20>-2%", "clean:ndcg@20>-10% vs baseline"]
    assert (str(audit["baseline"]), str(audit["waivers"])) == ("base line.json", "waivers.toml")
    assert {name: settings[f"ROBUSTREC_{name}"] for name in ("MODEL", "SUITE", "FAIL_ON", "HOME")} == {
        "MODEL": "slmrec vbpr", "SUITE": "own suite.toml", "FAIL_ON": "warn", "HOME": ".robustrec",
    }  # fmt: skip


def test_the_action_calls_robustrec_with_its_inputs(recorded, tmp_path):
    audit = step("Audit")
    for code in (0, 1, 2):
        done, calls = recorded(audit["run"], **environment_of(audit["env"], ALL), CODE=str(code))
        assert done.returncode == code, done.stderr
        check_all(calls)
        assert (tmp_path / "out").read_text() == "verdict=fail\nreport=out put/report.json\n"
        (tmp_path / "out").unlink()
    assert outputs(calls[-1][1]) == {
        "github": "", "json": "out put/report.json", "html": "out put/report.html",
        "comment": "out put/comment.md", "sarif": "out put/report.sarif",
    }  # fmt: skip
    defaults = {name: each["default"] for name, each in ACTION["inputs"].items()}
    done, calls = recorded(audit["run"], **environment_of(audit["env"], defaults))
    assert done.returncode == 0, done.stderr
    assert [call[1][0] for call in calls] == ["audit"]
    assert not parsed(["robustrec", *calls[0][1]])["gate"]
    install = step("Install robustrec")
    done, calls = recorded(
        install["run"], GITHUB_ACTION_PATH="/a b", **environment_of(install["env"], {"extra-index-url": "I"})
    )
    ((_, words, settings),) = calls
    assert words[-3:] == ["--constraint", "/a b/constraints.txt", "/a b"]
    assert settings == {"PIP_EXTRA_INDEX_URL": "I"}


def test_hostile_inputs_are_values_and_nothing_else(recorded):
    audit, component = step("Audit"), COMPONENT["robustrec"]
    inputs = {name: HOSTILE for name in {*ACTION["inputs"], *SPEC["spec"]["inputs"]}}
    for text, part in ((audit["run"], audit["env"]), ("\n".join(component["script"]), component["variables"])):
        done, calls = recorded(text, **environment_of(part, inputs))
        assert done.returncode == 0, done.stderr
        imported, audited, settings, _ = calls_of_audit(calls)
        assert str(imported["path"]) == imported["name"] == settings["ROBUSTREC_SUITE"] == HOSTILE
        assert audited["gate"] == [HOSTILE]
        assert str(audited["baseline"]) == str(audited["waivers"]) == HOSTILE
        assert audited["as_json"] is False
    install = step("Install robustrec")
    recorded(install["run"], GITHUB_ACTION_PATH=HOSTILE, **environment_of(install["env"], inputs))


def test_the_component_calls_robustrec_with_its_inputs(recorded):
    job = COMPONENT["robustrec"]
    inputs = {**ALL, "package": "./robustrec", "constraints": "c.txt", "extra-index-url": "I"}
    done, calls = recorded("\n".join(job["script"]), **environment_of(job["variables"], inputs))
    assert done.returncode == 0, done.stderr
    check_all(calls)
    assert calls[0][1][-3:] == ["--constraint=c.txt", "--", "./robustrec"]
    assert calls[0][2]["PIP_EXTRA_INDEX_URL"] == "I"
    check_artifacts(job["artifacts"], outputs(calls[-1][1]))
    defaults = {name: each.get("default", "") for name, each in SPEC["spec"]["inputs"].items()}
    done, calls = recorded("\n".join(job["script"]), **environment_of(job["variables"], defaults))
    assert done.returncode == 0, done.stderr
    assert [call[1][0] for call in calls] == ["install", "audit"]
    done, _ = recorded("\n".join(job["script"]), **environment_of(job["variables"], inputs), CODE="1")
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("answer", "method", "place"), [("", "POST", "issues/7/comments"), ("99", "PATCH", "issues/comments/99")]
)
def test_the_comment_is_written_once_and_then_replaced(recorded, tmp_path, answer, method, place):
    comment = step("Comment on the pull request")
    assert "always()" in comment["if"], "also if a gate was breached"
    variables = {"GITHUB_REPOSITORY": "o/r", "NUMBER": "7", "OUTPUT": "out", "ANSWER_GH": answer}
    done, calls = recorded(comment["run"], **variables)
    assert (done.returncode, calls) == (0, []), "no report, no comment"
    (tmp_path / "here" / "out").mkdir()
    (tmp_path / "here" / "out" / "comment.md").write_text("x")
    done, calls = recorded(comment["run"], **variables)
    assert done.returncode == 0, done.stderr
    words = calls[-1][1]
    assert words[words.index("--method") + 1] == method
    assert f"repos/o/r/{place}" in words
    assert words[-1] == "body=@out/comment.md"
    from robustrec.report.forms.comment import MARK

    assert MARK in calls[0][1][-1]
    done, _ = recorded(comment["run"], **variables, FAILING="gh", CODE="1")
    assert done.returncode == 0, "without permission the job ends as the audit does"
    assert "::warning::robustrec: no comment was written" in done.stdout
