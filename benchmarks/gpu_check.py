"""One check of everything that needs a GPU, within 8 minutes, on a machine without a package registry.

    python3 benchmarks/gpu_check.py [--wheels build/gpu-wheels] [--device cuda] [--seconds 480]

Missing packages are installed from a folder of wheels (`make gpu-wheels` prepares it) into a private folder; the
machine's own Python stays as it is. The parts of `benchmarks/gpu_parts.py`, and the tests marked gpu, each run in a
process of their own with a time limit, the most valuable first. A part that fails or is cut off is reported, with what
it had found, and the others still run. The results go as one JSON to stdout, and with a Markdown page into the folder
that $OUT names, else into build/gpu-check. Exit code 0: all parts ended and no test failed; 1: not so.

`--device cpu --rehearse --hide pydantic pydantic_core scipy …` is the same with tiny sizes on the CPU, as if those
distributions and modules were missing. This file needs the standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
GPU_TESTS = (
    "tests/contract/test_models_contract.py",
    "tests/curvature/test_curvature_gpu.py",
    "tests/evaluation/test_ranking.py",
    "tests/evaluation/test_places.py",
    "tests/training/test_replay.py",
    "tests/encoders/test_network_parity.py",
)
COSTS = ("replay", "mmrec", "syncs", "curvature", "sizes", "network", "encoding", "audits")
# Compiled for exactly one version of the other: both come from the wheels, or neither.
PAIRS = {"pydantic_core": "pydantic"}
# What torch and transformers bring.
EXPECTED = {"numpy", "filelock", "packaging", "safetensors", "tokenizers", "huggingface_hub"}
LARGEST_WHEELS = 64 * 2**20
# Seconds kept for the report when a part is cut off.
RESERVE = 10.0

# Put in place of the finder that looks through the path: what is hidden is found in the private folder or not at all.
HIDE = """
import importlib.machinery, sys
class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        places = [{folder!r}] if name in {names!r} else path
        return importlib.machinery.PathFinder.find_spec(name, places, target)
sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Finder
"""


class Part(NamedTuple):
    """A part of the check: its name, its command after `python`, and the most seconds it may take."""

    name: str
    command: tuple[str, ...]
    seconds: float


def parts(device: str, rehearse: bool, only: Sequence[str], models: Sequence[str]) -> list[Part]:
    """Return the parts, the most valuable first."""
    small = ("--rehearse",) if rehearse else ()
    chosen = ("--models", *models) if models else ()

    def measured(name: str, seconds: float, *arguments: str) -> Part:
        module = "benchmarks.gpu_costs" if arguments[0] in COSTS else "benchmarks.gpu_parts"
        command = ("-m", module, *arguments, "--device", device, "--seconds", str(seconds), *small)
        return Part(name, (*command, *chosen) if arguments[0] in COSTS else command, seconds)

    tests = ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "-o", "filterwarnings=default", *GPU_TESTS)
    every = [
        measured("environment", 60, "environment"),
        measured("parity", 90, "parity"),
        measured("replay", 60, "replay"),
        Part("tests", tests, 120),
        measured("mmrec", 120, "mmrec"),
        measured("sizes", 120, "sizes"),
        measured("audits", 120, "audits"),
        measured("syncs", 60, "syncs"),
        measured("curvature", 40, "curvature"),
        measured("network", 40, "network"),
        measured("determinism", 45, "determinism"),
        measured("epochs slmrec", 60, "epochs", "slmrec"),
        measured("epochs bpr", 40, "epochs", "bpr"),
        measured("epochs dragon", 75, "epochs", "dragon"),
        measured("encoding", 90, "encoding"),
        measured("blip", 90, "blip"),
        measured("epochs dualgnn", 75, "epochs", "dualgnn"),
    ]
    return [part for part in every if not only or part.name in only]


def install(wheels: Path, target: Path, hidden: Sequence[str]) -> list[str]:
    """Install what is missing here from a folder of wheels, and return the names of the wheels installed.

    Args:
        wheels: the folder.
        target: where to; it goes on PYTHONPATH, so that neither root nor a change of this Python is needed.
        hidden: packages to treat as missing.

    Raises:
        subprocess.CalledProcessError: a wheel does not fit this Python; pip has said which.
    """
    found = {_name(path): path for path in sorted(wheels.glob("*.whl"))}
    wanted = [name for name, path in found.items() if _is_missing(name, path, hidden)]
    wanted += [name for name, other in PAIRS.items() if name in found and name not in wanted and other in wanted]
    chosen = [found[name] for name in wanted]
    if not chosen:
        return []
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    command += ["--no-deps", "--find-links", str(wheels), "--target", str(target), *map(str, chosen)]
    if find_spec("pip") is not None:
        subprocess.run(command, check=True, stdout=sys.stderr)
    else:  # these wheels hold nothing but packages to be put on the path
        for path in chosen:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(target)
    return [path.name for path in chosen]


def _name(wheel: Path) -> str:
    return wheel.name.split("-")[0].lower()


def _is_missing(name: str, wheel: Path, hidden: Sequence[str]) -> bool:
    """Tell whether a wheel is to be installed: the package is missing, or older and of Python only.

    Compiled packages that are there stay: they fit the machine's numpy.
    """
    if name in hidden:
        return True
    try:
        present = metadata.version(name)
    except metadata.PackageNotFoundError:
        return True
    return wheel.name.endswith("-none-any.whl") and _numbers(present) < _numbers(wheel.name.split("-")[1])


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def run_part(part: Part, seconds: float, scratch: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run one part for at most some seconds, and return how it ended and what it found until then."""
    out, err = scratch / "out.txt", scratch / "err.txt"
    junit = scratch / "junit.xml"
    junit.unlink(missing_ok=True)
    command = [sys.executable, *part.command]
    if part.name == "tests":
        command.append(f"--junitxml={junit}")
    started = time.monotonic()
    status = "ok"
    with out.open("wb") as to, err.open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=to,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            if process.wait(timeout=seconds) != 0:
                status = f"failed with exit code {process.returncode}"
        except subprocess.TimeoutExpired:
            status = f"cut off after {seconds:.0f} s"
        finally:
            _end(process)
    result = _counts(junit) if part.name == "tests" else _lines(out)
    record = {"status": status, "seconds": round(time.monotonic() - started, 1), "result": result}
    if status != "ok":
        texts = [path.read_text(errors="replace")[-1500:] for path in (out, err)] if part.name == "tests" else []
        record["output"] = "\n".join(texts or [err.read_text(errors="replace")[-2000:]])
    return record


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a part with everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _lines(path: Path) -> dict[str, Any]:
    """Return what a part wrote, one JSON object a line; a half line at the end is left out."""
    found: dict[str, Any] = {}
    for line in path.read_text(errors="replace").splitlines():
        try:
            found.update(json.loads(line))
        except (ValueError, TypeError):
            continue
    return found


