"""Plant one-line faults, one at a time, and see whether the tests named for each notice.

    nice -n 10 python -m benchmarks.mutation            # all, writes benchmarks/results/mutation.md
    python -m benchmarks.mutation --only reach noise    # some areas, prints only

Each fault is planted in a copy of the tree in a temporary folder, and its tests run there in a process of their own. A
fault is killed where a test fails; one that survives would change a printed number without a failing test. A fault
whose text no longer stands exactly once in its file is an error: `benchmarks/mutants.py` has to follow the code.
"""

from __future__ import annotations

import argparse
import compileall
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pydantic
import pytest
import safetensors.torch
import scipy.sparse
import scipy.stats
import torch

from benchmarks.mutants import MUTANTS, Mutant

# Imported here so that no fork has to: they take longer than most of the tests.
PRELOADED = (pydantic, safetensors.torch, scipy.sparse, scipy.stats, torch)

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "mutation.md"
COPIED = ("robustrec", "tests", "audits", "fixtures", "benchmarks", "docs", "pyproject.toml", "README.md")
# A fault may make a loop endless; then no test passes either.
SECONDS = 900.0
COMMAND = "nice -n 10 python -m benchmarks.mutation"


class Ended(NamedTuple):
    """What became of a fault: "killed", "survived", or "error" where its tests could not be run at all."""

    area: str
    mutant: Mutant
    word: str
    detail: str
    seconds: float


def misplaced(areas: Iterable[str]) -> list[str]:
    """Return a line for every fault whose text does not stand exactly once in its file, or whose tests are missing."""
    lines = []
    for area in areas:
        for mutant in MUTANTS[area]:
            text = (ROOT / "robustrec" / mutant.file).read_text(encoding="utf-8")
            if (found := text.count(mutant.old)) != 1:
                lines.append(f"{area}: {mutant.file}: {mutant.old!r} occurs {found} times")
            lines += [
                f"{area}: tests/{name} does not exist"
                for name in mutant.tests.split()
                if not (ROOT / "tests" / name.partition("::")[0]).is_file()
            ]
    return lines


def plant(mutant: Mutant, area: str, tree: Path) -> Ended:
    """Plant a fault in a copy of the tree, run its tests, and put the file back."""
    path = tree / "robustrec" / mutant.file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    # Compiled files are told apart by second and size, which a fault and its repair may share.
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()
    started = time.monotonic()
    try:
        code, output = run_tests(mutant.tests.split(), tree)
    finally:
        path.write_text(text, encoding="utf-8")
    failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    detail = failed[0].split(" - ")[0].removeprefix("FAILED ").removeprefix("ERROR ") if failed else ""
    word = "survived" if code == 0 else "killed" if code < 0 or (code == 1 and failed) else "error"
    return Ended(area, mutant, word, detail or output[-300:], time.monotonic() - started)


def run_tests(names: Iterable[str], tree: Path) -> tuple[int, str]:
    """Run test files of a tree in a process of their own; return the exit code, negative past the time, and output.

    The process is a fork of this one, which has imported what takes long and nothing of robustrec.
    """
    output = tree.parent / "output"
    arguments = ["-x", "-q", "-p", "no:cacheprovider", *(f"tests/{name}" for name in names)]
    process = multiprocessing.get_context("fork").Process(target=_run_pytest, args=(arguments, tree, output))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        return -1, f"ran past {SECONDS:.0f} s"
    return process.exitcode or 0, output.read_text(encoding="utf-8", errors="replace")


def _run_pytest(arguments: list[str], tree: Path, output: Path) -> None:
    torch.set_num_threads(1)
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.exit(int(pytest.main(arguments)))


def copied_tree(folder: Path) -> Path:
    """Return a copy of what the tests need below a folder."""
    tree = folder / "tree"
    tree.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, tree / name)
    compileall.compile_dir(tree / "robustrec", quiet=2)
    return tree


def report(ended: list[Ended]) -> str:
    """Return the result as Markdown."""
    survived = [each for each in ended if each.word != "killed"]
    lines = [
        "# Planted faults and the tests that notice them",
        "",
        f"`{COMMAND}`: {len(ended)} one-line faults, {len(ended) - len(survived)} killed, {len(survived)} not.",
        "A fault is killed where a test of the files named for it fails.",
        "",
        "| area | file | fault | result | by |",
        "|---|---|---|---|---|",
    ]
    for each in ended:
        change = f"{_code(each.mutant.old)} → {_code(each.mutant.new)}"
        by = f"`{each.detail.removeprefix('tests/')}`" if each.word == "killed" else each.mutant.tests
        lines.append(f"| {each.area} | {each.mutant.file} | {change} | {each.word} | {_cell(by)} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`` {_cell(text) or '(removed)'} ``"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Run the faults; exit code 1 where any survives or is out of place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(MUTANTS), help="areas; the result file is left as it is")
    parser.add_argument("--check", action="store_true", help="only look whether every fault still has its place")
    parser.add_argument("--control", action="store_true", help="first run the tests of each fault without it")
    options = parser.parse_args()
    areas = options.only or list(MUTANTS)
    wrong = misplaced(areas)
    if wrong or options.check:
        print("\n".join(wrong) or f"{sum(len(MUTANTS[area]) for area in areas)} faults have their places")
        return 1 if wrong else 0
    sys.dont_write_bytecode = True
    sys.path[:] = [each for each in sys.path if each and Path(each).resolve() != ROOT]
    ended = []
    with tempfile.TemporaryDirectory(prefix="robustrec-mutation-") as folder:
        tree = copied_tree(Path(folder))
        sound: dict[str, bool] = {}
        for area in areas:
            for mutant in MUTANTS[area]:
                if options.control and mutant.tests not in sound:
                    code, output = run_tests(mutant.tests.split(), tree)
                    sound[mutant.tests] = code == 0
                    print(output[-2000:] if code else f"passes without a fault: {mutant.tests}", flush=True)
                if not sound.get(mutant.tests, True):
                    ended.append(Ended(area, mutant, "error", "its tests fail without a fault", 0.0))
                    continue
                ended.append(plant(mutant, area, tree))
                last = ended[-1]
                print(f"{last.word:9}{last.seconds:6.0f} s  {area}: {mutant.file}: {mutant.new[:70]!r}", flush=True)
    if not options.only:
        RESULT.write_text(report(ended), encoding="utf-8")
    survivors = [each for each in ended if each.word != "killed"]
    for each in survivors:
        print(f"{each.word}: {each.mutant.file}: {each.mutant.old!r} -> {each.mutant.new!r}\n{each.detail}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
