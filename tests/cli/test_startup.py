"""Commands that compute nothing import no library that computes."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoints
from pathlib import Path

import pytest
from PIL import Image

from robustrec import plugins

HEAVY = ("torch", "scipy", "sklearn", "matplotlib", "transformers", "torch_geometric", "py3langid")
SCRIPT = f"""
import sys
from robustrec.cli.main import run
for line in sys.stdin.read().splitlines():
    assert run(line.split()) == 0, line
    for name in {HEAVY}:
        if name in sys.modules:
            sys.exit(f"{{line!r}} imports {{name}}")
"""
COMMANDS = """
--help
--version
list models
list strategies
list encoders
list audits
list suites
list metrics
list edits
config show
config show --model freedom --suite quick
"""
SUITES = ("quick", "merchant", "sharpness", "encoder")
FEATURES = {"imported": ("quick", "sharpness"), "basic": SUITES, "tiny-blip": SUITES}


@pytest.fixture
def shop(tiny_folder: Path, tmp_path: Path) -> Path:
    """Return a folder with interactions, feature files, titles and a picture."""
    folder = tmp_path / "shop"
    (folder / "pictures").mkdir(parents=True)
    for file in tiny_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    Image.new("RGB", (8, 8), "red").save(folder / "pictures" / "0.png")
    titles = [f'{{"itemID": {item}, "title": "Cup number {item}", "image": "0.png"}}' for item in range(60)]
    (folder / "items.jsonl").write_text("\n".join(titles))
    return folder


def test_lists_settings_and_plans_import_no_heavy_library(shop: Path, tmp_path: Path) -> None:
    plans = [
        f"audit --dry-run -q -m freedom -m bm3 -d {shop} --suite {suite} -f {features} --home {tmp_path / 'home'}"
        for features, suites in FEATURES.items()
        for suite in suites
    ]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input="\n".join([*COMMANDS.split("\n")[1:-1], *plans]),
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path), "ROBUSTREC_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0, done.stderr[-2000:]


IMPORTED = """
import json, sys
from robustrec.cli.main import run
assert run(sys.argv[1:]) == 0
sys.stderr.write(json.dumps(sorted(sys.modules)))
"""
PLAN = "audit --dry-run -q --json -m slmrec -f tiny-blip --suite merchant -d"
NEEDLESS = {
    "list models": {"numpy", "PIL", "filelock", "rich.progress", "robustrec.audits", "robustrec.cli.audit"},
    "config show": {"numpy", "PIL", "filelock", "rich.progress", "robustrec.audits", "robustrec.cli.audit"},
    PLAN: {"filelock", "rich.progress", "numpy.ma", "robustrec.edits.vocabulary", "robustrec.cli.data"},
}
"""Command -> modules that it must not import."""
MOST_MODULES = {"list models": (30, 420), "config show": (30, 420), PLAN: (248, 790)}
"""Command -> largest numbers of modules of robustrec, and of all modules (these depend on the libraries' versions).

Each kind of audit adds three to the plan: its package, `kind` and `config`.
"""


@pytest.mark.parametrize("command", MOST_MODULES)
def test_a_command_imports_what_it_needs(command: str, shop: Path, tmp_path: Path) -> None:
    data = [str(shop)] if command == PLAN else []
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *command.split(), *data],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path), "ROBUSTREC_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    imported = set(json.loads(done.stderr))
    assert not imported & NEEDLESS[command]
    own = [name for name in imported if name.partition(".")[0] == "robustrec"]
    assert len(own) <= MOST_MODULES[command][0]
    assert len(imported) <= MOST_MODULES[command][1]


def test_installed_packages_are_looked_up_once_until_one_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []

    def entry_points(*, group: str) -> EntryPoints:
        looked_up.append(group)
        return importlib.metadata.entry_points(group=group)

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "entry_points", entry_points)
    plugins._installed.cache_clear()
    part = plugins.Plugins("robustrec.edits", "edit", "function", {})
    assert (part.points(), part.points()) == ({}, {})
    assert looked_up == ["robustrec.edits"]
    info = tmp_path / "plugin_of_ours-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-of-ours\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[robustrec.edits]\nshout = plugin_of_ours:shout\n")
    os.utime(tmp_path, ns=(1, 1))  # two changes within a clock tick have one time
    assert list(part.points()) == ["shout"]


def test_the_command_runs_with_garbage_collection() -> None:
    script = (
        "import gc, robustrec.cli.main as cli, robustrec.cli.listing as listing\n"
        "listing._show = lambda *_, **__: print(gc.isenabled())\n"
        "import sys; sys.argv[1:] = ['list', 'models']\n"
        "from robustrec.start import start; start()"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "True"


def test_threads_wait_without_using_a_core_unless_the_user_says_otherwise() -> None:
    script = (
        "import os, robustrec.cli.main as cli; cli.main = lambda: print(os.environ['OMP_WAIT_POLICY'])\n"
        "from robustrec.start import start; start()"
    )
    for given, expected in ({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"):
        kept = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        printed = subprocess.check_output([sys.executable, "-c", script], env=kept | given, text=True)
        assert printed.strip() == expected
