"""Commands that compute nothing import no library that computes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

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


def test_lists_settings_and_plans_import_no_heavy_library(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    (folder / "pictures").mkdir(parents=True)
    for file in tiny_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    Image.new("RGB", (8, 8), "red").save(folder / "pictures" / "0.png")
    titles = [f'{{"itemID": {item}, "title": "Cup number {item}", "image": "0.png"}}' for item in range(60)]
    (folder / "items.jsonl").write_text("\n".join(titles))
    plans = [
        f"audit --dry-run -q -m freedom -m bm3 -d {folder} --suite {suite} -f {features} --home {tmp_path / 'home'}"
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


def test_threads_wait_without_using_a_core_unless_the_user_says_otherwise() -> None:
    script = (
        "import os, robustrec.cli.main as cli; cli.main = lambda: print(os.environ['OMP_WAIT_POLICY'])\n"
        "from robustrec.start import start; start()"
    )
    for given, expected in ({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"):
        kept = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        printed = subprocess.check_output([sys.executable, "-c", script], env=kept | given, text=True)
        assert printed.strip() == expected