def _counts(junit: Path) -> dict[str, Any]:
    """Return how many tests passed, failed and were skipped, by file; pytest writes the file when it ends."""
    if not junit.is_file():
        return {}
    found: dict[str, dict[str, int]] = {}
    failed: list[str] = []
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        file = case.get("classname", "").rpartition(".")[2]
        kinds = {child.tag for child in case}
        kind = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        counts = found.setdefault(file, {"passed": 0, "failed": 0, "skipped": 0})
        counts[kind] += 1
        if kind == "failed":
            failed.append(f"{file}::{case.get('name')}")
    total = {kind: sum(counts[kind] for counts in found.values()) for kind in ("passed", "failed", "skipped")}
    return {"total": total, "files": found, "failed": failed}


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Install what is missing, run all parts, and return the results."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        scratch, packages = Path(place), Path(place) / "packages"
        packages.mkdir()
        installed = install(options.wheels, packages, options.hide)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "ROBUSTREC_HOME": str(scratch / "home")}
        if options.hide:
            hook = scratch / "hook"
            hook.mkdir()
            (hook / "sitecustomize.py").write_text(HIDE.format(names=tuple(options.hide), folder=str(packages)))
        paths = [str(scratch / "hook"), str(packages), str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        results: dict[str, Any] = {}
        for part in parts(options.device, options.rehearse, options.parts, options.models):
            left = options.seconds - RESERVE - (time.monotonic() - started)
            if left <= 1:
                results[part.name] = {"status": "not run: no time left", "seconds": 0.0, "result": {}}
                continue
            print(f"{part.name} …", file=sys.stderr, flush=True)
            results[part.name] = run_part(part, min(part.seconds, left), scratch, environment)
            print(f"{part.name}: {results[part.name]['status']}", file=sys.stderr, flush=True)
    return {
        "format": 1,
        "device": options.device,
        "rehearsal": options.rehearse,
        "seconds": round(time.monotonic() - started, 1),
        "installed": installed,
        "parts": results,
    }


def markdown(record: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    kind = "Rehearsal of the GPU check" if record["rehearsal"] else "GPU check"
    lines = [f"# {kind}", "", f"Device `{record['device']}`, {record['seconds']} s in all.", ""]
    lines += ["| part | status | s |", "|---|---|---|"]
    lines += [f"| {name} | {each['status']} | {each['seconds']} |" for name, each in record["parts"].items()]
    for name, each in record["parts"].items():
        lines += ["", f"## {name}", "", "```json", json.dumps(each["result"], indent=1), "```"]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Check, print one JSON and write it; return the exit code."""
    options = parse(arguments)
    if options.weigh:
        return weigh(options.wheels)
    record = check(options)
    folder = Path(os.environ.get("OUT") or ROOT / "build" / "gpu-check")
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1) + "\n"
    (folder / "gpu-check.json").write_text(text)
    (folder / "gpu-check.md").write_text(markdown(record))
    print(text, end="")
    return 0 if all(part["status"] == "ok" for part in record["parts"].values()) else 1


def weigh(wheels: Path) -> int:
    """Print the size of the wheels and what they lack, and return 1 if they are too large to send along or lack any."""
    sizes = {path.name: path.stat().st_size for path in sorted(wheels.glob("*.whl"))}
    for name, size in sizes.items():
        print(f"{size / 2**20:7.2f} MiB  {name}")
    total, lacking = sum(sizes.values()), unmet(wheels)
    print(f"{total / 2**20:7.2f} MiB  in {wheels}, of at most {LARGEST_WHEELS / 2**20:.0f} MiB")
    if lacking:
        print(f"missing requirements: {', '.join(lacking)}")
    return int(bool(lacking) or not 0 < total < LARGEST_WHEELS)


def unmet(wheels: Path) -> list[str]:
    """Return what wheels require, unconditionally, and neither the folder nor the machine is expected to have."""
    paths = sorted(wheels.glob("*.whl"))
    wanted = set()
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            (place,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            lines = archive.read(place).decode().splitlines()
        for line in lines:
            key, _, requirement = line.partition(": ")
            if key == "Requires-Dist" and ";" not in requirement:
                wanted.add(re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower().replace("-", "_"))
    return sorted(wanted - {_name(path) for path in paths} - EXPECTED)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="gpu_check.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for a rehearsal")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes")
    parser.add_argument("--seconds", type=float, default=480.0, help="most seconds for all parts together")
    parser.add_argument("--wheels", type=Path, default=ROOT / "build" / "gpu-wheels", help="folder of wheels")
    parser.add_argument(
        "--hide", nargs="*", default=[], help="distributions and modules to treat as missing, for a rehearsal"
    )
    parser.add_argument("--weigh", action="store_true", help="print the size of the wheels and do nothing else")
    parser.add_argument("--parts", nargs="*", default=[], help="parts to run; all by default")
    parser.add_argument("--models", nargs="*", default=[], help="of parts that measure costs of models, only these")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
