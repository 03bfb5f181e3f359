"""The check for machines with a GPU, rehearsed on the CPU: what it installs, what it reports, and that it ends."""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


@pytest.fixture
def gpu_check(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.gpu_check")


@pytest.fixture
def gpu_parts(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.gpu_parts")


def wheel(folder: Path, name: str, version: str, code: str, *, tag: str = "py3-none-any", requires=()) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    information = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    information += [f"Requires-Dist: {each}" for each in requires]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", code)
        archive.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(information) + "\n")
        archive.writestr(f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{name}-{version}.dist-info/RECORD", "")
    return path


def says(text: str) -> tuple[str, ...]:
    return ("-c", f"import json; print(json.dumps({text}), flush=True)")


def test_every_part_is_reported_whatever_the_others_do(gpu_check, tmp_path, monkeypatch, capsys):
    found = says('{"a": 1}')[1]
    stubs = [
        gpu_check.Part("good", says('{"b": [1.5, None]}'), 60),
        gpu_check.Part("fails", ("-c", f"{found}\nprint('half a li', end='')\nraise SystemExit(3)"), 60),
        gpu_check.Part("hangs", ("-c", "import signal; signal.pause()"), 0.2),
        gpu_check.Part("wheel", says("__import__('madeup').WHERE"), 60),
        gpu_check.Part("hidden", says("{'x': __import__('junitparser').__name__}"), 60),
    ]
    monkeypatch.setattr(gpu_check, "parts", lambda *_: stubs)
    monkeypatch.setattr(gpu_check, "find_spec", lambda _: None)  # as where there is no pip, and quicker
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    wheel(tmp_path / "wheels", "madeup", "1.0", "WHERE = {'wheel': __file__}")
    code = gpu_check.main(
        ["--device", "cpu", "--rehearse", "--wheels", str(tmp_path / "wheels"), "--hide", "junitparser"]
    )
    record = json.loads(capsys.readouterr().out)
    assert code == 1
    assert record == json.loads((tmp_path / "out" / "gpu-check.json").read_text())
    parts = record["parts"]
    assert list(parts) == ["good", "fails", "hangs", "wheel", "hidden"]
    assert (parts["good"]["status"], parts["good"]["result"]) == ("ok", {"b": [1.5, None]})
    assert parts["fails"]["status"] == "failed with exit code 3"
    assert parts["fails"]["result"] == {"a": 1}, "what was found before it failed is kept"
    assert parts["hangs"]["status"].startswith("cut off")
    assert "packages/madeup.py" in parts["wheel"]["result"]["wheel"]
    assert "No module named 'junitparser'" in parts["hidden"]["output"]
    page = (tmp_path / "out" / "gpu-check.md").read_text()
    assert all(f"## {name}" in page for name in parts)


def test_no_part_begins_when_the_time_is_spent(gpu_check, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "parts", lambda *_: [gpu_check.Part("any", says("{}"), 60)])
    monkeypatch.setenv("OUT", str(tmp_path))
    assert gpu_check.main(["--seconds", "5", "--wheels", str(tmp_path)]) == 1
    assert json.loads(capsys.readouterr().out)["parts"]["any"]["status"] == "not run: no time left"


def test_the_parts_fit_into_eight_minutes_each_and_name_every_gpu_test(gpu_check):
    every = gpu_check.parts("cuda", False, [], [])
    assert all(part.seconds <= 120 for part in every)
    assert gpu_check.parse([]).seconds <= 480
    marked = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if "mark.gpu" in path.read_text()
    }
    assert marked - {Path(__file__).relative_to(ROOT).as_posix()} == set(gpu_check.GPU_TESTS)


def test_wheels_are_installed_where_a_package_is_missing_or_old(gpu_check, tmp_path):
    present = {name: wheel(tmp_path, name, version, "") for name, version in (("pytest", "999.0"), ("numpy", "0.1"))}
    compiled = wheel(tmp_path, "pydantic_core", "999.0", "", tag="cp312-cp312-manylinux2014_x86_64")
    assert gpu_check._is_missing("pytest", present["pytest"], [])
    assert not gpu_check._is_missing("numpy", present["numpy"], [])
    assert not gpu_check._is_missing("pydantic_core", compiled, [])
    assert gpu_check._is_missing("pydantic_core", compiled, ["pydantic_core"])
    assert gpu_check._is_missing("nothing_here", present["numpy"], [])


def test_wheels_that_lack_what_they_require_are_not_ready(gpu_check, tmp_path, capsys):
    wheel(tmp_path, "one", "1.0", "", requires=("two>=1", "numpy>=2", 'other; extra == "docs"'))
    assert gpu_check.main(["--weigh", "--wheels", str(tmp_path)]) == 1
    assert "missing requirements: two\n" in capsys.readouterr().out
    wheel(tmp_path, "two", "1.0", "")
    assert gpu_check.main(["--weigh", "--wheels", str(tmp_path)]) == 0


def test_the_wheels_are_in_the_bounds_of_the_project(gpu_check):
    """What `make gpu-wheels` asks for is what pyproject.toml does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {*project["dependencies"], *project["optional-dependencies"]["test"]}
    recipe = (ROOT / "Makefile").read_text().partition("gpu-wheels:  ##")[2].partition("\n\n")[0]
    named = [word.strip("'") for word in recipe.split() if word.startswith("'")]
    assert len(named) > 5
    assert set(named) <= wanted


def test_the_parts_find_numbers_on_the_cpu(gpu_parts):
    same = gpu_parts._parity_of("vbpr", CPU, 12, 8)
    assert {"loss", "gradient", "scores", "step sgbd", "hessian product float32"} <= same.keys()
    assert set(same.values()) == {0.0}
    here, there = (gpu_parts._Side("vbpr", CPU, 12, 8) for _ in range(2))
    there.start["users"] += 0.1
    batch = gpu_parts._batch(12, 8)
    for what in ("loss", "gradient"):
        assert gpu_parts._apart(getattr(here, what)(batch), getattr(there, what)(batch)) > 1e-4
    assert gpu_parts._apart(here.step("sgbd", batch), here.step("vanilla", batch)) > 1e-4
    found = {name: find() for name, find in gpu_parts.epochs(CPU, True, "bpr", 1.0)}
    assert found["size"]["n_users"] == 60
    assert found["vanilla"]["seconds_per_epoch"] > 0 < found["sgbd"]["seconds_per_evaluation"]
    twice = dict(gpu_parts.determinism(CPU, True))["bpr"]()
    assert twice == {"equal": True, "largest_difference": 0.0}
    assert gpu_parts.BABY[:3] == (19_445, 7_050, 118_551)
    assert gpu_parts.BABY[5:7] == (4096, 384)


def test_a_finding_that_fails_is_reported_and_the_next_is_made(gpu_parts, monkeypatch, capsys):
    def findings(*_):
        yield "bad", lambda: 1 / 0
        yield "good", lambda: 2

    monkeypatch.setattr(gpu_parts, "parity", findings)
    monkeypatch.setattr(gpu_parts, "set_numerics", lambda: None)
    assert gpu_parts.main(["parity", "--device", "cpu"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"bad": {"error": "ZeroDivisionError: division by zero"}}, {"good": 2}]
    assert sys.modules["benchmarks.gpu_parts"] is gpu_parts
