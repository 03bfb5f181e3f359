"""As a library, robustrec leaves the process as it found it: neither imports nor calls change what others share."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
from process_state import changes, process_state

import robustrec.hardware
import robustrec.runs.prepared
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import make_plan
from robustrec.audits.run import measure
from robustrec.config import Settings
from robustrec.hardware import full_precision
from robustrec.own_code import folders_stay, import_own
from robustrec.quiet import warnings_are
from robustrec.report.html.page import html_page
from robustrec.runs.prepared import Prepared

LIBRARIES = ("torch", "typer", "PIL.Image", "scipy.stats", "sklearn.decomposition")
"""Imported before: some of them change filters and the environment themselves."""
IMPORTS = f"""
import importlib, pkgutil, sys
for library in {LIBRARIES}:
    importlib.import_module(library)
from process_state import changes, process_state
import robustrec
before = process_state()
for module in pkgutil.walk_packages(robustrec.__path__, "robustrec."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(*changes(before, process_state()), sep="\\n")
print(len([name for name in sys.modules if name.startswith("robustrec.")]), "modules")
"""
SCORER = """
import numpy as np

def score(features, users):
    table = features["text"]
    return np.repeat(table.sum(1)[None], len(users), 0)
"""
SUITE = """
schema_version = 1
name = "s"
metrics = ["ndcg@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
sigma2 = [1e-2]
draws = 2
[[audits]]
kind = "sharpness"
[[gates]]
name = "small drift"
select = { audit = "noise", metric = "ndcg@20" }
quantity = "drift"
min = -0.9
"""


def test_imports_change_nothing() -> None:
    """In a new process, every module."""
    path = [*sys.path, str(Path(__file__).parent)]
    script = f"import sys\nsys.path[:] = {path!r}\n{IMPORTS}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *changed, count = done.stdout.split("\n")[:-1]
    assert changed == [""]
    assert int(count.split()[0]) > 300


def test_an_audit_and_its_page_change_nothing(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustrec.hardware, "_keep_freed_memory", lambda: pytest.fail("mallopt was called"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_scores.py").write_text(SCORER)
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE)
    settings = Settings(
        home=tmp_path,
        model=("freedom", "my_scores:score"),
        strategy=("vanilla",),
        dataset=str(tiny_folder),
        suite=str(suite),
        device="cpu",
        set={"training": {"max_epochs": 1}},
    )
    for library in (*LIBRARIES, "torch._dynamo"):  # optimisers import it
        import_module(library)
    before = process_state()
    plan = make_plan(settings)
    report, _ = make_report(plan, measure(plan), command=["audit"])
    page = html_page(report)
    assert changes(before, process_state()) == []
    assert "<svg" in page


class Counted:
    """A stand-in for `cosine_neighbours` that counts its calls, the first of which waits for the others to come."""

    def __init__(self, threads: int) -> None:
        self.calls: list[int] = []
        self.arrived = threading.Barrier(threads)

    def __call__(self, x: torch.Tensor, k: int) -> object:
        self.calls.append(k)
        return object()

    def ask(self, prepared: Prepared, x: torch.Tensor, k: int) -> object:
        self.arrived.wait(timeout=60)
        return prepared.neighbours(x, k)


def test_threads_find_the_neighbours_of_a_table_once(tiny: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(threads=8)
    monkeypatch.setattr(robustrec.runs.prepared, "cosine_neighbours", counted)
    with ThreadPoolExecutor(8) as pool:
        found = [
            set(pool.map(counted.ask, [tiny] * 8, [tiny.tables[name]] * 8, [k] * 8))
            for name in ("image", "text")
            for k in (5, 10)
        ]
    assert sorted(counted.calls) == [5, 5, 10, 10]
    assert [len(each) for each in found] == [1, 1, 1, 1]


def test_neighbours_of_another_table_are_not_those_of_a_clean_one(tiny: Prepared) -> None:
    clean = tiny.tables["image"]
    kept = tiny.neighbours(clean, 5)
    other = tiny.neighbours(clean.flip(0), 5)
    assert tiny.neighbours(clean, 5) is kept
    assert not torch.equal(other.items, kept.items)


def test_filters_are_restored_where_threads_take_turns() -> None:
    """Two threads in `warnings.catch_warnings` restore each other's filters; the second one waits here."""
    before, inside, release = [*warnings.filters], threading.Event(), threading.Event()

    def first() -> None:
        with warnings_are("ignore"):
            inside.set()
            release.wait(timeout=60)

    def second() -> None:
        inside.wait(timeout=60)
        release.set()
        with warnings_are("error"):
            pass

    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [*warnings.filters] == before


def test_full_precision_lasts_until_no_thread_needs_it() -> None:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        one, other = full_precision(), full_precision()
        one.__enter__()
        other.__enter__()
        one.__exit__(None, None, None)
        assert not torch.backends.cudnn.allow_tf32
        other.__exit__(None, None, None)
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_own_code_imports_its_neighbours_later_only_in_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("own_one", "own_two"):
        (tmp_path / f"{name}.py").write_text(f"def late():\n    import {name}_late\n")
        (tmp_path / f"{name}_late.py").write_text("")
    before = [*sys.path]
    module = import_own("own_one")
    assert sys.path == before
    with pytest.raises(ModuleNotFoundError):
        module.late()
    with folders_stay():
        import_own("own_two").late()
        assert sys.path == [*before, str(tmp_path)]
    assert sys.path == before


def test_the_recall_of_an_approximate_search_is_noted(tiny: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    exact, approximate = replace(tiny), replace(tiny)
    exact.neighbours(exact.tables["text"], 3)
    monkeypatch.setattr("robustrec.models.graphs.approximate.LARGE", 5)
    approximate.neighbours(approximate.tables["text"], 3)
    assert exact.searches == []
    assert len(approximate.searches) == 1
    assert "the 3 nearest of" in approximate.searches[0]
    assert "by text were searched by faiss: recall 99.4%" in approximate.searches[0]
